//! customer-service in a process of its own.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use customer_service::config::{Arguments, DEFAULTS};
use service_kit::broker::START_TIMEOUT;
use store::Database;

fn main() -> ExitCode {
    let arguments: Arguments = service_kit::config::parse(DEFAULTS);
    service_kit::run("customer-service", arguments.check(), async |context, transport, (url, config)| {
        let database = Database::connect_within(url.expose(), Arc::clone(&context.clock), START_TIMEOUT)
            .await
            .context("cannot reach the database (DATABASE_URL)")?;
        customer_service::start(&config, context, transport, database).await
    })
}
