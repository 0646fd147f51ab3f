//! `waybill up`, with the embedded broker and SQLite.

use std::path::Path;

use tempfile::TempDir;
use testkit::Process;

use super::program::{Program, SECRET, ends_well};
use super::{Shop, StockBook};

/// A shop in one process, and the folder of its files.
pub(crate) struct OneProcess {
    folder: TempDir,
    settings: Vec<(String, String)>,
    process: Option<Process>,
}

impl OneProcess {
    /// A shop that has never been open.
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), settings: Vec::new(), process: None }
    }

    /// With a variable set.
    #[must_use]
    pub(crate) fn with(mut self, variable: &str, value: &str) -> Self {
        self.settings.push((variable.to_owned(), value.to_owned()));
        self
    }

    /// DATA_DIR.
    pub(crate) fn data_dir(&self) -> &Path {
        self.folder.path()
    }

    /// `waybill` with these arguments, in this shop.
    pub(crate) fn waybill<const N: usize>(&self, arguments: [&str; N]) -> Program {
        let program = Program::waybill(arguments)
            .with("DATA_DIR", self.data_dir().to_str().unwrap())
            .with("JWT_SECRET", SECRET);
        self.settings.iter().fold(program, |program, (variable, value)| program.with(variable, value))
    }

    /// Opens the shop, for the first time or again.
    pub(crate) async fn open(&mut self) -> Shop {
        let process = self.waybill(["up"]).with("PORT", "0").with("ADMIN_PORT", "0").start();
        let line = process.line("  GraphQL").await.unwrap();
        let address = line.split("://").nth(1).and_then(|rest| rest.split('/').next());
        let address = address.unwrap_or_else(|| panic!("no address in {line:?}")).to_owned();
        process.answers(&address, "/readyz").await.unwrap();
        self.process = Some(process);
        Shop::at(&address)
    }

    /// The running process.
    pub(crate) fn process(&self) -> &Process {
        self.process.as_ref().expect("the shop is open")
    }

    /// Closes the shop in the ordinary way, which must end well.
    pub(crate) async fn close(&mut self) {
        ends_well(&self.process.take().expect("the shop is open")).await;
    }

    /// Ends the process where it stands.
    pub(crate) async fn crash(&mut self) {
        self.process().kill().await.unwrap();
        self.process = None;
    }

    /// inventory-service's tables.
    pub(crate) fn stock_book(&self) -> StockBook {
        StockBook::of(format!("sqlite://{}?mode=ro", self.data_dir().join("inventory.sqlite").display()))
    }
}
