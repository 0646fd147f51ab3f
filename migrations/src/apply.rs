use sea_orm::{ConnectionTrait as _, DbBackend};
use sea_orm_migration::MigratorTrait;
use store::{Database, StoreError};

/// Names the lock that migrations of any service take: they are rare, and one database may hold all tables.
const ADVISORY_LOCK: i64 = 0x7761_7962_696c_6c01;

/// Applies what is not applied yet. Whoever comes second waits, and then finds nothing to do.
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
