//! What a failing database means for whoever asked: wait, try again at once, or give up.

use std::time::Duration;

use bus::failure::{Failure, FailureCode};
use sea_orm::sqlx;
use sea_orm::{DbErr, RuntimeErr};

/// How often a transaction that lost a race is tried before its failure is passed on.
const CONTENTION_ATTEMPTS: u32 = 10;
/// The longest pause before the first of these tries; doubles with each.
const CONTENTION_PAUSE: Duration = Duration::from_millis(2);

/// Why the database did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It is away, or in no state to work: not reachable, shutting down, out of space, not migrated. Nothing
    /// is wrong with the data, so hold it and come back. A commit may or may not have happened.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// Somebody else was faster: a deadlock, a serialization failure, a lock not had in time. Try again at
    /// once; it counts as no attempt.
    #[error("the database had to choose somebody else: {0}")]
    Contention(String),
    /// A constraint refused it.
    #[error("a constraint was violated: {name}")]
    Constraint {
        /// PostgreSQL's name of the constraint; what SQLite says of it.
        name: String,
    },
    /// Anything else: something is wrong with the data, or with the statement.
    #[error("the database refused: {0}")]
    Data(String),
}

impl StoreError {
    /// Whether the same statement may succeed later, without anything changed about it.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Contention(_))
    }
}

/// What an asker, or a dead letter, is told.
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
            | DbErr::Query(RuntimeErr::SqlxError(cause)) => of_driver(cause),
            DbErr::Conn(RuntimeErr::Internal(_)) => Self::Unavailable(error.to_string()),
            _ => Self::Data(error.to_string()),
        }
    }
}

fn of_driver(error: &sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::Database(answer) => of_answer(&**answer),
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

fn of_answer(answer: &dyn sqlx::error::DatabaseError) -> StoreError {
    let code = answer.code().unwrap_or_default();
    let message = || format!("{} ({code})", answer.message());
    let class = match code.parse::<i32>() {
        // SQLSTATEs have five characters; SQLite's result codes, even extended, have no more than four.
        Ok(sqlite) if code.len() < 5 => class_of_sqlite(sqlite),
        _ => class_of_postgres(&code),
    };
    match class {
        Class::Unavailable => StoreError::Unavailable(message()),
        Class::Contention => StoreError::Contention(message()),
        Class::Constraint => {
            let name = answer.constraint().map_or_else(|| answer.message().to_owned(), str::to_owned);
            StoreError::Constraint { name }
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
fn class_of_postgres(code: &str) -> Class {
    match code {
        "40001" | "40P01" | "55P03" => Class::Contention,
        // A missing table or right is a database that isn't in order yet; our statements don't depend on data.
        "42501" | "42P01" | "42703" | "25006" | "25P03" => Class::Unavailable,
        _ => match code.get(..2) {
            Some("08" | "28" | "3D" | "53" | "57" | "58") => Class::Unavailable,
            Some("23") => Class::Constraint,
            _ => Class::Data,
        },
    }
}

/// By SQLite's "Result and Error Codes"; the primary code is the low byte.
fn class_of_sqlite(code: i32) -> Class {
    match code & 0xff {
        5 | 6 => Class::Contention,
        // PERM, NOMEM, READONLY, INTERRUPT, IOERR, CORRUPT, FULL, CANTOPEN, PROTOCOL, SCHEMA, AUTH, NOTADB
        3 | 7..=11 | 13..=15 | 17 | 23 | 26 => Class::Unavailable,
        19 => Class::Constraint,
        _ => Class::Data,
    }
}

/// Runs `transaction` again while it loses races, a bounded number of times with short jittered pauses.
///
/// It must be whole in itself: begin, commit, and nothing kept from an attempt that failed.
pub async fn retrying<T, F>(transaction: impl Fn() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut limit = CONTENTION_PAUSE;
    for _ in 1..CONTENTION_ATTEMPTS {
        match transaction().await {
            Err(StoreError::Contention(reason)) => {
                tracing::debug!(reason, "a transaction is tried again");
                tokio::time::sleep(limit.mul_f64(rand::random())).await;
                limit *= 2;
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
        for (code, class) in [
            ("40P01", Class::Contention),
            ("40001", Class::Contention),
            ("55P03", Class::Contention),
            ("57P01", Class::Unavailable),
            ("08006", Class::Unavailable),
            ("53300", Class::Unavailable),
            ("53100", Class::Unavailable),
            ("42P01", Class::Unavailable),
            ("23505", Class::Constraint),
            ("23514", Class::Constraint),
            ("22021", Class::Data),
        ] {
            assert_eq!(class_of_postgres(code), class, "{code}");
        }
        for (code, class) in [
            (5, Class::Contention),
            (517, Class::Contention),
            (2067, Class::Constraint),
            (275, Class::Constraint),
            (13, Class::Unavailable),
            (1, Class::Data),
        ] {
            assert_eq!(class_of_sqlite(code), class, "{code}");
        }
    }

    #[tokio::test]
    async fn only_lost_races_are_run_again_and_not_for_ever() {
        let runs = AtomicU32::new(0);
        let failing = |error: StoreError| {
            runs.fetch_add(1, Ordering::Relaxed);
            std::future::ready(Err::<(), _>(error))
        };
        let lost = StoreError::Contention("deadlock".to_owned());
        assert_eq!(retrying(|| failing(lost.clone())).await, Err(lost));
        assert_eq!(runs.swap(0, Ordering::Relaxed), CONTENTION_ATTEMPTS);
        let away = StoreError::Unavailable("away".to_owned());
        assert_eq!(retrying(|| failing(away.clone())).await, Err(away));
        assert_eq!(runs.load(Ordering::Relaxed), 1);
    }
}
