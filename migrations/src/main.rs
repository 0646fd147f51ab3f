//! Migrates the tables of one service, or of all, and ends. Services do the same when they start.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use bus::clock::SystemClock;
use clap::{Parser, ValueEnum};
use store::Database;

/// Brings a database's tables up to date
#[derive(Parser)]
#[command(name = "migrations", version)]
struct Arguments {
    /// Whose tables
    #[arg(value_enum, default_value_t = Whose::All)]
    whose: Whose,
    /// The database: postgres://user:password@host/database, or sqlite://path
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: String,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Whose {
    Orders,
    Inventory,
    Customers,
    All,
}

#[tokio::main]
async fn main() -> ExitCode {
    match migrate(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            use std::io::Write as _;
            // With standard error gone there is nobody left to tell.
            let _ = writeln!(std::io::stderr(), "migrations: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn migrate(arguments: &Arguments) -> anyhow::Result<()> {
    let database = Database::connect(&arguments.database_url, Arc::new(SystemClock))
        .await
        .context("cannot connect to the database (DATABASE_URL)")?;
    let wanted = |whose| arguments.whose == Whose::All || arguments.whose == whose;
    if wanted(Whose::Orders) {
        migrations::orders::migrate(&database).await.context("cannot migrate the tables of orders")?;
    }
    if wanted(Whose::Inventory) {
        migrations::inventory::migrate(&database).await.context("cannot migrate the tables of inventory")?;
    }
    if wanted(Whose::Customers) {
        migrations::customers::migrate(&database).await.context("cannot migrate the tables of customers")?;
    }
    database.close().await;
    Ok(())
}
