//! Servers that tests share: those of the whole run if it started some, else one of each per process.

use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::{Postgres, RabbitMq, postgres};

/// Names the RabbitMQ that `with-servers` has started for the run.
pub const RABBITMQ_VARIABLE: &str = "WAYBILL_TEST_RABBITMQ_URL";

/// Names the PostgreSQL that `with-servers` has started for the run.
pub const POSTGRES_VARIABLE: &str = "WAYBILL_TEST_POSTGRES_URL";

static RABBITMQ: OnceCell<RabbitMq> = OnceCell::const_new();
static POSTGRES: OnceCell<Postgres> = OnceCell::const_new();

/// A RabbitMQ that other tests use too: take a namespace from [`unique`], and leave the server as a whole alone.
///
/// # Panics
/// When none can be started.
pub async fn rabbitmq_url() -> String {
    if let Some(url) = from_run(RABBITMQ_VARIABLE) {
        return url;
    }
    RABBITMQ.get_or_try_init(RabbitMq::start).await.expect("RabbitMQ starts").url()
}

/// An empty database of the caller's own on a PostgreSQL that other tests use too.
///
/// # Panics
/// When no server can be started or the database can't be made.
pub async fn postgres_database() -> String {
    let server = match from_run(POSTGRES_VARIABLE) {
        Some(url) => url,
        None => POSTGRES.get_or_try_init(Postgres::start).await.expect("PostgreSQL starts").url("postgres"),
    };
    postgres::create_database(&server, "test").await.expect("a database can be made")
}

/// A name that no other call returns: the prefix, a hyphen and twelve random hexadecimal digits.
#[must_use]
pub fn unique(prefix: &str) -> String {
    let random = Uuid::new_v4().simple().to_string();
    format!("{prefix}-{}", &random[..12])
}

#[expect(
    clippy::disallowed_methods,
    reason = "the run hands its servers to the tests by these two variables"
)]
fn from_run(variable: &str) -> Option<String> {
    std::env::var(variable).ok().filter(|url| !url.is_empty())
}
