//! customer-service in a process of its own.

use std::process::ExitCode;
use std::sync::Arc;

use customer_service::config::{Arguments, DEFAULTS};
use service_kit::broker::START_TIMEOUT;
use service_kit::config::ConfigErrors;
use store::{Database, StoreError};

#[global_allocator]
static ALLOCATOR: service_kit::Allocator = service_kit::Allocator;

fn main() -> ExitCode {
    let arguments: Arguments = service_kit::config::parse(DEFAULTS);
    service_kit::run("customer-service", arguments.check(), async |context, transport, (url, config)| {
        let database = Database::connect_within(url.expose(), Arc::clone(&context.clock), START_TIMEOUT)
            .await
            .map_err(|error| match error {
                StoreError::Misconfigured(problem) => ConfigErrors::single("DATABASE_URL", problem).into(),
                error => anyhow::Error::new(error).context("cannot reach the database (DATABASE_URL)"),
            })?;
        customer_service::start(&config, context, transport, database).await
    })
}
