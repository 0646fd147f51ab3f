//! The programs of this workspace, run with nothing of the test's own environment.

use std::path::PathBuf;
use std::process::{Command, Output};

use testkit::{Process, workspace_program};

/// The secret that every shop under test signs its tokens with.
pub(crate) const SECRET: &str = "a-secret-that-only-tests-know-0123456789";

/// A program with its arguments and environment, not yet running.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    path: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Program {
    /// `waybill` with these arguments.
    pub(crate) fn waybill<const N: usize>(arguments: [&str; N]) -> Self {
        Self::at(env!("CARGO_BIN_EXE_waybill").into()).with_arguments(arguments)
    }

    /// Another program of this workspace.
    pub(crate) fn named(name: &str) -> Self {
        Self::at(workspace_program(name).unwrap())
    }

    fn at(path: PathBuf) -> Self {
        Self { path, arguments: Vec::new(), environment: Vec::new() }
    }

    fn with_arguments<const N: usize>(mut self, arguments: [&str; N]) -> Self {
        self.arguments.extend(arguments.map(str::to_owned));
        self
    }

    /// With a variable set.
    #[must_use]
    pub(crate) fn with(mut self, variable: &str, value: impl Into<String>) -> Self {
        self.environment.push((variable.to_owned(), value.into()));
        self
    }

    /// Starts it.
    pub(crate) fn start(&self) -> Process {
        Process::spawn(&mut self.command()).unwrap()
    }

    /// Runs it to its end, in so many milliseconds as it takes.
    pub(crate) async fn run(&self) -> Output {
        let mut command = tokio::process::Command::from(self.command());
        command.kill_on_drop(true);
        let running = tokio::time::timeout(std::time::Duration::from_secs(60), command.output());
        running.await.unwrap_or_else(|_| panic!("{self:?} didn't end")).unwrap()
    }

    /// Runs it to its end, which must be a good one, and answers what it printed on standard output.
    pub(crate) async fn prints(&self) -> String {
        let output = self.run().await;
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{self:?} ended with {}:\n{stdout}\n{stderr}", output.status);
        stdout
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.args(&self.arguments).env_clear();
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin").env("RUST_LOG", "info,bus=debug");
        command.envs(self.environment.iter().map(|(variable, value)| (variable, value)));
        command
    }
}

/// Output as text.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Ends a process in the ordinary way: it has to finish what it does, and not to have panicked on the way.
pub(crate) async fn ends_well(process: &Process) {
    let status = process.terminate().await.unwrap();
    let output = process.output();
    let panicked = output.iter().any(|line| line.contains("panicked"));
    assert!(status.success() && !panicked, "{status}:\n{}", output.join("\n"));
}
