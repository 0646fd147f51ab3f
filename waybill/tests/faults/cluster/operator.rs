//! The operator's tools, run on the private broker.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use testkit::workspace_program;

use super::{Cluster, NAMESPACE, retry_delays};

/// How long a tool may take.
const LIMIT: Duration = Duration::from_secs(60);

impl Cluster {
    /// Runs `waybill` with these arguments and returns what it printed; fails with what it printed if its exit code is not 0.
    pub(crate) async fn operator(&self, arguments: &[&str]) -> Result<String> {
        let mut command = tokio::process::Command::new(workspace_program("waybill")?);
        command.args(arguments).env_clear().env("RABBITMQ_URL", self.broker().url());
        command.env("BUS_NAMESPACE", NAMESPACE).env("RETRY_DELAYS", retry_delays());
        let output = tokio::time::timeout(LIMIT, command.kill_on_drop(true).output());
        let output = output.await.with_context(|| format!("{arguments:?} didn't end"))??;
        let said = String::from_utf8(output.stdout)?;
        ensure!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        Ok(said)
    }
}
