use std::time::Duration;

use clap::Args;
use gateway::auth::AuthConfig;
use gateway::config::{AuthArgs, HttpArgs};
use service_kit::config::{AdminArgs, AdminConfig, ConfigErrors, DrainArgs, LogArgs, LogConfig, Secret};

use crate::infrastructure::{SystemArgs, SystemConfig};

/// The defaults of this command that differ from other processes'.
pub(crate) const DEFAULTS: &[(&str, &str)] =
    &[("admin_port", "9400"), ("auth_mode", "mock"), ("rust_log", "info,sea_orm_migration=warn")];

/// Start the whole system in this process
///
/// Gateway, order-service, inventory-service and customer-service run side by side. If RABBITMQ_URL is not set they speak
/// over an embedded broker, and if DATABASE_URL is not set they keep their tables in SQLite; both write to DATA_DIR, and what
/// was accepted survives every crash. An empty system is filled with demo products and customers.
///
/// Once everything is up it prints the addresses, a token for CUST01, an order to place and updates to watch. Ctrl-C or
/// SIGTERM finish what has begun and end it; the next start continues from there.
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    admin: AdminArgs,
    #[command(flatten)]
    http: HttpArgs,
    #[command(flatten)]
    system: SystemArgs,
    #[command(flatten)]
    auth: AuthArgs,
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    drain: DrainArgs,
}

const AFTER_HELP: &str = "\
Every option can be given by the variable beside it as well. Everything that is wrong with them is reported at once, before \
anything is started. Exit codes: 0 ended in order, 1 failed, 2 wrong options.

Examples:
  waybill up --port 8080                       on another port
  waybill up --data-dir /var/lib/waybill       with its files elsewhere
  SEED=none waybill up                         an empty system, to be filled with `waybill import`
  RABBITMQ_URL=amqp://... waybill up           over RabbitMQ, with tables in SQLite";

#[derive(Debug, Clone)]
pub(crate) struct UpConfig {
    pub(crate) admin: AdminConfig,
    pub(crate) system: SystemConfig,
    pub(crate) gateway: gateway::Config,
    /// Whether the secret of `gateway` is the one in DATA_DIR, generated if there is none.
    pub(crate) makes_secret: bool,
    pub(crate) log: LogConfig,
    pub(crate) drain_delay: Duration,
}

impl UpArgs {
    /// Returns the typed values, or everything that is wrong with them.
    pub(crate) fn check(&self) -> Result<UpConfig, ConfigErrors> {
        let mut errors = ConfigErrors::new();
        let admin = self.admin.check(&mut errors);
        let system = self.system.check(&mut errors);
        let makes_secret = self.auth.lacks_secret();
        let auth = if makes_secret {
            AuthConfig::Mock { secret: Secret::new("") }
        } else {
            self.auth.check(&mut errors)
        };
        let config = UpConfig {
            gateway: self.http.check(&admin.host, auth, &system.bus, &mut errors),
            makes_secret,
            log: self.log.check(&mut errors),
            drain_delay: self.drain.check(&mut errors),
            admin,
            system,
        };
        errors.finish(config)
    }
}
