//! Why PostgreSQL gives no connection. The pool itself tries again whatever it is told, and in the end knows only that
//! time ran out.

use std::time::Duration;

use sea_orm::sqlx::postgres::PgConnectOptions;
use sea_orm::sqlx::{self, ConnectOptions as _, Connection as _};
use sea_orm::{ConnAcquireErr, DbErr, RuntimeErr};

use crate::error::StoreError;

/// How long one connection is tried for.
const LIMIT: Duration = Duration::from_secs(1);

/// The error, or where it only says that time ran out, what one more connection is told.
pub(crate) async fn explained(error: DbErr, options: &PgConnectOptions) -> StoreError {
    if ran_out_of_time(&error) { told(options).await.unwrap_or_else(|| error.into()) } else { error.into() }
}

/// What one connection is told; nothing where it gets through.
pub(crate) async fn told(options: &PgConnectOptions) -> Option<StoreError> {
    match tokio::time::timeout(LIMIT, options.connect()).await {
        Ok(Ok(connection)) => {
            if let Err(error) = connection.close().await {
                tracing::debug!(%error, "a connection to ask over did not close");
            }
            None
        }
        Ok(Err(error)) => Some(DbErr::Conn(RuntimeErr::SqlxError(error.into())).into()),
        Err(_) => Some(StoreError::Unavailable(format!("no answer within {LIMIT:?}"))),
    }
}

fn ran_out_of_time(error: &DbErr) -> bool {
    match error {
        DbErr::ConnectionAcquire(ConnAcquireErr::Timeout) => true,
        DbErr::Conn(RuntimeErr::SqlxError(cause)) => matches!(**cause, sqlx::Error::PoolTimedOut),
        _ => false,
    }
}
