//! Migrates the tables of one service, or of all, and ends. Services migrate their own tables when they start.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use bus::clock::SystemClock;
use clap::{Parser, ValueEnum};
use store::{Database, StoreError};

/// Brings a database's tables up to date
#[derive(Parser)]
#[command(name = "migrations", version)]
struct Arguments {
    /// Whose tables
    #[arg(value_enum, value_name = "WHOSE", default_value_t = Service::All)]
    service: Service,
    /// The database: postgres://user:password@host/database, or sqlite://path
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: String,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Service {
    Orders,
    Inventory,
    Customers,
    All,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Arguments = service_kit::config::parse(&[]);
    if let Err(invalid) = store::check_url(&arguments.database_url) {
        report(&format!("invalid configuration\n  DATABASE_URL (--database-url): {invalid}"));
        return ExitCode::from(2);
    }
    match migrate(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&format!("{error:#}"));
            match error.downcast_ref() {
                Some(StoreError::Misconfigured(_)) => ExitCode::from(2),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

fn report(message: &str) {
    use std::io::Write as _;
    // A closed standard error leaves no place to report to.
    let _ = writeln!(std::io::stderr(), "migrations: {message}");
}

async fn migrate(arguments: &Arguments) -> anyhow::Result<()> {
    let database = Database::connect(&arguments.database_url, Arc::new(SystemClock))
        .await
        .context("cannot connect to the database (DATABASE_URL)")?;
    for (service, name, tables) in [
        (Service::Orders, "orders", migrations::ORDERS),
        (Service::Inventory, "inventory", migrations::INVENTORY),
        (Service::Customers, "customers", migrations::CUSTOMERS),
    ] {
        if arguments.service == Service::All || arguments.service == service {
            let migrated = tables.migrate(&database).await;
            migrated.with_context(|| format!("cannot migrate the tables of {name}"))?;
        }
    }
    database.close().await;
    Ok(())
}
