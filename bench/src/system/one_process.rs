//! `waybill up`, with the embedded broker and SQLite.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use testkit::{Process, Program};

use super::catalogue::{CUSTOMERS, Catalogue};
use super::gateway::Gateway;
use super::program::program;
use super::token::SECRET;
use crate::usage::Watched;

/// The system in one process, and the folder of its files.
pub(crate) struct OneProcess {
    folder: TempDir,
    running: Option<(Process, Gateway)>,
}

impl OneProcess {
    /// Starts a system with this catalogue and one order for each customer.
    pub(crate) async fn start(catalogue: Catalogue) -> Result<Self> {
        let mut system = Self { folder: tempfile::tempdir()?, running: None };
        system.start_again().await?;
        catalogue.import(|arguments| system.waybill(arguments)).await?;
        for number in 0..CUSTOMERS {
            system.gateway()?.create_order(number, true).await?;
        }
        Ok(system)
    }

    /// Stops the process if it runs, and starts it on the data that are there. Returns how long it took to be ready.
    pub(crate) async fn start_again(&mut self) -> Result<Duration> {
        if let Some((process, _)) = self.running.take() {
            let status = process.terminate().await?;
            ensure!(status.success(), "waybill: {status}");
        }
        let port = testkit::free_port();
        let program = self.waybill(&["up"])?.with("PORT", port.to_string()).with("ADMIN_PORT", "0");
        let address = format!("127.0.0.1:{port}");
        let begin = Instant::now();
        let process = program.start();
        process.answers(&address, "/readyz").await?;
        let took = begin.elapsed();
        self.running = Some((process, Gateway::at(&address)?));
        Ok(took)
    }

    pub(crate) fn gateway(&self) -> Result<&Gateway> {
        Ok(&self.running.as_ref().context("waybill doesn't run")?.1)
    }

    pub(crate) fn watched(&self) -> Result<Watched> {
        Ok(vec![("waybill", self.running.as_ref().context("waybill doesn't run")?.0.id())])
    }

    fn waybill(&self, arguments: &[&str]) -> Result<Program> {
        let folder = self.folder.path().display().to_string();
        let program = program("waybill", arguments)?.with("DATA_DIR", folder);
        let program = program.with("MAX_SOCKETS_PER_CUSTOMER", "10000");
        Ok(program.with("JWT_SECRET", SECRET).with("SEED", "none"))
    }
}
