//! `waybill health`: a health check for containers, which have no other HTTP client.

use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;

use crate::admin::http_client;

const LIMIT: Duration = Duration::from_secs(5);

/// Ask a process whether it is well
///
/// Exits with 0 if the address answers 200 within five seconds, and with 1 and the reason if it doesn't.
#[derive(Args, Debug)]
pub(crate) struct HealthArgs {
    /// Address of a health endpoint: /readyz or /livez of any process
    #[arg(long, default_value = "http://127.0.0.1:9400/readyz")]
    url: String,
}

pub(crate) async fn run(args: &HealthArgs) -> anyhow::Result<()> {
    let url = &args.url;
    let response =
        http_client(LIMIT)?.get(url).send().await.with_context(|| format!("no answer from {url}"))?;
    let status = response.status();
    let body = response.text().await.unwrap_or_default();
    ensure!(status.is_success(), "{url} answers {status}: {body}");
    Ok(())
}
