//! Classes of database errors, each with its remedy: wait, retry at once, or give up.

use std::time::Duration;

use bus::backoff::Backoff;
use bus::failure::{Failure, FailureCode};
use sea_orm::{DbErr, RuntimeErr};
use sqlx::postgres::PgDatabaseError;

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
    /// The database can't be used as it is configured: trying again does not help.
    #[error("{0}")]
    Misconfigured(String),
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
        Self::from(&error)
    }
}

impl From<&DbErr> for StoreError {
    fn from(error: &DbErr) -> Self {
        match error {
            DbErr::ConnectionAcquire(_) | DbErr::Conn(RuntimeErr::Internal(_)) => {
                Self::Unavailable(error.to_string())
            }
            _ => driver_error(error).map_or_else(|| Self::Data(error.to_string()), from_driver),
        }
    }
}

/// Whether the error says that the session, or every session of its age, is wrong rather than the statement: another
/// session may run it.
pub(crate) fn blames_session(error: &DbErr) -> bool {
    match driver_error(error) {
        // A connection that is lost is seldom the only one.
        Some(sqlx::Error::Protocol(_) | sqlx::Error::Io(_)) => true,
        Some(sqlx::Error::Database(error)) => error.code().is_some_and(|code| is_session_fault(&code)),
        _ => false,
    }
}

fn driver_error(error: &DbErr) -> Option<&sqlx::Error> {
    match error {
        DbErr::Conn(RuntimeErr::SqlxError(cause))
        | DbErr::Exec(RuntimeErr::SqlxError(cause))
        | DbErr::Query(RuntimeErr::SqlxError(cause)) => Some(cause),
        _ => None,
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
        _ if is_servers_fault(error) => Class::Unavailable,
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

/// Whether an error under a code that is otherwise the data's comes from the server's state.
fn is_servers_fault(error: &dyn sqlx::error::DatabaseError) -> bool {
    let Some(error) = error.try_downcast_ref::<PgDatabaseError>() else { return false };
    match error.code() {
        // The limit that is exceeded may be that of transaction ids, which stops all writes.
        "54000" => error.routine().is_some_and(|routine| routine.starts_with("GetNew")),
        // This program sends valid UTF-8 alone; a zero byte is the one character that PostgreSQL does not take.
        "22021" => !error.message().ends_with("0x00"),
        _ => false,
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
///
/// What a statement says is the program's, and only its parameters are the message's: an error about the session, the
/// server, a schema or a privilege is never the message's fault, and lasts until an operator mends the database.
fn postgres_class(code: &str) -> Class {
    match code {
        "40001" | "40P01" | "55P03" => Class::Contention,
        // A text has no place in the database's encoding. Databases that are not UTF-8 are refused at the start.
        "22P05" => Class::Unavailable,
        _ => match code.get(..2) {
            Some(
                "08" | "0A" | "25" | "26" | "28" | "3D" | "3F" | "42" | "53" | "55" | "57" | "58" | "XX",
            ) => Class::Unavailable,
            Some("23") => Class::Constraint,
            _ => Class::Data,
        },
    }
}

/// Whether this SQLSTATE speaks of the session: read-only (25006), a plan or a prepared statement that no longer fits
/// (0A000, 26000, 42P05), a state that it should not be in, or a connection that is ending. SQLite's codes are numbers of
/// fewer digits.
fn is_session_fault(code: &str) -> bool {
    let class = code.get(..2).filter(|_| code.len() == 5);
    matches!(code, "22P05" | "42P05")
        || matches!(class, Some("08" | "0A" | "25" | "26"))
        || (class == Some("57") && code.starts_with("57P"))
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
            (
                Class::Unavailable,
                &["57P01", "57P05", "08006", "53300", "53100", "42P01", "42501"],
                &[13, 3850],
            ),
            (Class::Unavailable, &["25006", "25P03", "0A000", "26000", "42P05", "55000", "22P05"], &[8, 778]),
            (Class::Constraint, &["23505", "23514"], &[2067, 275]),
            (Class::Data, &["22001", "22003", "22021", "54000"], &[1]),
        ] {
            for code in postgres {
                assert_eq!(postgres_class(code), class, "{code}");
            }
            for &code in sqlite {
                assert_eq!(sqlite_class(code), class, "{code}");
            }
        }
    }

    #[test]
    fn codes_say_whether_another_session_may_help() {
        for code in ["25006", "0A000", "26000", "42P05", "57P01", "57P03", "08006", "22P05", "25P02"] {
            assert!(is_session_fault(code), "{code}");
        }
        for code in ["57014", "53300", "42P01", "23505", "40001", "22001", "3850", "13"] {
            assert!(!is_session_fault(code), "{code}");
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
