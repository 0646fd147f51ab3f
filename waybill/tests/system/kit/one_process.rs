//! `waybill up`, with the embedded broker and SQLite.

use std::path::Path;

use tempfile::TempDir;
use testkit::{Process, Program, free_port};

use super::program::{SECRET, ends_well, waybill};
use super::{Gateway, StockTables};

/// The system in one process, and the folder of its files.
pub(crate) struct OneProcess {
    folder: TempDir,
    settings: Vec<(String, String)>,
    open_files: Option<u32>,
    /// 0 for a free one at each start.
    port: u16,
    process: Option<Process>,
}

impl OneProcess {
    /// A system that has never run, with the demo's catalogue and without its orders.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder, settings: Vec::new(), open_files: None, port: 0, process: None }
    }

    /// With a variable set.
    #[must_use]
    pub(crate) fn with(mut self, variable: &str, value: &str) -> Self {
        self.settings.push((variable.to_owned(), value.to_owned()));
        self
    }

    /// At the same port whenever it starts.
    #[must_use]
    pub(crate) fn at_one_port(mut self) -> Self {
        self.port = free_port();
        self
    }

    /// With a hard limit on open files.
    #[must_use]
    pub(crate) fn with_open_files(mut self, most: u32) -> Self {
        self.open_files = Some(most);
        self
    }

    /// DATA_DIR.
    pub(crate) fn data_dir(&self) -> &Path {
        self.folder.path()
    }

    /// `waybill` with these arguments and the system's settings.
    pub(crate) fn waybill(&self, arguments: &[&str]) -> Program {
        let program = waybill(arguments)
            .with("DATA_DIR", self.data_dir().to_str().unwrap())
            .with("JWT_SECRET", SECRET)
            .with("SEED", "catalogue");
        self.settings.iter().fold(program, |program, (variable, value)| program.with(variable, value))
    }

    /// Starts the process; returns when it is ready.
    pub(crate) async fn start(&mut self) -> Gateway {
        let up = self.waybill(&["up"]).with("PORT", self.port.to_string()).with("ADMIN_PORT", "0");
        let up = match self.open_files {
            Some(most) => up.after(&format!("ulimit -n {most}")),
            None => up,
        };
        let process = up.start();
        let line = process.line("  GraphQL").await.unwrap();
        let address = line.split("://").nth(1).and_then(|rest| rest.split('/').next());
        let address = address.unwrap_or_else(|| panic!("no address in {line:?}")).to_owned();
        process.answers(&address, "/readyz").await.unwrap();
        self.process = Some(process);
        Gateway::at(&address)
    }

    /// The running process.
    pub(crate) fn process(&self) -> &Process {
        self.process.as_ref().expect("the process runs")
    }

    /// Terminates the process, which must exit with code 0.
    pub(crate) async fn stop(&mut self) {
        ends_well(&self.process.take().expect("the process runs")).await;
    }

    /// Kills the process with SIGKILL.
    pub(crate) async fn crash(&mut self) {
        self.process().kill().await.unwrap();
        self.process = None;
    }

    /// inventory-service's tables.
    pub(crate) fn stock_tables(&self) -> StockTables {
        StockTables::at(format!("sqlite://{}?mode=ro", self.data_dir().join("inventory.sqlite").display()))
    }
}
