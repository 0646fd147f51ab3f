use std::time::Duration;

use clap::Args;

use super::{AdminArgs, AdminConfig, BusArgs, BusConfig, DrainArgs, Faults, LogArgs, LogConfig, Secret};

/// What every process can be told that hosts one service, beside what the service can be told.
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
    /// Where the admin endpoints listen.
    pub admin: AdminConfig,
    /// The broker.
    pub rabbitmq_url: Secret,
    /// The bounds of what travels.
    pub bus: BusConfig,
    /// How logs are written.
    pub log: LogConfig,
    /// How long to serve on when told to end.
    pub drain_delay: Duration,
}

impl ProcessArgs {
    /// The typed values; what is wrong goes to `faults`.
    pub fn check(&self, faults: &mut Faults) -> ProcessConfig {
        ProcessConfig {
            admin: self.admin.check(faults),
            rabbitmq_url: self.bus.required_url(faults),
            bus: self.bus.check(faults),
            log: self.log.check(faults),
            drain_delay: self.drain.check(faults),
        }
    }
}
