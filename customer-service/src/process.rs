//! The service in a process of its own.

use std::sync::Arc;

use anyhow::Context as _;
use service_kit::broker::START_TIMEOUT;
use service_kit::{ExitStatus, Shutdown, serve};
use store::Database;

use crate::config::Arguments;
use crate::service::Service;

/// Runs until told to end.
pub async fn main(arguments: Arguments, shutdown: Shutdown) -> anyhow::Result<ExitStatus> {
    let (process, database_url, config) = arguments.check()?;
    serve("customer-service", &process, shutdown, async |host, transport| {
        let (url, clock) = (database_url.expose(), Arc::clone(&host.clock));
        let database = Database::connect_within(url, clock, START_TIMEOUT)
            .await
            .context("cannot reach the database (DATABASE_URL)")?;
        Service::start(&config, host, transport, database).await
    })
    .await
}
