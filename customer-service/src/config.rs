//! What customer-service can be told.

use clap::Parser;
use service_kit::config::{ConfigErrors, DatabaseArgs, ProcessArgs, ProcessConfig, Secret, SeedArgs};

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
    process: ProcessArgs,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    seed: SeedArgs,
}

/// The defaults of this process where they differ from others'.
pub const DEFAULTS: &[(&str, &str)] = &[("admin_port", "9402")];

impl Arguments {
    /// What the process, its database and the service need to know, or everything that is wrong with it.
    pub fn check(&self) -> Result<(ProcessConfig, Secret, Config), ConfigErrors> {
        let mut errors = ConfigErrors::new();
        let process = self.process.check(&mut errors);
        let database_url = self.database.required_url(&mut errors);
        let seed_demo = self.seed.demo(&mut errors);
        let service = Config { prefetch: process.bus.prefetch, seed_demo };
        errors.finish((process, database_url, service))
    }
}
