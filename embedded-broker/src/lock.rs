//! One process at a time in a data directory.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

/// The lock's file name.
const FILE: &str = "lock";

/// A data directory that is this process's until the value is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct DataDirLock {
    _file: File,
}

/// Why the directory could not be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("{directory} is in use by {}", .pid.map_or("another process".to_owned(), |pid| format!("process {pid}")))]
    Held {
        /// The directory.
        directory: PathBuf,
        /// Which process, as far as it said.
        pid: Option<u32>,
    },
    /// The lock's file can't be made or locked.
    #[error("{path} cannot be locked: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// In the system's words.
        source: io::Error,
    },
}

impl DataDirLock {
    /// Locks a directory that exists, without waiting.
    ///
    /// The file stays behind when the lock is given up: removing it would let two processes lock two
    /// files of the same name.
    ///
    /// # Errors
    /// Where another process holds it, or the directory can't be written.
    pub fn acquire(directory: &Path) -> Result<Self, LockError> {
        let path = directory.join(FILE);
        let failed = |source| LockError::Io { path: path.clone(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LockError::Held { directory: directory.to_owned(), pid: holder(&mut file) });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        sign(&mut file).map_err(failed)?;
        Ok(Self { _file: file })
    }
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn sign(file: &mut File) -> io::Result<()> {
    file.rewind()?;
    file.set_len(0)?;
    writeln!(file, "{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_directory_has_one_holder_who_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let held = DataDirLock::acquire(directory.path()).unwrap();
        let error = DataDirLock::acquire(directory.path()).unwrap_err();
        assert!(matches!(error, LockError::Held { pid: Some(pid), .. } if pid == std::process::id()));
        assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
        drop(held);
        DataDirLock::acquire(directory.path()).unwrap();
    }

    #[test]
    fn a_directory_that_does_not_exist_is_an_error_with_its_path() {
        let error = DataDirLock::acquire(Path::new("/nowhere/at/all")).unwrap_err();
        assert!(error.to_string().contains("/nowhere/at/all/lock"), "{error}");
    }
}
