//! The configuration of order-service.

use std::time::Duration;

use clap::{Args, Parser};
use service_kit::config::{BusConfig, ConfigErrors, DatabaseArgs, ProcessArgs, ProcessConfig, Secret};

use crate::context::Timeouts;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub timeouts: Timeouts,
    /// Unacknowledged requests, and unacknowledged commands, at any time.
    pub prefetch: u16,
}

#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Orders")]
pub struct OrderArgs {
    /// How long an order may be PENDING before it is rejected as EXPIRED
    #[arg(long, env = "PENDING_MAX_AGE", default_value = "15m")]
    pub pending_max_age: String,
}

impl OrderArgs {
    /// Returns the service's configuration, and adds what is wrong to `errors`.
    pub fn check(&self, bus: &BusConfig, errors: &mut ConfigErrors) -> Config {
        let week = Duration::from_secs(7 * 24 * 60 * 60);
        let pending_max_age =
            errors.duration("PENDING_MAX_AGE", &self.pending_max_age, Duration::from_secs(1)..=week);
        let timeouts =
            Timeouts { request_timeout: bus.request_timeout, pending_max_age, ..Timeouts::default() };
        Config { timeouts, prefetch: bus.prefetch }
    }
}

/// Places and changes orders, and publishes an event of every change
#[derive(Parser, Debug)]
#[command(name = "order-service", version)]
pub struct Arguments {
    #[command(flatten)]
    process: ProcessArgs,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    orders: OrderArgs,
}

/// Defaults of this process that differ from the other processes'.
pub const DEFAULTS: &[(&str, &str)] = &[("admin_port", "9401")];

impl Arguments {
    /// Returns the configuration of the process, its database and the service, or all errors in it.
    pub fn check(&self) -> Result<(ProcessConfig, (Secret, Config)), ConfigErrors> {
        let mut errors = ConfigErrors::default();
        let process = self.process.check(&mut errors);
        let database_url = self.database.required_url(&mut errors, store::check_url);
        let service = self.orders.check(&process.bus, &mut errors);
        errors.finish((process, (database_url, service)))
    }
}
