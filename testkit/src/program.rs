//! A program under test before it runs: its path, arguments and environment.

use std::fmt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tokio::time::timeout;

use crate::Process;

/// How long [`Program::run`] waits for the program to end.
const RUN_LIMIT: Duration = Duration::from_secs(120);

/// A program with its arguments and environment. It gets a `PATH`, and nothing else of the test's own environment.
#[derive(Debug, Clone)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

/// What a program that has ended has printed.
pub struct Finished {
    /// The exit code.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    /// Standard output as JSON.
    ///
    /// # Panics
    /// When it isn't JSON.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl fmt::Debug for Finished {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "exit code {}\n{}\n{}", self.code, self.stdout, self.stderr)
    }
}

impl Program {
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let path_variable = ("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned());
        Self { path: path.into(), arguments, environment: vec![path_variable] }
    }

    /// The same program with one more variable, or another value of one.
    #[must_use]
    pub fn with(mut self, variable: &str, value: impl Into<String>) -> Self {
        self.environment.push((variable.to_owned(), value.into()));
        self
    }

    /// The same program, begun by a shell that first runs `command`.
    #[must_use]
    pub fn after(mut self, command: &str) -> Self {
        let script = format!("{command} && exec \"$0\" \"$@\"");
        let program = std::mem::replace(&mut self.path, PathBuf::from("/bin/sh"));
        let program = program.to_str().expect("its path is text").to_owned();
        self.arguments.splice(0..0, ["-c".to_owned(), script, program]);
        self
    }

    /// Starts the program.
    ///
    /// # Panics
    /// When it can't be started.
    #[must_use]
    pub fn start(&self) -> Process {
        Process::spawn(&mut self.command()).expect("the program can be started")
    }

    /// Runs the program until it exits.
    ///
    /// # Panics
    /// When it can't be started, doesn't exit within two minutes, is ended by a signal or prints what is no text.
    pub async fn run(&self) -> Finished {
        let mut command = tokio::process::Command::from(self.command());
        let running = timeout(RUN_LIMIT, command.kill_on_drop(true).output()).await;
        let output =
            running.unwrap_or_else(|_| panic!("{self:?} didn't end")).expect("the program can be run");
        let text = |bytes| String::from_utf8(bytes).expect("the program prints text");
        let code = output.status.code().unwrap_or_else(|| panic!("{self:?}: {}", output.status));
        Finished { code, stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Runs the program until it exits with code 0; returns its standard output.
    ///
    /// # Panics
    /// As [`Program::run`], and when the exit code is another one.
    pub async fn prints(&self) -> String {
        let finished = self.run().await;
        assert_eq!(finished.code, 0, "{self:?}: {finished:?}");
        finished.stdout
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.args(&self.arguments).env_clear();
        command.envs(self.environment.iter().map(|(variable, value)| (variable, value)));
        command
    }
}

/// The path of a program of this workspace, built beside the test that asks for it.
///
/// A test build makes only its own package's programs; `cargo build --workspace` makes all.
pub fn workspace_program(name: &str) -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    let folder = test.ancestors().find(|folder| folder.ends_with("deps")).and_then(|deps| deps.parent());
    let program = folder.context("the test doesn't run from a target folder")?.join(name);
    ensure!(program.exists(), "{} is missing: run `cargo build --workspace`", program.display());
    Ok(program)
}
