//! One process of the cluster, which may be killed and started again under the same ports.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use testkit::{Process, Signal, workspace_program};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

/// How long a process may take to reach its failpoint.
const STRIKE_LIMIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(10);

/// A program, how to start it, and the process that runs it now.
pub(crate) struct Program {
    /// Unique in its cluster, such as `order-service-1`.
    pub(crate) name: String,
    path: PathBuf,
    arguments: Vec<&'static str>,
    environment: Vec<(&'static str, String)>,
    /// `host:port` of its admin endpoints.
    admin: String,
    log: PathBuf,
    sabotage: std::sync::Mutex<Option<String>>,
    process: Mutex<Option<Process>>,
}

impl Program {
    /// A program that isn't running yet.
    pub(crate) fn new(
        name: String,
        program: &str,
        arguments: &[&'static str],
        environment: Vec<(&'static str, String)>,
        admin_port: u16,
        log: PathBuf,
    ) -> Result<Self> {
        Ok(Self {
            name,
            path: workspace_program(program)?,
            arguments: arguments.to_vec(),
            environment,
            admin: format!("127.0.0.1:{admin_port}"),
            log,
            sabotage: std::sync::Mutex::default(),
            process: Mutex::new(None),
        })
    }

    /// What it does to itself from within once it is started again, in the words of `service_kit::fault_injection`.
    pub(crate) fn sabotage(&self, words: impl Into<String>) {
        *self.sabotage.lock().unwrap() = Some(words.into());
    }

    /// Starts it without waiting for anything.
    pub(crate) async fn start(&self) -> Result<()> {
        let mut command = Command::new(&self.path);
        command.args(&self.arguments).env_clear().envs(self.environment.iter().map(|(k, v)| (k, v)));
        if let Some(words) = &*self.sabotage.lock().unwrap() {
            command.env("WAYBILL_SABOTAGE", words);
        }
        if command.get_envs().any(|(name, _)| name == "WAYBILL_SABOTAGE") {
            let search = Command::new("grep").args(["-qF", "WAYBILL_SABOTAGE"]).arg(&self.path).status()?;
            let path = self.path.display();
            ensure!(search.success(), "build {path} by `cargo build --workspace --all-targets` to break it");
        }
        let process = Process::spawn(&mut command)?;
        *self.process.lock().await = Some(process);
        Ok(())
    }

    /// Waits until `/readyz` answers 200.
    pub(crate) async fn ready(&self) -> Result<()> {
        let process = self.process.lock().await;
        let process = process.as_ref().with_context(|| format!("{} is not running", self.name))?;
        process.answers(&self.admin, "/readyz").await.with_context(|| format!("{} is not ready", self.name))
    }

    /// What `/metrics` says.
    pub(crate) async fn metrics(&self) -> Result<String> {
        Ok(crate::load::http().get(format!("http://{}/metrics", self.admin)).send().await?.text().await?)
    }

    /// What `/readyz` says is missing.
    pub(crate) async fn missing(&self) -> Result<Vec<String>> {
        let report = crate::load::http().get(format!("http://{}/readyz", self.admin)).send().await?;
        let report: serde_json::Value = report.json().await?;
        Ok(serde_json::from_value(report["missing"].clone())?)
    }

    /// How many lines of its log contain this text, since it was started.
    pub(crate) async fn said(&self, text: &str) -> Result<usize> {
        let process = self.process.lock().await;
        let process = process.as_ref().with_context(|| format!("{} is not running", self.name))?;
        Ok(process.output().iter().filter(|line| line.contains(text)).count())
    }

    /// Kills it with SIGKILL, if it runs.
    pub(crate) async fn kill(&self) -> Result<()> {
        if let Some(process) = self.process.lock().await.take() {
            process.kill().await?;
            self.keep_output(&process)?;
        }
        Ok(())
    }

    /// Waits until it has killed itself.
    pub(crate) async fn killed_itself(&self) -> Result<()> {
        self.struck("to kill itself", Process::is_running, false).await?;
        let process = self.process.lock().await.take().context("another task ended it")?;
        let status = process.ended().await?;
        self.keep_output(&process)?;
        anyhow::ensure!(status.signal() == Some(9), "{} ended with {status}", self.name);
        Ok(())
    }

    /// Waits until it has stopped itself. It stays stopped until [`Program::signal`] continues it.
    pub(crate) async fn stopped_itself(&self) -> Result<()> {
        self.struck("to stop itself", is_stopped, true).await
    }

    async fn struck(&self, what: &str, state: fn(&Process) -> bool, wanted: bool) -> Result<()> {
        let deadline = Instant::now() + STRIKE_LIMIT;
        while Instant::now() < deadline {
            {
                let process = self.process.lock().await;
                let process = process.as_ref().with_context(|| format!("{} is not running", self.name))?;
                // Looked at first: it may end at any moment, and that may be what is waited for.
                let was_running = process.is_running();
                if state(process) == wanted {
                    return Ok(());
                }
                anyhow::ensure!(was_running, "{} has ended", self.name);
            }
            sleep(PAUSE).await;
        }
        anyhow::bail!("{} had {STRIKE_LIMIT:?} {what} and did not", self.name)
    }

    /// Sends SIGTERM and returns its exit code, and how long it took to end.
    pub(crate) async fn terminate(&self) -> Result<(Option<i32>, Duration)> {
        let begun = std::time::Instant::now();
        let process =
            self.process.lock().await.take().with_context(|| format!("{} is not running", self.name))?;
        let status = process.terminate().await;
        self.keep_output(&process)?;
        Ok((status?.code(), begun.elapsed()))
    }

    /// Sends it SIGSTOP or SIGCONT.
    pub(crate) async fn signal(&self, signal: Signal) -> Result<()> {
        let process = self.process.lock().await;
        process.as_ref().with_context(|| format!("{} is not running", self.name))?.signal(signal)
    }

    /// The id of its process.
    pub(crate) async fn id(&self) -> Result<u32> {
        Ok(self.process.lock().await.as_ref().context("not running")?.id())
    }

    /// Its resident memory in KiB.
    pub(crate) async fn resident_kib(&self) -> Result<u64> {
        let id = self.id().await?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    /// Appends what a process has printed to this program's log, to examine a failure.
    fn keep_output(&self, process: &Process) -> Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(&self.log)?;
        file.write_all(process.output().join("\n").as_bytes())?;
        Ok(file.write_all(b"\n-- ended --\n")?)
    }
}

/// By the third field of `/proc/<id>/stat`; the second, in brackets, is the program's name.
fn is_stopped(process: &Process) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/stat", process.id()));
    status.is_ok_and(|status| status.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T')))
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Some(process) = self.process.get_mut().take() {
            // The test's own failure matters more than a log that can't be written.
            drop(self.keep_output(&process));
        }
    }
}
