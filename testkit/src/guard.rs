//! A shell process that outlives its owner just long enough to clean up after it.
//!
//! Statics are not dropped, and nothing runs in a process that is killed with SIGKILL. The guard needs neither:
//! it reads commands from a pipe, and when that pipe is closed it ends the servers and removes their folder.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, bail};
use rustix::process::Pid;

/// The environment of a guarded program: what is listed here and nothing else.
pub(crate) type Environment = BTreeMap<&'static str, String>;

/// The signals that end a server when its owner is gone.
#[derive(Clone, Copy)]
pub(crate) enum EndSignals {
    /// SIGKILL: nothing of value is lost, and children notice.
    Kill,
    /// SIGTERM and SIGQUIT: PostgreSQL's immediate shutdown, which takes its children and shared memory along. The
    /// shell leaves SIGQUIT ignored until PostgreSQL sets its handlers; up to then SIGTERM ends it.
    Quit,
}

/// Owns a folder and the processes started in it. Both are removed before `drop` returns, or soon after the owner has died.
pub(crate) struct Guard {
    folder: PathBuf,
    shell: Arc<Mutex<Shell>>,
}

struct Shell {
    child: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Guard {
    pub(crate) fn new(prefix: &str, end_signals: EndSignals) -> Result<Self> {
        let end_signals = match end_signals {
            EndSignals::Kill => "KILL",
            EndSignals::Quit => "TERM QUIT",
        };
        // A process group of its own, so that neither Ctrl-C nor a test runner that kills a whole group ends it early.
        let mut child = Command::new("/bin/sh")
            .args(["-c", include_str!("guard.sh"), "guard", prefix, end_signals])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("can't start /bin/sh")?;
        let mut shell = Shell {
            commands: child.stdin.take(),
            answers: BufReader::new(child.stdout.take().expect("stdout is piped")),
            child,
        };
        let folder = PathBuf::from(shell.answer().context("can't make a temporary folder")?);
        Ok(Self { folder, shell: Arc::new(Mutex::new(shell)) })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts a program under a name, which may be used again once the earlier holder has been waited for.
    pub(crate) async fn start(&self, name: &str, environment: &Environment, words: &[String]) -> Result<Pid> {
        let mut line = format!("start {name} env -i");
        for (variable, value) in environment {
            line.push_str(&format!(" {variable}={}", quoted(value)?));
        }
        for word in words {
            line.push_str(&format!(" {}", quoted(word)?));
        }
        let pid = self.request(line).await?.parse()?;
        Pid::from_raw(pid).context("the guard answered no pid")
    }

    /// Waits until the named program has ended; returns its status as a shell does (128 plus the signal).
    pub(crate) async fn wait(&self, name: &str) -> Result<i32> {
        Ok(self.request(format!("wait {name}")).await?.parse()?)
    }

    /// The end of the named program's output, for error messages.
    pub(crate) fn log(&self, name: &str) -> String {
        let bytes = std::fs::read(self.folder.join(format!("{name}.log"))).unwrap_or_default();
        String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(4_000)..]).into_owned()
    }

    async fn request(&self, line: String) -> Result<String> {
        let shell = Arc::clone(&self.shell);
        tokio::task::spawn_blocking(move || {
            let mut shell = shell.lock().expect("no holder of the lock panics");
            shell.send(&line)?;
            shell.answer()
        })
        .await?
    }
}

impl Shell {
    fn send(&mut self, line: &str) -> Result<()> {
        let commands = self.commands.as_mut().context("the guard was dropped")?;
        Ok(writeln!(commands, "{line}")?)
    }

    fn answer(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            bail!("the guard has ended");
        }
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        drop(self.commands.take());
        let _ = self.child.wait();
    }
}

/// Whether a program that this process or a guard has started has ended. A zombie has ended.
pub(crate) fn has_ended(pid: Pid) -> bool {
    match std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())) {
        Ok(stat) => stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')),
        // Without /proc the state is unknown, and the caller's time limit decides.
        Err(_) => Path::new("/proc/self/stat").exists(),
    }
}

fn quoted(word: &str) -> Result<String> {
    if word.contains('\n') {
        bail!("the guard takes no argument with a line break: {word:?}");
    }
    Ok(format!("'{}'", word.replace('\'', r"'\''")))
}
