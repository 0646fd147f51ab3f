//! The configuration of inventory-service.

use std::time::Duration;

use clap::{Args, Parser};
use schema::money::Currency;
use service_kit::config::{
    BusConfig, ConfigErrors, DatabaseArgs, ProcessArgs, ProcessConfig, Secret, SeedArgs,
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub currency: Currency,
    /// How long a hold may go without a report of its order before order-service is asked about it.
    pub reservation_hold: Duration,
    pub request_timeout: Duration,
    /// Unacknowledged requests, and unacknowledged events, at any time.
    pub prefetch: u16,
    /// Whether an empty catalogue gets the demo's products.
    pub seed_demo: bool,
}

#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Shop")]
pub struct StockArgs {
    /// Currency of all prices, by ISO 4217
    #[arg(long, env = "CURRENCY", default_value = "USD")]
    pub currency: String,
    /// How long stock may be held without a report of its order before order-service is asked about it
    #[arg(long, env = "RESERVATION_HOLD", default_value = "60s")]
    pub reservation_hold: String,
}

impl StockArgs {
    /// Returns the service's configuration, and adds what is wrong to `errors`.
    pub fn check(&self, bus: &BusConfig, seed_demo: bool, errors: &mut ConfigErrors) -> Config {
        let currency = self.currency.trim().parse().ok().filter(|currency: &Currency| currency.is_listed());
        if currency.is_none() {
            let problem = format!("{:?} is not a currency of ISO 4217, such as USD or EUR", self.currency);
            errors.add("CURRENCY", problem);
        }
        let hold = Duration::from_millis(100)..=Duration::from_secs(24 * 60 * 60);
        Config {
            currency: currency.unwrap_or(Currency::USD),
            reservation_hold: errors.duration("RESERVATION_HOLD", &self.reservation_hold, hold),
            request_timeout: bus.request_timeout,
            prefetch: bus.prefetch,
            seed_demo,
        }
    }
}

/// Keeps the catalogue and its stock: answers requests, and reconciles stock with order events
#[derive(Parser, Debug)]
#[command(name = "inventory-service", version)]
pub struct Arguments {
    #[command(flatten)]
    process: ProcessArgs,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    seed: SeedArgs,
    #[command(flatten)]
    stock: StockArgs,
}

/// Defaults of this process that differ from the other processes'.
pub const DEFAULTS: &[(&str, &str)] = &[("admin_port", "9403")];

impl Arguments {
    /// Returns the configuration of the process, its database and the service, or all errors in it.
    pub fn check(&self) -> Result<(ProcessConfig, (Secret, Config)), ConfigErrors> {
        let mut errors = ConfigErrors::default();
        let process = self.process.check(&mut errors);
        let database_url = self.database.required_url(&mut errors, store::check_url);
        let seed_demo = self.seed.demo(&mut errors);
        let service = self.stock.check(&process.bus, seed_demo, &mut errors);
        errors.finish((process, (database_url, service)))
    }
}
