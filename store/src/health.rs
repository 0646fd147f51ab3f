//! What the outcomes of statements say about a database: whether its last write failed, and whether pooled sessions are
//! still of use.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use sea_orm::DbErr;

use crate::error::{StoreError, blames_session};
use crate::sqlite_file::name_file;

/// Sessions are condemned no more often than this, so that a server that stays read-only is not asked for a new session
/// by every statement.
const CONDEMN_INTERVAL: Duration = Duration::from_secs(1);

/// How long a write that PostgreSQL had no space for counts, whatever is written meanwhile: a row that fits a page that is
/// there already says nothing about the next one that doesn't.
const NO_SPACE_INTERVAL: Duration = Duration::from_secs(5);

/// Why the last write of a database failed, or an earlier one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteFailure {
    pub reason: String,
    /// How long ago the newest failure was.
    pub age: Duration,
    /// Whether no write has succeeded since.
    pub lasts: bool,
}

/// Shared by every connection to one database.
#[derive(Debug, Default)]
pub(crate) struct Health {
    /// The file of a SQLite database, which its errors then name.
    file: Option<PathBuf>,
    /// The table that a probe of PostgreSQL writes.
    probe_table: OnceLock<&'static str>,
    /// Whether the newest outcome of a write is a failure. Read by every write, unlike the reason.
    write_fails: AtomicBool,
    write_failure: Mutex<Option<(String, Instant)>>,
    condemned_at: Mutex<Option<Instant>>,
}

impl Health {
    pub(crate) fn of_file(file: Option<PathBuf>) -> Self {
        Self { file, ..Self::default() }
    }

    pub(crate) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    pub(crate) fn set_probe_table(&self, table: &'static str) {
        self.probe_table.get_or_init(|| table);
    }

    pub(crate) fn probe_table(&self) -> Option<&'static str> {
        self.probe_table.get().copied()
    }

    /// Notes a failure, of a write if `writes`, and returns the error with the file's name in it.
    pub(crate) fn failed(&self, error: DbErr, writes: bool) -> DbErr {
        let error = match &self.file {
            Some(file) => name_file(error, file),
            None => error,
        };
        if blames_session(&error) {
            self.condemn_sessions();
        }
        // A pool whose connections are all busy says nothing about writing; a database that is away fails the ping.
        let is_busy = matches!(error, DbErr::ConnectionAcquire(_));
        if writes
            && !is_busy
            && let StoreError::Unavailable(reason) = StoreError::from(&error)
        {
            *lock(&self.write_failure) = Some((reason, Instant::now()));
            self.write_fails.store(true, Ordering::Release);
            metrics::counter!("waybill_database_write_failures_total").increment(1);
        }
        error
    }

    /// Notes that something was written and committed.
    pub(crate) fn wrote(&self) {
        if self.write_fails.load(Ordering::Acquire) && !self.had_no_space() {
            self.write_fails.store(false, Ordering::Release);
        }
    }

    fn had_no_space(&self) -> bool {
        let failure = lock(&self.write_failure);
        failure.as_ref().is_some_and(|(reason, at)| is_no_space(reason) && at.elapsed() < NO_SPACE_INTERVAL)
    }

    /// The newest failure of a write since the process started.
    pub(crate) fn write_failure(&self) -> Option<WriteFailure> {
        let failure = lock(&self.write_failure).clone();
        let lasts = self.write_fails.load(Ordering::Acquire);
        failure.map(|(reason, at)| WriteFailure { reason, age: at.elapsed(), lasts })
    }

    /// Has every pooled session that is open now replaced before it is used again.
    pub(crate) fn condemn_sessions(&self) {
        let mut condemned_at = lock(&self.condemned_at);
        if condemned_at.is_none_or(|at| at.elapsed() >= CONDEMN_INTERVAL) {
            *condemned_at = Some(Instant::now());
            tracing::warn!("database sessions are replaced");
        }
    }

    /// Whether a session that was opened `age` ago may be used.
    pub(crate) fn is_usable(&self, age: Duration) -> bool {
        lock(&self.condemned_at).is_none_or(|at| age < at.elapsed())
    }
}

/// Whether a reason quotes the SQLSTATE of a full disk.
fn is_no_space(reason: &str) -> bool {
    reason.contains("(53100)")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_that_are_older_than_the_condemnation_are_not_used() {
        let health = Health::default();
        assert!(health.is_usable(Duration::from_secs(600)));
        health.condemn_sessions();
        assert!(!health.is_usable(Duration::from_secs(600)));
        assert!(health.is_usable(Duration::ZERO), "a session that was opened afterwards is used");
    }

    #[test]
    fn a_write_that_failed_lasts_until_one_succeeds() {
        let health = Health::default();
        assert_eq!(health.write_failure(), None);
        let error = || DbErr::Conn(sea_orm::RuntimeErr::Internal("away".to_owned()));
        health.failed(error(), false);
        assert_eq!(health.write_failure(), None, "a read that fails is no failed write");
        health.failed(DbErr::ConnectionAcquire(sea_orm::ConnAcquireErr::Timeout), true);
        assert_eq!(health.write_failure(), None, "a busy pool is no failed write");
        health.failed(error(), true);
        assert!(health.write_failure().unwrap().lasts);
        health.wrote();
        assert!(!health.write_failure().unwrap().lasts);
    }

    #[test]
    fn a_write_that_found_no_space_is_not_made_up_for_by_one_that_needed_none() {
        let health = Health::default();
        let reason = "could not extend file: No space left on device (53100)".to_owned();
        health.failed(DbErr::Conn(sea_orm::RuntimeErr::Internal(reason)), true);
        health.wrote();
        assert!(health.write_failure().unwrap().lasts);
    }
}
