//! The groups of arguments that processes share, each with its checked form.

use std::fmt::Display;
use std::io::IsTerminal;
use std::time::Duration;

use bus::amqp::check_urls;
use bus::tls::read_root_certificates;
use clap::Args;
use tracing_subscriber::EnvFilter;

use super::{ConfigErrors, Secret};

const BROKER_SCHEMES: [&str; 2] = ["amqp", "amqps"];
const DATABASE_SCHEMES: [&str; 3] = ["postgres", "postgresql", "sqlite"];

/// The address of the admin server. A process gives `admin_port` its default with [`super::with_defaults`].
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Listening")]
pub struct AdminArgs {
    /// Address to listen on
    #[arg(long, env = "HOST", default_value = "127.0.0.1")]
    pub host: String,
    /// Port of /livez, /readyz and /metrics; 0 lets the system choose
    #[arg(long, env = "ADMIN_PORT")]
    pub admin_port: String,
}

/// [`AdminArgs`], checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminConfig {
    pub host: String,
    pub port: u16,
}

impl AdminArgs {
    pub fn check(&self, errors: &mut ConfigErrors) -> AdminConfig {
        AdminConfig {
            host: errors.host("HOST", &self.host),
            port: errors.port("ADMIN_PORT", &self.admin_port),
        }
    }
}

/// How to connect to the broker.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Message bus")]
pub struct BrokerArgs {
    /// The broker: amqp://user:password@host:5672/vhost, or amqps://; several, separated by commas, are tried in order
    #[arg(long, env = "RABBITMQ_URL", hide_env_values = true, value_name = "URL")]
    pub rabbitmq_url: Option<Secret>,
    /// A file of root certificates (PEM) that amqps:// trusts beside the system's
    #[arg(long, env = "RABBITMQ_CA_FILE", value_name = "FILE")]
    pub rabbitmq_ca_file: Option<String>,
}

/// [`BrokerArgs`], checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerAddress {
    /// One URL, or several that are separated by commas.
    pub urls: Secret,
    /// Root certificates in PEM that are trusted beside the system's.
    pub root_certificates: Option<String>,
}

impl BrokerArgs {
    /// The broker's address, or `None` if no URL is given.
    pub fn check(&self, errors: &mut ConfigErrors) -> Option<BrokerAddress> {
        let urls = errors.url("RABBITMQ_URL", self.rabbitmq_url.as_ref(), &BROKER_SCHEMES, check_urls)?;
        Some(BrokerAddress { root_certificates: self.root_certificates(&urls, errors), urls })
    }

    pub fn required(&self, errors: &mut ConfigErrors) -> BrokerAddress {
        let urls =
            errors.required_url("RABBITMQ_URL", self.rabbitmq_url.as_ref(), &BROKER_SCHEMES, check_urls);
        BrokerAddress { root_certificates: self.root_certificates(&urls, errors), urls }
    }

    fn root_certificates(&self, urls: &Secret, errors: &mut ConfigErrors) -> Option<String> {
        let file = self.rabbitmq_ca_file.as_deref().map(str::trim).filter(|file| !file.is_empty())?;
        if !urls.expose().contains("amqps://") {
            errors.add("RABBITMQ_CA_FILE", "of no use unless RABBITMQ_URL begins with amqps://");
        }
        match read_root_certificates(file) {
            Ok(certificates) => Some(certificates),
            Err(problem) => {
                errors.add("RABBITMQ_CA_FILE", problem);
                None
            }
        }
    }
}

/// The broker and the bounds of messages.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Message bus")]
pub struct BusArgs {
    #[command(flatten)]
    pub broker: BrokerArgs,
    /// Prefix of every exchange and queue
    #[arg(long, env = "BUS_NAMESPACE", default_value = "waybill")]
    pub bus_namespace: String,
    /// How long a request to another service may take
    #[arg(long, env = "REQUEST_TIMEOUT", default_value = "5s")]
    pub request_timeout: String,
    /// Pauses before failed work is tried again, one for each attempt; then it is dead-lettered
    #[arg(long, env = "RETRY_DELAYS", default_value = "1s,5s,30s,2m")]
    pub retry_delays: String,
    /// Messages a consumer holds unacknowledged at most
    #[arg(long, env = "PREFETCH", default_value = "256")]
    pub prefetch: String,
}

/// [`BusArgs`], checked, without the broker's address, which is optional in some processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BusConfig {
    pub namespace: String,
    pub request_timeout: Duration,
    pub retry_delays: Vec<Duration>,
    pub prefetch: u16,
}

impl BusArgs {
    pub fn check(&self, errors: &mut ConfigErrors) -> BusConfig {
        let least = Duration::from_millis(1);
        let minutes = Duration::from_secs(5 * 60);
        BusConfig {
            namespace: errors.name("BUS_NAMESPACE", &self.bus_namespace),
            request_timeout: errors.duration("REQUEST_TIMEOUT", &self.request_timeout, least..=minutes),
            retry_delays: errors.retry_delays(&self.retry_delays),
            prefetch: errors.number("PREFETCH", &self.prefetch, 1..=10_000),
        }
    }
}

/// The database of a service.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Database")]
pub struct DatabaseArgs {
    /// postgres://user:password@host/database, or sqlite://path; several hosts, separated by commas, are tried in order
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<Secret>,
}

impl DatabaseArgs {
    /// The URL, or `None` if it isn't given. `check` is the database layer's, which this crate doesn't know.
    pub fn url<E: Display>(
        &self,
        errors: &mut ConfigErrors,
        check: impl FnOnce(&str) -> Result<(), E>,
    ) -> Option<Secret> {
        errors.url("DATABASE_URL", self.database_url.as_ref(), &DATABASE_SCHEMES, check)
    }

    pub fn required_url<E: Display>(
        &self,
        errors: &mut ConfigErrors,
        check: impl FnOnce(&str) -> Result<(), E>,
    ) -> Secret {
        errors.required_url("DATABASE_URL", self.database_url.as_ref(), &DATABASE_SCHEMES, check)
    }
}

#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Database")]
pub struct SeedArgs {
    /// What an empty database is filled with: demo, catalogue (the demo without orders) or none
    #[arg(long, env = "SEED", default_value = "demo")]
    pub seed: String,
}

impl SeedArgs {
    /// Whether an empty database gets the demo's products and customers.
    pub fn demo(&self, errors: &mut ConfigErrors) -> bool {
        errors.choice("SEED", &self.seed, &[("demo", true), ("catalogue", true), ("none", false)])
    }

    /// Whether an empty shop gets the demo's orders as well.
    pub fn demo_orders(&self) -> bool {
        self.seed.trim() == "demo"
    }
}

#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Logs")]
pub struct LogArgs {
    /// pretty or json [default: pretty on a terminal, json otherwise]
    #[arg(long, env = "LOG_FORMAT")]
    pub log_format: Option<String>,
    /// Level, or levels by module, such as info,bus=debug
    #[arg(long, env = "RUST_LOG", default_value = "info")]
    pub rust_log: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Compact lines, coloured on a terminal.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// [`LogArgs`], checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// By default pretty if standard error is a terminal, JSON otherwise.
    pub format: LogFormat,
    /// A filter that `tracing_subscriber` accepts.
    pub filter: String,
}

impl LogArgs {
    pub fn check(&self, errors: &mut ConfigErrors) -> LogConfig {
        let format = match self.log_format.as_deref().filter(|format| !format.is_empty()) {
            Some(format) => {
                let formats = [("pretty", LogFormat::Pretty), ("json", LogFormat::Json)];
                errors.choice("LOG_FORMAT", format, &formats)
            }
            None if std::io::stderr().is_terminal() => LogFormat::Pretty,
            None => LogFormat::Json,
        };
        if EnvFilter::try_new(&self.rust_log).is_err() {
            let problem = format!("{:?} is not a filter, such as info or info,bus=debug", self.rust_log);
            errors.add("RUST_LOG", problem);
        }
        LogConfig { format, filter: self.rust_log.clone() }
    }
}

#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Shutdown")]
pub struct DrainArgs {
    /// How long to serve on after SIGTERM, not ready, while load balancers notice
    #[arg(long, env = "DRAIN_DELAY", default_value = "0s")]
    pub drain_delay: String,
}

impl DrainArgs {
    /// 0 to 10 min.
    pub fn check(&self, errors: &mut ConfigErrors) -> Duration {
        errors.duration("DRAIN_DELAY", &self.drain_delay, Duration::ZERO..=Duration::from_secs(600))
    }
}

/// The arguments of every process that hosts one service, beside those of the service.
#[derive(Args, Debug, Clone)]
pub struct ProcessArgs {
    #[command(flatten)]
    admin: AdminArgs,
    #[command(flatten)]
    bus: BusArgs,
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    drain: DrainArgs,
}

/// [`ProcessArgs`], checked.
#[derive(Debug, Clone)]
pub struct ProcessConfig {
    pub admin: AdminConfig,
    pub broker: BrokerAddress,
    pub bus: BusConfig,
    pub log: LogConfig,
    /// How long the process serves on after SIGTERM.
    pub drain_delay: Duration,
}

impl ProcessArgs {
    pub fn check(&self, errors: &mut ConfigErrors) -> ProcessConfig {
        ProcessConfig {
            admin: self.admin.check(errors),
            broker: self.bus.broker.required(errors),
            bus: self.bus.check(errors),
            log: self.log.check(errors),
            drain_delay: self.drain.check(errors),
        }
    }
}
