//! What order-service can be told.

use std::time::Duration;

use clap::{Args, Parser};
use service_kit::config::{
    AdminArgs, AdminConfig, BusArgs, BusConfig, DatabaseArgs, DrainArgs, Faults, InvalidConfig, LogArgs,
    LogConfig, Secret,
};

use crate::context::Bounds;

/// What the service needs to know wherever it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// How long things may take.
    pub bounds: Bounds,
    /// Requests, and commands, taken and not settled at any time.
    pub prefetch: u16,
}

/// The orders' own part of the arguments.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Orders")]
pub struct OrderArgs {
    /// How long an order may be PENDING before it is rejected as EXPIRED
    #[arg(long, env = "PENDING_MAX_AGE", default_value = "15m")]
    pub pending_max_age: String,
}

impl OrderArgs {
    /// The service's configuration; what is wrong goes to `faults`.
    pub fn check(&self, bus: &BusConfig, faults: &mut Faults) -> Config {
        let week = Duration::from_secs(7 * 24 * 60 * 60);
        let pending_max_age =
            faults.duration("PENDING_MAX_AGE", &self.pending_max_age, Duration::from_secs(1)..=week);
        let bounds = Bounds { request_timeout: bus.request_timeout, pending_max_age, ..Bounds::default() };
        Config { bounds, prefetch: bus.prefetch }
    }
}

/// Takes orders and changes them, and tells of every change
#[derive(Parser, Debug)]
#[command(name = "order-service", version)]
pub struct Arguments {
    #[command(flatten)]
    admin: AdminArgs,
    #[command(flatten)]
    bus: BusArgs,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    orders: OrderArgs,
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    drain: DrainArgs,
}

/// The defaults of this process where they differ from others'.
pub const DEFAULTS: &[(&str, &str)] = &[("admin_port", "9401")];

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
            service: self.orders.check(&bus, &mut faults),
            bus,
        };
        faults.finish(config)
    }
}
