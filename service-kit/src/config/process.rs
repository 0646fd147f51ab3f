use std::time::Duration;

use clap::Args;

use super::{
    AdminArgs, AdminConfig, BusArgs, BusConfig, ConfigErrors, DrainArgs, LogArgs, LogConfig, Secret,
};

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
    /// The typed values; what is wrong goes to `errors`.
    pub fn check(&self, errors: &mut ConfigErrors) -> ProcessConfig {
        ProcessConfig {
            admin: self.admin.check(errors),
            rabbitmq_url: self.bus.required_url(errors),
            bus: self.bus.check(errors),
            log: self.log.check(errors),
            drain_delay: self.drain.check(errors),
        }
    }
}
