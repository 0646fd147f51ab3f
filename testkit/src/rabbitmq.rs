//! A RabbitMQ node of one test.

use std::path::Path;
use std::process::Stdio;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::guard::{EndSignals, Environment, Guard, has_ended};
use crate::user::write_private;
use crate::{KeyedCertificate, free_port};

const BROKER: &str = "rabbitmq";
const EPMD: &str = "epmd";
const START_LIMIT: Duration = Duration::from_secs(90);
const CTL_LIMIT: Duration = Duration::from_secs(60);

/// Debian's `/usr/sbin/rabbitmq-server` insists on its own user and folders; RabbitMQ's own script does not.
const SCRIPT_FOLDERS: [&str; 3] = ["/usr/lib/rabbitmq/bin", "/opt/homebrew/sbin", "/usr/local/sbin"];

/// One RabbitMQ node on loopback ports, with its own data, Erlang cookie and epmd. It shares nothing with an installed
/// service or another test, and leaves nothing behind when dropped or when the owning process dies.
pub struct RabbitMq {
    guard: Guard,
    scripts: &'static Path,
    port: u16,
    /// Of the management API, if it is enabled.
    management_port: Option<u16>,
    tls_port: Option<u16>,
    environment: Environment,
    broker: Mutex<Option<Pid>>,
}

impl RabbitMq {
    /// Starts a node and waits until it speaks AMQP, which takes some five seconds.
    pub async fn start() -> Result<Self> {
        // No plugins: they cost memory and start-up time.
        Self::start_with(None, None).await
    }

    /// As [`RabbitMq::start`], with the management plugin.
    pub async fn start_with_management() -> Result<Self> {
        Self::start_with(Some(free_port()), None).await
    }

    /// Starts a node that speaks AMQP over TLS too, with this certificate.
    pub async fn start_with_tls(certificate: &KeyedCertificate) -> Result<Self> {
        Self::start_with(None, Some(certificate)).await
    }

    async fn start_with(
        management_port: Option<u16>,
        certificate: Option<&KeyedCertificate>,
    ) -> Result<Self> {
        let scripts = SCRIPT_FOLDERS
            .iter()
            .map(Path::new)
            .find(|folder| folder.join("rabbitmq-server").exists())
            .context("RabbitMQ is not installed (Debian: rabbitmq-server)")?;
        let guard = Guard::new("waybill-rabbitmq", EndSignals::Kill)?;
        let port = free_port();
        let epmd_port = free_port();
        let environment = environment(guard.folder(), epmd_port)?;
        let plugins = if management_port.is_some() { "[rabbitmq_management]." } else { "[]." };
        std::fs::write(guard.folder().join("enabled_plugins"), plugins)?;
        let mut settings = configuration(port, management_port);
        let mut tls_port = None;
        if let Some(certificate) = certificate {
            write_certificate(guard.folder(), certificate)?;
            let port = *tls_port.insert(free_port());
            settings.push_str(&tls_configuration(port, guard.folder()));
        }
        std::fs::write(guard.folder().join("rabbitmq.conf"), settings)?;

        let broker = Mutex::new(None);
        let rabbit = Self { guard, scripts, port, management_port, tls_port, environment, broker };
        rabbit.start_epmd(epmd_port).await?;
        rabbit.start_broker().await?;
        Ok(rabbit)
    }

    /// `amqp://` with the default user, who may do anything, and the default virtual host.
    #[must_use]
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.port)
    }

    /// The management API, with the default user, if it is enabled.
    #[must_use]
    pub fn management_url(&self) -> Option<String> {
        self.management_port.map(|port| format!("http://guest:guest@127.0.0.1:{port}"))
    }

    /// `amqps://` at this name of the machine, with the default user and virtual host.
    ///
    /// # Panics
    /// When the node was started without TLS.
    #[must_use]
    pub fn tls_url(&self, host: &str) -> String {
        format!("amqps://guest:guest@{host}:{}/%2f", self.tls_port.expect("the node speaks TLS"))
    }

    /// Lets new connections see another certificate.
    pub async fn replace_certificate(&self, certificate: &KeyedCertificate) -> Result<()> {
        write_certificate(self.guard.folder(), certificate)?;
        self.ctl(&["eval", "ssl:clear_pem_cache()."]).await?;
        Ok(())
    }

    /// The AMQP port, the same across restarts.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id of the node, if it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        let pid = *self.broker.lock().expect("no holder of the lock panics");
        pid.map(|pid| pid.as_raw_nonzero().get().unsigned_abs())
    }

    /// Kills the node with SIGKILL; its data stay. Nothing happens when it isn't running.
    pub async fn kill(&self) -> Result<()> {
        let Some(pid) = self.broker.lock().expect("no holder of the lock panics").take() else {
            return Ok(());
        };
        kill_process(pid, Signal::KILL)?;
        self.guard.wait(BROKER).await?;
        Ok(())
    }

    /// Kills the node if it runs, and starts it on the same port with the same data.
    pub async fn restart(&self) -> Result<()> {
        self.kill().await?;
        self.start_broker().await
    }

    /// Stops the node with SIGSTOP: connections stay open, but nothing is sent.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Resumes a paused node with SIGCONT.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Runs `rabbitmqctl` against this node; returns its output. Fails with its error output, or after a minute.
    pub async fn ctl(&self, arguments: &[&str]) -> Result<String> {
        let command = tokio::process::Command::new(self.scripts.join("rabbitmqctl"))
            .args(arguments)
            .env_clear()
            .envs(&self.environment)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = timeout(CTL_LIMIT, command).await.context("rabbitmqctl didn't end in time")??;
        ensure!(
            output.status.success(),
            "rabbitmqctl {arguments:?}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    /// The node's folder, with its log in `log/`; removed with the node.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.guard.folder()
    }

    async fn start_epmd(&self, port: u16) -> Result<()> {
        let words = ["epmd", "-address", "127.0.0.1", "-port", &port.to_string()].map(str::to_owned);
        let epmd = self.guard.start(EPMD, &self.environment, &words).await?;
        self.until(EPMD, epmd, async || TcpStream::connect(("127.0.0.1", port)).await.is_ok()).await
    }

    async fn start_broker(&self) -> Result<()> {
        let script = self.scripts.join("rabbitmq-server").display().to_string();
        let pid = self.guard.start(BROKER, &self.environment, &[script, "-noinput".to_owned()]).await?;
        *self.broker.lock().expect("no holder of the lock panics") = Some(pid);
        self.until(BROKER, pid, async || speaks_amqp(self.port).await.unwrap_or(false)).await?;
        let Some(port) = self.management_port else { return Ok(()) };
        self.until(BROKER, pid, async || TcpStream::connect(("127.0.0.1", port)).await.is_ok()).await
    }

    async fn until(&self, name: &str, pid: Pid, mut ready: impl AsyncFnMut() -> bool) -> Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        while !ready().await {
            if has_ended(pid) || Instant::now() > deadline {
                bail!("{name} didn't start:\n{}", self.guard.log(name));
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid =
            self.broker.lock().expect("no holder of the lock panics").context("RabbitMQ is not running")?;
        Ok(kill_process(pid, signal)?)
    }
}

fn environment(folder: &Path, epmd_port: u16) -> Result<Environment> {
    let folder = folder.to_str().context("the temporary folder's name is no text")?;
    let node = folder.rsplit('.').next().unwrap_or_default();
    Ok(Environment::from([
        ("PATH", "/usr/local/bin:/usr/bin:/bin:/opt/homebrew/bin".to_owned()),
        ("LANG", "C.UTF-8".to_owned()),
        ("HOME", folder.to_owned()),
        ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
        ("ERL_EPMD_PORT", epmd_port.to_string()),
        // By default an Erlang program that finds no epmd starts one in the background, which stays.
        ("ERL_AFLAGS", "-start_epmd false".to_owned()),
        // The script then becomes the node instead of its parent, so that signals reach the node.
        ("RABBITMQ_ALLOW_INPUT", "true".to_owned()),
        ("RABBITMQ_BASE", folder.to_owned()),
        ("RABBITMQ_CONF_ENV_FILE", "/dev/null".to_owned()),
        ("RABBITMQ_CONFIG_FILE", format!("{folder}/rabbitmq.conf")),
        ("RABBITMQ_CTL_DIST_PORT_MIN", free_port().to_string()),
        ("RABBITMQ_DIST_PORT", free_port().to_string()),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", format!("{folder}/enabled_plugins")),
        ("RABBITMQ_LOG_BASE", format!("{folder}/log")),
        ("RABBITMQ_MNESIA_BASE", format!("{folder}/mnesia")),
        ("RABBITMQ_NODENAME", format!("waybill-{node}@localhost")),
        ("RABBITMQ_PID_FILE", format!("{folder}/pid")),
        (
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
            "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}"
                .to_owned(),
        ),
    ]))
}

/// Quorum queues keep up to one write-ahead log in memory, 512 MB by default.
fn configuration(port: u16, management_port: Option<u16>) -> String {
    let management = management_port.map_or_else(String::new, |port| {
        format!("management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {port}\n")
    });
    format!(
        "listeners.tcp.1 = 127.0.0.1:{port}\n\
         raft.wal_max_size_bytes = 33554432\n\
         {management}"
    )
}

fn tls_configuration(port: u16, folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "listeners.ssl.1 = 127.0.0.1:{port}\n\
         ssl_options.certfile = {folder}/server.crt\n\
         ssl_options.keyfile = {folder}/server.key\n\
         ssl_options.verify = verify_none\n\
         ssl_options.fail_if_no_peer_cert = false\n"
    )
}

fn write_certificate(folder: &Path, certificate: &KeyedCertificate) -> Result<()> {
    write_private(folder, "server.crt", &certificate.certificate)?;
    write_private(folder, "server.key", &certificate.key)?;
    Ok(())
}

/// Whether the broker answers a protocol header with a method frame, `connection.start`.
async fn speaks_amqp(port: u16) -> Result<bool> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(b"AMQP\x00\x00\x09\x01").await?;
    let frame = timeout(Duration::from_secs(5), stream.read_u8()).await??;
    Ok(frame == 1)
}
