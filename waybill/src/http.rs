//! The HTTP client of the commands that speak to a running process.

use std::time::Duration;

use anyhow::Context;

/// A client whose requests take no longer than `limit`.
pub(crate) fn client(limit: Duration) -> anyhow::Result<reqwest::Client> {
    // The process-wide provider is set by whoever comes first; they all choose ring.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // A proxy has no business between two processes of one machine or container.
    reqwest::Client::builder().timeout(limit).no_proxy().build().context("cannot make an HTTP client")
}
