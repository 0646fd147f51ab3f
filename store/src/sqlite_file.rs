//! The files of a SQLite database, for errors that say which file is meant and why it can't be used.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sea_orm::sqlx::error::{DatabaseError, ErrorKind};
use sea_orm::{DbErr, RuntimeErr, sqlx};

/// What SQLite appends to a database's name for its write-ahead log and the index of that.
const SUFFIXES: [&str; 3] = ["", "-wal", "-shm"];

/// Returns the file that a `sqlite://` URL names; none for a database in memory.
pub(crate) fn file_of_url(url: &str) -> Option<PathBuf> {
    let options: sqlx::sqlite::SqliteConnectOptions = url.parse().ok()?;
    let file = options.get_filename().to_owned();
    (!file.to_string_lossy().starts_with("file:sqlx-in-memory")).then_some(file)
}

/// Checks that this process may write the database's files that exist. SQLite itself reports a file of another user as a
/// "disk I/O error" when it locks it.
///
/// # Errors
/// Names the file, its owner and its mode.
pub fn check_writable(database: &Path) -> Result<(), String> {
    for suffix in SUFFIXES {
        let mut file = database.as_os_str().to_owned();
        file.push(suffix);
        let file = Path::new(&file);
        // Opening and closing the file would release SQLite's locks on it.
        let Ok(metadata) = file.metadata() else { continue };
        if let Err(refused) = rustix::fs::access(file, rustix::fs::Access::WRITE_OK) {
            let refused = std::io::Error::from(refused);
            let (owner, mode) = (metadata.uid(), metadata.mode() & 0o777);
            let user = rustix::process::geteuid();
            return Err(format!(
                "cannot write {}: {refused}; it belongs to user {owner}, with mode {mode:o}, and this process runs as user {}",
                file.display(),
                user.as_raw(),
            ));
        }
    }
    Ok(())
}

/// Names the file in an error of SQLite about its storage; other errors stay as they are.
pub(crate) fn name_file(error: DbErr, file: &Path) -> DbErr {
    let named = |cause: RuntimeErr| match cause {
        RuntimeErr::SqlxError(cause) => RuntimeErr::SqlxError(named_cause(cause, file)),
        RuntimeErr::Internal(reason) => RuntimeErr::Internal(reason),
    };
    match error {
        DbErr::Conn(cause) => DbErr::Conn(named(cause)),
        DbErr::Exec(cause) => DbErr::Exec(named(cause)),
        DbErr::Query(cause) => DbErr::Query(named(cause)),
        other => other,
    }
}

fn named_cause(cause: Arc<sqlx::Error>, file: &Path) -> Arc<sqlx::Error> {
    let sqlx::Error::Database(error) = &*cause else { return cause };
    let code = error.code().and_then(|code| code.parse::<i32>().ok()).unwrap_or_default();
    let Some(what) = about_storage(code) else { return cause };
    let message = match check_writable(file) {
        Ok(()) => format!("{what} {}: {}", file.display(), error.message()),
        Err(refused) => refused,
    };
    Arc::new(sqlx::Error::Database(Box::new(FileError { cause: Arc::clone(&cause), message })))
}

/// What failed, by SQLite's "Result and Error Codes", if the code is about files.
fn about_storage(code: i32) -> Option<&'static str> {
    Some(match code & 0xff {
        3 | 8 => "cannot write",
        11 | 26 => "cannot use",
        13 => "no space is left for",
        14 => "cannot open",
        10 => match code >> 8 {
            1 | 2 | 5 => "cannot read",
            4 | 17 => "cannot sync",
            _ => "cannot write",
        },
        _ => return None,
    })
}

/// An error of SQLite, whose message names the file.
#[derive(Debug)]
struct FileError {
    cause: Arc<sqlx::Error>,
    message: String,
}

impl FileError {
    fn database_error(&self) -> Option<&dyn DatabaseError> {
        self.cause.as_database_error()
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl Error for FileError {}

impl DatabaseError for FileError {
    fn message(&self) -> &str {
        &self.message
    }

    fn code(&self) -> Option<Cow<'_, str>> {
        self.database_error().and_then(DatabaseError::code)
    }

    fn as_error(&self) -> &(dyn Error + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn Error + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn Error + Send + Sync + 'static> {
        self
    }

    fn kind(&self) -> ErrorKind {
        self.database_error().map_or(ErrorKind::Other, DatabaseError::kind)
    }
}
