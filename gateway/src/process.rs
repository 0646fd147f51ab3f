//! The gateway in a process of its own.

use service_kit::{ExitStatus, Shutdown, serve};

use crate::config::Arguments;
use crate::service::start;

/// Runs until told to end.
pub async fn main(arguments: Arguments, shutdown: Shutdown) -> anyhow::Result<ExitStatus> {
    let (process, config) = arguments.check()?;
    serve("gateway", &process, shutdown, async |host, transport| {
        start(&config, host, transport).await.map(drop)
    })
    .await
}
