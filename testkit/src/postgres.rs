//! A PostgreSQL of the test's own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep, timeout};

use crate::guard::{EndSignals, Environment, Guard, has_ended};
use crate::small_disk::SmallDisk;
use crate::user::{unprivileged, write_private};
use crate::{KeyedCertificate, free_port, unique};

const INITDB: &str = "initdb";
const BASEBACKUP: &str = "pg_basebackup";
const POSTGRES: &str = "postgres";
const START_LIMIT: Duration = Duration::from_secs(90);
const QUERY_LIMIT: Duration = Duration::from_secs(120);

/// One PostgreSQL cluster on a loopback port, durable as in production (`fsync` on). It shares nothing with an installed
/// service or another test, and leaves nothing behind when dropped or when the owning process dies.
pub struct Postgres {
    guard: Guard,
    programs: PathBuf,
    port: u16,
    /// The words before a server program, by which root becomes another user.
    become_user: Vec<String>,
    server: Mutex<Option<Pid>>,
    /// Settings beside those that every test's server has, each as `name=value`.
    settings: Mutex<Vec<String>>,
    /// What the tablespace `small` is on, if there is one.
    small_disk: Option<SmallDisk>,
}

impl Postgres {
    /// Makes a cluster, starts it and waits until it takes connections, which takes some two seconds.
    pub async fn start() -> Result<Self> {
        let postgres = Self::prepare()?;
        postgres.initdb().await?;
        postgres.start_server().await?;
        Ok(postgres)
    }

    /// The same with a tablespace `small`, which has so many bytes on a file system of its own. The tablespace does not
    /// survive a restart. For machines where [`can_mount`](crate::can_mount) holds.
    pub async fn start_with_small_tablespace(bytes: u64) -> Result<Self> {
        let mut postgres = Self::prepare()?;
        postgres.initdb().await?;
        let disk = SmallDisk::new(&postgres.guard.folder().join("small"), bytes)?;
        let create = format!("CREATE TABLESPACE small LOCATION '{}'", disk.space());
        postgres.small_disk = Some(disk);
        postgres.start_server().await?;
        postgres.query(&postgres.url("postgres"), &create).await?;
        Ok(postgres)
    }

    /// Starts a standby of this server, which has every commit before the commit is answered: `SELECT pg_promote()` at the
    /// standby makes it a primary that has lost nothing.
    pub async fn start_standby(&self) -> Result<Self> {
        let standby = Self::prepare()?;
        let (data, port) = (standby.data(), self.port.to_string());
        let copied = [
            "-D",
            &data,
            "-h",
            "127.0.0.1",
            "-p",
            &port,
            "-U",
            "postgres",
            "-R",
            "-X",
            "stream",
            "-c",
            "fast",
        ];
        standby.run(BASEBACKUP, &copied).await?;
        standby.start_server().await?;
        let url = self.url("postgres");
        self.query(&url, "ALTER SYSTEM SET synchronous_standby_names = '*'").await?;
        self.query(&url, "SELECT pg_reload_conf()").await?;
        let deadline = Instant::now() + START_LIMIT;
        while self.query(&url, "SELECT sync_state FROM pg_stat_replication").await? != "sync" {
            ensure!(
                Instant::now() < deadline,
                "the standby doesn't follow:\n{}",
                standby.guard.log(POSTGRES)
            );
            sleep(Duration::from_millis(50)).await;
        }
        Ok(standby)
    }

    fn prepare() -> Result<Self> {
        let programs = programs().context("PostgreSQL's server is not installed (Debian: postgresql)")?;
        let guard = Guard::new("waybill-postgres", EndSignals::Quit)?;
        let become_user = unprivileged(guard.folder())?;
        Ok(Self {
            guard,
            programs,
            port: free_port(),
            become_user,
            server: Mutex::new(None),
            settings: Mutex::default(),
            small_disk: None,
        })
    }

    /// `postgres://` to a database of this cluster as its superuser.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// The port, the same across restarts.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Makes an empty database whose name begins with `prefix`, and answers its URL.
    pub async fn create_database(&self, prefix: &str) -> Result<String> {
        create_database(&self.url("postgres"), prefix).await
    }

    /// Ends the server as a crash would (`pg_ctl stop -m immediate`): connections break, the next start recovers.
    /// Nothing happens when it isn't running.
    pub async fn stop_immediately(&self) -> Result<()> {
        let Some(pid) = self.server.lock().expect("no holder of the lock panics").take() else {
            return Ok(());
        };
        kill_process(pid, Signal::QUIT)?;
        self.guard.wait(POSTGRES).await?;
        Ok(())
    }

    /// Stops the server and its sessions with SIGSTOP: connections are accepted and stay open, but nothing is answered.
    pub fn pause(&self) -> Result<()> {
        self.signal_all(Signal::STOP)
    }

    /// Resumes a paused server with SIGCONT.
    pub fn resume(&self) -> Result<()> {
        self.signal_all(Signal::CONT)
    }

    fn signal_all(&self, signal: Signal) -> Result<()> {
        let server = self.running()?;
        // Before its children: a server that is stopped begins no other.
        kill_process(server, signal)?;
        for child in children(server)? {
            // It may have ended by now.
            let _ = kill_process(child, signal);
        }
        Ok(())
    }

    fn running(&self) -> Result<Pid> {
        let server = *self.server.lock().expect("no holder of the lock panics");
        server.context("PostgreSQL is not running")
    }

    /// Leaves no space in the tablespace `small`.
    pub fn fill_small_tablespace(&self) -> Result<()> {
        self.small_disk()?.fill(self.running()?)
    }

    /// Frees the space again.
    pub fn free_small_tablespace(&self) -> Result<()> {
        self.small_disk()?.free(self.running()?)
    }

    fn small_disk(&self) -> Result<&SmallDisk> {
        self.small_disk.as_ref().context("the server has no tablespace small")
    }

    /// Stops the server immediately if it runs, and starts it on the same port with the same data.
    pub async fn restart(&self) -> Result<()> {
        self.stop_immediately().await?;
        self.start_server().await
    }

    /// Restarts the server with these settings (`name=value`) instead of earlier ones.
    pub async fn restart_with(&self, settings: &[String]) -> Result<()> {
        *self.settings.lock().expect("no holder of the lock panics") = settings.to_vec();
        self.restart().await
    }

    /// Restarts the server so that it offers TLS with this certificate, beside connections without it.
    pub async fn restart_with_tls(&self, certificate: &KeyedCertificate) -> Result<()> {
        self.restart_with(&self.tls_settings(certificate)?).await
    }

    /// The same, and the server knows the root of its clients' certificates.
    pub async fn restart_with_tls_and_clients(
        &self,
        certificate: &KeyedCertificate,
        root: &str,
    ) -> Result<()> {
        let root = write_private(self.guard.folder(), "root.crt", root)?;
        let mut settings = self.tls_settings(certificate)?;
        settings.push(format!("ssl_ca_file={root}"));
        self.restart_with(&settings).await
    }

    fn tls_settings(&self, certificate: &KeyedCertificate) -> Result<Vec<String>> {
        let folder = self.guard.folder();
        let file = write_private(folder, "server.crt", &certificate.certificate)?;
        let key = write_private(folder, "server.key", &certificate.key)?;
        Ok(vec!["ssl=on".to_owned(), format!("ssl_cert_file={file}"), format!("ssl_key_file={key}")])
    }

    /// Replaces the rules by which the server accepts connections, `pg_hba.conf`, at once.
    pub async fn accept(&self, rules: &str) -> Result<()> {
        write_private(&self.guard.folder().join("data"), "pg_hba.conf", rules)?;
        kill_process(self.running()?, Signal::HUP)?;
        Ok(())
    }

    /// The rows of a statement, one a line, columns separated by `|`.
    pub async fn query(&self, database_url: &str, sql: &str) -> Result<String> {
        query(database_url, sql).await
    }

    /// As [`Postgres::query`], for statements that may take longer than two minutes.
    pub async fn query_within(&self, database_url: &str, sql: &str, limit: Duration) -> Result<String> {
        query_within(database_url, sql, limit).await
    }

    /// The process id of the server, if it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        let pid = *self.server.lock().expect("no holder of the lock panics");
        pid.map(|pid| pid.as_raw_nonzero().get().unsigned_abs())
    }

    /// The path of one of PostgreSQL's programs, such as `pgbench`.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// The cluster's folder; removed with the server.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.guard.folder()
    }

    fn data(&self) -> String {
        self.guard.folder().join("data").display().to_string()
    }

    fn words(&self, program: &str, arguments: &[&str]) -> Vec<String> {
        let path = self.programs.join(program).display().to_string();
        let arguments = arguments.iter().map(|&argument| argument.to_owned());
        let before = match &self.small_disk {
            Some(disk) if program == POSTGRES => disk.words(&self.become_user),
            _ => self.become_user.clone(),
        };
        before.into_iter().chain([path]).chain(arguments).collect()
    }

    async fn initdb(&self) -> Result<()> {
        let data = self.data();
        let options = [
            "-D",
            &data,
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
            "--no-instructions",
        ];
        self.run(INITDB, &options).await
    }

    /// Runs one of PostgreSQL's programs until it ends, which must be well.
    async fn run(&self, program: &str, arguments: &[&str]) -> Result<()> {
        self.guard.start(program, &environment(), &self.words(program, arguments)).await?;
        let status = self.guard.wait(program).await?;
        ensure!(status == 0, "{program} failed:\n{}", self.guard.log(program));
        Ok(())
    }

    async fn start_server(&self) -> Result<()> {
        let (data, port) = (self.data(), self.port.to_string());
        let settings = [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "max_connections=300",
            // In the data folder rather than in /dev/shm, where a killed server would leave it.
            "dynamic_shared_memory_type=mmap",
        ];
        let mut arguments = vec!["-D", &data, "-p", &port];
        arguments.extend(settings.iter().flat_map(|setting| ["-c", setting]));
        let more = self.settings.lock().expect("no holder of the lock panics").clone();
        arguments.extend(more.iter().flat_map(|setting| ["-c", setting.as_str()]));
        let pid = self.guard.start(POSTGRES, &environment(), &self.words(POSTGRES, &arguments)).await?;
        *self.server.lock().expect("no holder of the lock panics") = Some(pid);

        let deadline = Instant::now() + START_LIMIT;
        while !self.takes_connections().await? {
            if has_ended(pid) || Instant::now() > deadline {
                bail!("postgres didn't start:\n{}", self.guard.log(POSTGRES));
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    async fn takes_connections(&self) -> Result<bool> {
        let status = tokio::process::Command::new(self.programs.join("pg_isready"))
            .args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()])
            .status()
            .await?;
        Ok(status.success())
    }
}

/// The processes that a process has begun.
fn children(parent: Pid) -> Result<Vec<Pid>> {
    let parent = parent.as_raw_pid().to_string();
    let processes = std::fs::read_dir("/proc")?.flatten().filter_map(|process| {
        let id = process.file_name().to_str()?.parse().ok()?;
        // The name, in brackets, may hold anything; the parent is the second field after it.
        let status = std::fs::read_to_string(process.path().join("stat")).ok()?;
        let (_, fields) = status.rsplit_once(") ")?;
        (fields.split(' ').nth(1)? == parent).then(|| Pid::from_raw(id))?
    });
    Ok(processes.collect())
}

/// Makes an empty database beside the one that the URL names, and answers its URL.
pub(crate) async fn create_database(server_url: &str, prefix: &str) -> Result<String> {
    let name = unique(prefix).replace('-', "_");
    query(server_url, &format!("CREATE DATABASE \"{name}\"")).await?;
    let (server, _) = server_url.rsplit_once('/').context("the URL names no database")?;
    Ok(format!("{server}/{name}"))
}

/// The rows of a statement, one a line, columns separated by `|`.
pub(crate) async fn query(database_url: &str, sql: &str) -> Result<String> {
    query_within(database_url, sql, QUERY_LIMIT).await
}

async fn query_within(database_url: &str, sql: &str, limit: Duration) -> Result<String> {
    let psql = programs().map_or_else(|| PathBuf::from("psql"), |programs| programs.join("psql"));
    let command = tokio::process::Command::new(psql)
        .args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-c", sql, database_url])
        .env_clear()
        .envs(environment())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(limit, command).await.context("psql didn't end in time")??;
    ensure!(output.status.success(), "psql: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}

fn environment() -> Environment {
    Environment::from([("PATH", "/usr/local/bin:/usr/bin:/bin".to_owned()), ("LANG", "C.UTF-8".to_owned())])
}

/// The folder of PostgreSQL's programs: the newest that Debian's packages hold, or what `pg_config` says.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<(u32, PathBuf)> = versions
        .filter_map(|version| {
            let number = version.file_name().to_str()?.parse().ok()?;
            Some((number, version.path().join("bin")))
        })
        .filter(|(_, folder)| folder.join(POSTGRES).exists())
        .collect();
    folders.sort();
    folders.pop().map(|(_, folder)| folder).or_else(|| {
        let output = Command::new("pg_config").arg("--bindir").output().ok()?;
        let folder = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
        folder.join(POSTGRES).exists().then_some(folder)
    })
}
