//! Looking at databases. Nothing is changed in them.

use std::sync::Arc;
use std::time::Duration;

use bus::clock::{Clock, SystemClock};
use service_kit::config::Secret;
use store::{Database, StoreError};

use super::examined;
use super::examined::Tables;
use crate::data_dir::DataDir;

/// How long one database may take to answer everything.
const LIMIT: Duration = Duration::from_secs(5);

/// The files of a shop that isn't running.
pub(super) async fn in_files(data_dir: &DataDir) -> Vec<examined::Database> {
    let mut seen = Vec::new();
    for tables in ["orders", "inventory", "customers"] {
        let file = data_dir.database(tables);
        // Connecting makes a file where there is none.
        if file.exists() {
            seen.push(at(&file.display().to_string(), &crate::backing::sqlite_url(&file)).await);
        }
    }
    seen
}

/// The database of this URL.
pub(super) async fn at(name: &str, url: &Secret) -> examined::Database {
    let looking = async {
        let database = Database::connect(url.expose(), Arc::new(SystemClock)).await?;
        let seen = look(name, &database).await;
        database.close().await;
        seen
    };
    within_limit(name, looking).await
}

/// Databases that are connected to already.
pub(super) async fn connected(databases: &[Database]) -> Vec<examined::Database> {
    let mut seen: Vec<examined::Database> = Vec::new();
    for database in databases {
        let mut found = within_limit("database", look("database", database)).await;
        let tables: Vec<&str> = found.tables.iter().map(|tables| tables.of.as_str()).collect();
        if !tables.is_empty() {
            found.name = format!("database of {}", tables.join(", "));
        }
        // Services that share one database have each a connection to it.
        if seen.iter().all(|other| other.name != found.name) {
            seen.push(found);
        }
    }
    seen
}

async fn within_limit(
    name: &str,
    looking: impl Future<Output = Result<examined::Database, StoreError>>,
) -> examined::Database {
    let fault = match tokio::time::timeout(LIMIT, looking).await {
        Ok(Ok(seen)) => return seen,
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {} s", LIMIT.as_secs()),
    };
    examined::Database { name: name.to_owned(), fault: Some(fault), tables: Vec::new(), clock_ahead_ms: 0 }
}

async fn look(name: &str, database: &Database) -> Result<examined::Database, StoreError> {
    let before = SystemClock.now();
    let told = database.now().await?;
    let after = SystemClock.now();
    let midway = (before.unix_ms() + after.unix_ms()) / 2;
    let progress = [
        ("orders", migrations::orders::progress(database).await?),
        ("inventory", migrations::inventory::progress(database).await?),
        ("customers", migrations::customers::progress(database).await?),
    ];
    // Services may share a database or have one each: whose tables were never begun here has them elsewhere.
    let here = progress.into_iter().filter(|(_, progress)| progress.applied > 0);
    let tables =
        here.map(|(of, progress)| Tables { of: of.to_owned(), pending_migrations: progress.pending });
    Ok(examined::Database {
        name: name.to_owned(),
        fault: None,
        tables: tables.collect(),
        clock_ahead_ms: told.unix_ms() - midway,
    })
}
