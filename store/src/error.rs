//! Classes of database errors, each with its remedy: wait, retry at once, or give up.

use std::time::Duration;

use bus::backoff::Backoff;
use bus::failure::{Failure, FailureCode};
use sea_orm::sqlx;
use sea_orm::{DbErr, RuntimeErr};

/// How often a transaction that met contention runs before its error is returned.
const CONTENTION_ATTEMPTS: u32 = 10;
/// The pauses between these runs.
const CONTENTION: Backoff = Backoff { first: Duration::from_millis(2), limit: Duration::from_secs(1) };

/// Why a statement or a transaction failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The database is unreachable, shutting down, out of space or not migrated. Nothing is wrong with the data: wait
    /// and try again. A commit may or may not have happened.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// Another transaction was in the way: a deadlock, a serialization failure, a lock timeout. Retry at once; it
    /// counts as no attempt.
    #[error("another transaction was in the way: {0}")]
    Contention(String),
    #[error("a constraint was violated: {name}")]
    Constraint {
        /// PostgreSQL's name of the constraint; SQLite's message.
        name: String,
    },
    /// Anything else: something is wrong with the data or with the statement.
    #[error("the database refused the statement: {0}")]
    Data(String),
}

impl StoreError {
    /// Whether the same statement may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Contention(_))
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let code = if error.is_transient() { FailureCode::Unavailable } else { FailureCode::Internal };
        Self::new(code, error.to_string())
    }
}

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        match &error {
            DbErr::ConnectionAcquire(_) => Self::Unavailable(error.to_string()),
            DbErr::Conn(RuntimeErr::SqlxError(cause))
            | DbErr::Exec(RuntimeErr::SqlxError(cause))
            | DbErr::Query(RuntimeErr::SqlxError(cause)) => from_driver(cause),
            DbErr::Conn(RuntimeErr::Internal(_)) => Self::Unavailable(error.to_string()),
            _ => Self::Data(error.to_string()),
        }
    }
}

fn from_driver(error: &sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::Database(error) => from_database(&**error),
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed
        | sqlx::Error::Configuration(_) => StoreError::Unavailable(error.to_string()),
        _ => StoreError::Data(error.to_string()),
    }
}

fn from_database(error: &dyn sqlx::error::DatabaseError) -> StoreError {
    let code = error.code().unwrap_or_default();
    let message = || format!("{} ({code})", error.message());
    let class = match code.parse::<i32>() {
        // SQLSTATEs have five characters; SQLite's result codes, even extended, have no more than four.
        Ok(sqlite) if code.len() < 5 => sqlite_class(sqlite),
        _ => postgres_class(&code),
    };
    match class {
        Class::Unavailable => StoreError::Unavailable(message()),
        Class::Contention => StoreError::Contention(message()),
        Class::Constraint => {
            StoreError::Constraint { name: error.constraint().unwrap_or(error.message()).to_owned() }
        }
        Class::Data => StoreError::Data(message()),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Unavailable,
    Contention,
    Constraint,
    Data,
}

/// By PostgreSQL's appendix A, "PostgreSQL Error Codes".
fn postgres_class(code: &str) -> Class {
    match code {
        "40001" | "40P01" | "55P03" => Class::Contention,
        // A missing table or privilege means that the database is not migrated yet: statements do not depend on data.
        "42501" | "42P01" | "42703" | "25006" | "25P03" => Class::Unavailable,
        _ => match code.get(..2) {
            Some("08" | "28" | "3D" | "53" | "57" | "58") => Class::Unavailable,
            Some("23") => Class::Constraint,
            _ => Class::Data,
        },
    }
}

/// By SQLite's "Result and Error Codes"; the primary code is the low byte.
fn sqlite_class(code: i32) -> Class {
    match code & 0xff {
        5 | 6 => Class::Contention,
        // PERM, NOMEM, READONLY, INTERRUPT, IOERR, CORRUPT, FULL, CANTOPEN, PROTOCOL, SCHEMA, AUTH, NOTADB
        3 | 7..=11 | 13..=15 | 17 | 23 | 26 => Class::Unavailable,
        19 => Class::Constraint,
        _ => Class::Data,
    }
}

/// Runs `transaction`, and again while it meets contention, a bounded number of times with short jittered pauses.
/// `transaction` begins and commits, and keeps nothing from a run that failed.
pub async fn retrying<T, F>(transaction: impl Fn() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    for failures in 1..CONTENTION_ATTEMPTS {
        match transaction().await {
            Err(StoreError::Contention(reason)) => {
                tracing::debug!(reason, "retrying a transaction after contention");
                tokio::time::sleep(CONTENTION.pause(failures)).await;
            }
            result => return result,
        }
    }
    transaction().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn codes_say_whether_to_hold_retry_or_give_up() {
        for (class, postgres, sqlite) in [
            (Class::Contention, &["40P01", "40001", "55P03"][..], &[5, 517][..]),
            (Class::Unavailable, &["57P01", "08006", "53300", "53100", "42P01"], &[13]),
            (Class::Constraint, &["23505", "23514"], &[2067, 275]),
            (Class::Data, &["22021"], &[1]),
        ] {
            for code in postgres {
                assert_eq!(postgres_class(code), class, "{code}");
            }
            for &code in sqlite {
                assert_eq!(sqlite_class(code), class, "{code}");
            }
        }
    }

    #[tokio::test]
    async fn only_lost_races_are_run_again_and_not_for_ever() {
        let runs = AtomicU32::new(0);
        let failing = |error: StoreError| {
            runs.fetch_add(1, Ordering::Relaxed);
            std::future::ready(Err::<(), _>(error))
        };
        let contention = StoreError::Contention("deadlock".to_owned());
        assert_eq!(retrying(|| failing(contention.clone())).await, Err(contention));
        assert_eq!(runs.swap(0, Ordering::Relaxed), CONTENTION_ATTEMPTS);
        let away = StoreError::Unavailable("away".to_owned());
        assert_eq!(retrying(|| failing(away.clone())).await, Err(away));
        assert_eq!(runs.load(Ordering::Relaxed), 1);
    }
}
