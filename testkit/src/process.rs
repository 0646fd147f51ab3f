//! A program under test, run as its own process.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

/// How long a program may take to start, to print a line or to end.
const LIMIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// The newest lines that are kept of a program's output.
const KEPT_LINES: usize = 20_000;

/// A running program whose output is captured. Dropping it kills it, and so does the death of the owning process.
pub struct Process {
    name: String,
    pid: Pid,
    child: Mutex<Child>,
    lines: Arc<Mutex<VecDeque<String>>>,
    collectors: [JoinHandle<()>; 2],
    leash: Child,
}

impl Process {
    /// Starts the program with its output captured and no input. Environment and arguments are the command's.
    pub fn spawn(command: &mut Command) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("can't start {name}"))?;
        let leash = leash(&child);
        let lines = Arc::default();
        let collectors = [
            collect(child.stdout.take().expect("stdout is piped"), &lines),
            collect(child.stderr.take().expect("stderr is piped"), &lines),
        ];
        let pid = Pid::from_child(&child);
        match leash {
            Ok(leash) => Ok(Self { name, pid, child: Mutex::new(child), lines, collectors, leash }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Everything printed so far on both streams, line by line.
    #[must_use]
    pub fn output(&self) -> Vec<String> {
        self.lines.lock().expect("no holder of the lock panics").iter().cloned().collect()
    }

    /// The first line, printed already or within a minute, that holds `part`. Fails at once when the program ends first.
    pub async fn line(&self, part: &str) -> Result<String> {
        self.until(&format!("a line with {part:?}"), async || {
            self.output().into_iter().find(|line| line.contains(part))
        })
        .await
    }

    /// Waits, up to a minute, until `GET path` on the address (`127.0.0.1:4000`) answers 200.
    pub async fn answers(&self, address: &str, path: &str) -> Result<()> {
        self.until(&format!("200 from http://{address}{path}"), async || {
            let status = timeout(Duration::from_secs(5), http_status(address, path)).await;
            matches!(status, Ok(Ok(200))).then_some(())
        })
        .await
    }

    /// Kills the program with SIGKILL and waits for its end.
    pub async fn kill(&self) -> Result<ExitStatus> {
        self.signal(Signal::KILL)?;
        self.ended().await
    }

    /// Sends SIGTERM and waits up to a minute for the program's status.
    pub async fn terminate(&self) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.ended().await
    }

    /// Stops the program with SIGSTOP.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Resumes a paused program with SIGCONT.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Sends a signal, unless the program has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        // Under the lock and before the child is waited for, the id can't have become another process's.
        let mut child = self.child();
        if child.try_wait()?.is_none() {
            kill_process(self.pid, signal)?;
        }
        Ok(())
    }

    /// Whether the program has not ended.
    #[must_use]
    pub fn is_running(&self) -> bool {
        matches!(self.child().try_wait(), Ok(None))
    }

    /// Waits up to a minute for the program to end by itself.
    pub async fn ended(&self) -> Result<ExitStatus> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let status = self.child().try_wait()?;
            if let Some(status) = status {
                self.collect_output().await;
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("{} didn't end within {LIMIT:?}; it printed:\n{}", self.name, self.tail());
            }
            sleep(PAUSE).await;
        }
    }

    async fn until<T>(&self, what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> Result<T> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let running = self.is_running();
            if !running {
                self.collect_output().await;
            }
            if let Some(value) = probe().await {
                return Ok(value);
            }
            if !running {
                bail!("{} ended before {what}; it printed:\n{}", self.name, self.tail());
            }
            if Instant::now() > deadline {
                bail!("{} gave no {what} within {LIMIT:?}; it printed:\n{}", self.name, self.tail());
            }
            sleep(PAUSE).await;
        }
    }

    /// Waits until the output of an ended program is collected; up to a second if a child of its own keeps the streams open.
    async fn collect_output(&self) {
        let deadline = Instant::now() + Duration::from_secs(1);
        while !self.collectors.iter().all(JoinHandle::is_finished) && Instant::now() < deadline {
            sleep(PAUSE).await;
        }
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().expect("no holder of the lock panics")
    }

    fn tail(&self) -> String {
        let lines = self.output();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        {
            let mut child = self.child();
            let _ = child.kill();
            let _ = child.wait();
        }
        if let Some(mut rope) = self.leash.stdin.take() {
            let _ = rope.write_all(b"ended\n");
        }
        let _ = self.leash.wait();
    }
}

/// A shell that kills the child when its input ends without a line, which happens when the owner dies.
fn leash(child: &Child) -> Result<Child> {
    Command::new("/bin/sh")
        .args([
            "-c",
            "trap '' HUP INT TERM; read -r word || kill -s KILL \"$1\"",
            "leash",
            &child.id().to_string(),
        ])
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("can't start /bin/sh")
}

fn collect(stream: impl Read + Send + 'static, lines: &Arc<Mutex<VecDeque<String>>>) -> JoinHandle<()> {
    let lines = Arc::clone(lines);
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut bytes = Vec::new();
        while reader.read_until(b'\n', &mut bytes).is_ok_and(|read| read > 0) {
            let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
            bytes.clear();
            let mut lines = lines.lock().expect("no holder of the lock panics");
            if lines.len() == KEPT_LINES {
                lines.pop_front();
            }
            lines.push_back(line);
        }
    })
}

async fn http_status(address: &str, path: &str) -> Result<u16> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(4_096).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.split(' ').nth(1).context("no status line")?;
    Ok(status.parse()?)
}
