//! The configuration of customer-service.

use clap::Parser;
use service_kit::config::{ConfigErrors, DatabaseArgs, ProcessArgs, ProcessConfig, Secret, SeedArgs};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Unacknowledged requests at any time.
    pub prefetch: u16,
    /// Whether to fill an empty database with the demo customers.
    pub seed_demo: bool,
}

/// Knows the customers, and where their orders go
#[derive(Parser, Debug)]
#[command(name = "customer-service", version)]
pub struct Arguments {
    #[command(flatten)]
    process: ProcessArgs,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    seed: SeedArgs,
}

/// The defaults of this process that differ from those of others.
pub const DEFAULTS: &[(&str, &str)] = &[("admin_port", "9402")];

impl Arguments {
    /// Returns the configuration of the process, of its database and of the service, or everything that is wrong with it.
    pub fn check(&self) -> Result<(ProcessConfig, (Secret, Config)), ConfigErrors> {
        let mut errors = ConfigErrors::default();
        let process = self.process.check(&mut errors);
        let database_url = self.database.required_url(&mut errors, store::check_url);
        let seed_demo = self.seed.demo(&mut errors);
        let service = Config { prefetch: process.bus.prefetch, seed_demo };
        errors.finish((process, (database_url, service)))
    }
}
