//! What customer-service can be told.

use std::time::Duration;

use clap::Parser;
use service_kit::config::{
    AdminArgs, AdminConfig, BusArgs, BusConfig, DatabaseArgs, DrainArgs, Faults, InvalidConfig, LogArgs,
    LogConfig, Secret, SeedArgs,
};

/// What the service needs to know wherever it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Requests taken and not settled at any time.
    pub prefetch: u16,
    /// Whether an empty database gets the demo's customers.
    pub seed_demo: bool,
}

/// Knows the customers, and where their orders go
#[derive(Parser, Debug)]
#[command(name = "customer-service", version)]
pub struct Arguments {
    #[command(flatten)]
    admin: AdminArgs,
    #[command(flatten)]
    bus: BusArgs,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    seed: SeedArgs,
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    drain: DrainArgs,
}

/// The defaults of this process where they differ from others'.
pub const DEFAULTS: &[(&str, &str)] = &[("admin_port", "9402")];

/// What the process needs to know beside what the service does.
#[derive(Debug, Clone)]
pub struct ProcessConfig {
    /// Where the admin endpoints listen.
    pub admin: AdminConfig,
    /// The broker.
    pub rabbitmq_url: Secret,
    /// The bounds of what travels.
    pub bus: BusConfig,
    /// The database.
    pub database_url: Secret,
    /// How logs are written.
    pub log: LogConfig,
    /// How long to serve on when told to end.
    pub drain_delay: Duration,
    /// The service itself.
    pub service: Config,
}

impl Arguments {
    /// The typed values, or everything that is wrong with them.
    pub fn check(&self) -> Result<ProcessConfig, InvalidConfig> {
        let mut faults = Faults::new();
        let bus = self.bus.check(&mut faults);
        let config = ProcessConfig {
            admin: self.admin.check(&mut faults),
            rabbitmq_url: self.bus.required_url(&mut faults),
            database_url: self.database.required_url(&mut faults),
            log: self.log.check(&mut faults),
            drain_delay: self.drain.check(&mut faults),
            service: Config { prefetch: bus.prefetch, seed_demo: self.seed.demo(&mut faults) },
            bus,
        };
        faults.finish(config)
    }
}
