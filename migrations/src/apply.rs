use sea_orm::{ConnectionTrait as _, DbBackend};
use sea_orm_migration::{MigrationStatus, MigratorTrait};
use store::{Database, StoreError};

/// The lock that the migrations of any service take: they are rare, and one database may have all tables.
const ADVISORY_LOCK: i64 = 0x7761_7962_696c_6c01;

/// Applies pending migrations. A second copy waits, and then finds nothing to do.
///
/// On SQLite the transaction itself is the lock.
pub(crate) async fn apply<M: MigratorTrait>(database: &Database) -> Result<(), StoreError> {
    let transaction = database.begin().await?;
    if database.backend() == DbBackend::Postgres {
        let lock = format!(
            "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '60s'; \
             SELECT pg_advisory_xact_lock({ADVISORY_LOCK})"
        );
        transaction.execute_unprepared(&lock).await?;
    }
    M::up(&transaction, None).await?;
    Ok(transaction.commit().await?)
}

/// The progress of a service's migrations in one database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The number of applied migrations; 0 if the service's tables are in another database.
    pub applied: usize,
    /// The names of the pending migrations, in the order in which they would be applied.
    pub pending: Vec<String>,
}

/// Reads the progress, and changes nothing.
pub(crate) async fn progress<M: MigratorTrait>(database: &Database) -> Result<Progress, StoreError> {
    let migrations = M::get_migration_with_status_read_only(database.read()).await?;
    let (applied, pending): (Vec<_>, Vec<_>) =
        migrations.into_iter().partition(|migration| migration.status() == MigrationStatus::Applied);
    let pending = pending.iter().map(|migration| migration.name().to_owned()).collect();
    Ok(Progress { applied: applied.len(), pending })
}
