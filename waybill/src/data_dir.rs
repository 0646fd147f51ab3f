//! The folder in which `waybill up` keeps its files: its lock, its secrets and its databases.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use clap::Args;
use service_kit::config::{ConfigErrors, Secret};
use store::sqlite_file::check_writable;

/// Hexadecimal digits of a generated secret: 256 bits.
const SECRET_DIGITS: usize = 64;
const LOCK_FILE: &str = "lock";
/// The file in which the running process names the address of its admin endpoint.
pub(crate) const ADMIN_FILE: &str = "admin.json";
/// The file of the secret that tokens are signed with if none is configured.
pub(crate) const JWT_SECRET_FILE: &str = "jwt-secret";

/// Where the files are.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Files")]
pub(crate) struct DataDirArgs {
    /// Folder of the embedded broker's and SQLite's files, and of the secrets made for them
    #[arg(long, env = "DATA_DIR", default_value = ".waybill", value_name = "FOLDER")]
    data_dir: PathBuf,
}

impl DataDirArgs {
    pub(crate) fn check(&self, errors: &mut ConfigErrors) -> DataDir {
        if self.data_dir.as_os_str().is_empty() {
            errors.add("DATA_DIR", "empty; give the path of a folder");
        }
        DataDir::new(self.data_dir.clone())
    }
}

#[derive(Debug, Clone)]
pub(crate) struct DataDir(pub(crate) PathBuf);

impl DataDir {
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Creates the folder, readable by its owner alone, unless it exists, and checks that files can be created in it and
    /// that the broker's can be written.
    pub(crate) fn prepare(&self) -> anyhow::Result<()> {
        let unusable = || format!("cannot use {} (DATA_DIR)", self.0.display());
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0).with_context(unusable)?;
        let probe = self.0.join(".writable");
        fs::write(&probe, b"").and_then(|()| fs::remove_file(&probe)).with_context(unusable)?;
        check_writable(&self.database("broker"))
            .map_err(|problem| ConfigErrors::single("DATA_DIR", problem).into())
    }

    /// Locks the folder, which has to exist, without waiting; an error names the process that holds the lock.
    pub(crate) fn lock(&self) -> anyhow::Result<DataDirLock> {
        if let Some(lock) = self.try_lock()? {
            return Ok(lock);
        }
        let pid =
            fs::read_to_string(self.0.join(LOCK_FILE)).ok().and_then(|text| text.trim().parse::<u32>().ok());
        let holder = pid.map_or("another process".to_owned(), |pid| format!("process {pid}"));
        bail!("cannot use DATA_DIR: {} is in use by {holder}", self.0.display())
    }

    /// Locks the folder as [`Self::lock`] does; returns none if another process holds the lock.
    ///
    /// The file stays when the lock is given up: removing it would let two processes lock two files of the same name.
    pub(crate) fn try_lock(&self) -> anyhow::Result<Option<DataDirLock>> {
        let path = self.0.join(LOCK_FILE);
        let failed = || format!("{} cannot be locked", path.display());
        let opened = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
        let mut file = opened.with_context(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error).with_context(failed),
        }
        file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).with_context(failed)?;
        Ok(Some(DataDirLock { _file: file }))
    }

    /// The SQLite file of the broker, or of one service's tables, such as `orders`.
    pub(crate) fn database(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.sqlite"))
    }

    /// Returns the secret in [`JWT_SECRET_FILE`], which the first call generates.
    pub(crate) fn jwt_secret(&self) -> anyhow::Result<Secret> {
        if let Some(secret) = self.known_jwt_secret()? {
            return Ok(secret);
        }
        let (path, secret) = (self.0.join(JWT_SECRET_FILE), random_secret());
        write_secret(&path, secret.expose()).with_context(|| format!("cannot use {}", path.display()))?;
        Ok(secret)
    }

    /// Returns that secret, if there is one.
    pub(crate) fn known_jwt_secret(&self) -> anyhow::Result<Option<Secret>> {
        let path = self.0.join(JWT_SECRET_FILE);
        let failed = || format!("cannot read {}", path.display());
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => return Err(error).with_context(failed),
        };
        let secret = text.trim();
        if secret.len() < SECRET_DIGITS {
            let fault =
                anyhow!("it holds no secret of {SECRET_DIGITS} digits; delete it to have a new one made");
            return Err(fault).with_context(failed);
        }
        Ok(Some(Secret::new(secret)))
    }
}

/// The lock of a data folder, held until the value is dropped or the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct DataDirLock {
    _file: File,
}

/// Generates a secret of 256 random bits.
pub(crate) fn random_secret() -> Secret {
    Secret::new(format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>()))
}

/// Writes `text` and a line break into the file, whole or not at all, readable by its owner alone from its first moment.
pub(crate) fn write_secret(path: &Path, text: &str) -> io::Result<()> {
    let draft = path.with_extension("draft");
    let _ = fs::remove_file(&draft);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    writeln!(file, "{text}")?;
    file.sync_all()?;
    fs::rename(&draft, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_folder_is_made_for_its_owner_alone() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("systems/main");
        DataDir::new(&folder).prepare().unwrap();
        assert_eq!(mode(&folder), 0o700);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_cannot_be_is_named() {
        let error = DataDir::new("/dev/null/waybill").prepare().unwrap_err();
        assert!(format!("{error:#}").starts_with("cannot use /dev/null/waybill (DATA_DIR): "), "{error:#}");
        let error = DataDir::new("/nowhere/at/all").lock().unwrap_err();
        assert!(error.to_string().contains("/nowhere/at/all/lock"), "{error}");
    }

    #[test]
    fn a_data_directory_has_one_holder_who_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = DataDir::new(folder.path());
        let held = data_dir.lock().unwrap();
        let error = data_dir.lock().unwrap_err();
        assert!(error.to_string().ends_with(&format!("process {}", std::process::id())), "{error}");
        assert!(data_dir.try_lock().unwrap().is_none());
        drop(held);
        data_dir.lock().unwrap();
    }

    #[test]
    fn the_secret_is_made_once_and_readable_by_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = DataDir::new(folder.path());
        assert!(data_dir.known_jwt_secret().unwrap().is_none());
        let secret = data_dir.jwt_secret().unwrap();
        assert_eq!(secret.expose().len(), SECRET_DIGITS);
        assert_eq!(mode(&folder.path().join(JWT_SECRET_FILE)), 0o600);
        assert_eq!(data_dir.jwt_secret().unwrap(), secret);
        assert_eq!(data_dir.known_jwt_secret().unwrap(), Some(secret));
        assert_ne!(random_secret(), random_secret());
    }

    #[test]
    fn a_file_that_was_emptied_signs_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = DataDir::new(folder.path());
        fs::write(folder.path().join(JWT_SECRET_FILE), "\n").unwrap();
        let error = data_dir.jwt_secret().unwrap_err();
        assert!(error.to_string().starts_with("cannot read "), "{error:#}");
        assert!(format!("{error:#}").contains("it holds no secret of 64 digits"), "{error:#}");
    }
}
