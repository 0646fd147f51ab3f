//! The folder in which `waybill up` keeps what it must not forget.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use service_kit::config::{ConfigErrors, Secret};

use crate::secret_file;

/// Where the files are.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Files")]
pub(crate) struct DataDirArgs {
    /// Folder of the embedded broker's and SQLite's files, and of the secrets made for them
    #[arg(long, env = "DATA_DIR", default_value = ".waybill", value_name = "FOLDER")]
    data_dir: PathBuf,
}

impl DataDirArgs {
    /// The folder; what is wrong goes to `errors`.
    pub(crate) fn check(&self, errors: &mut ConfigErrors) -> DataDir {
        if self.data_dir.as_os_str().is_empty() {
            errors.add("DATA_DIR", "empty; give the path of a folder");
        }
        DataDir(self.data_dir.clone())
    }
}

/// One folder and the names of the files in it.
#[derive(Debug, Clone)]
pub(crate) struct DataDir(PathBuf);

impl DataDir {
    /// Makes the folder, readable by its owner alone, unless it is there, and sees that files can be made in it.
    pub(crate) fn prepare(&self) -> anyhow::Result<()> {
        let unusable = || format!("cannot use {} (DATA_DIR)", self.0.display());
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0).with_context(unusable)?;
        let probe = self.0.join(".writable");
        fs::write(&probe, b"").and_then(|()| fs::remove_file(&probe)).with_context(unusable)
    }

    /// The folder itself.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The embedded broker's file.
    pub(crate) fn broker(&self) -> PathBuf {
        self.0.join("broker.sqlite")
    }

    /// The SQLite file of one service's tables, such as `orders`.
    pub(crate) fn database(&self, tables: &str) -> PathBuf {
        self.0.join(format!("{tables}.sqlite"))
    }

    /// The secret that tokens are signed with where none was given.
    pub(crate) fn jwt_secret_file(&self) -> PathBuf {
        self.0.join("jwt-secret")
    }

    /// That secret, made up at the first call.
    pub(crate) fn jwt_secret(&self) -> anyhow::Result<Secret> {
        let path = self.jwt_secret_file();
        secret_file::read_or_make(&path).with_context(|| format!("cannot use {}", path.display()))
    }

    /// That secret, if there is one.
    pub(crate) fn known_jwt_secret(&self) -> anyhow::Result<Option<Secret>> {
        let path = self.jwt_secret_file();
        match secret_file::read(&path) {
            Ok(secret) => Ok(Some(secret)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Where the running process says how the operator's commands reach it.
    pub(crate) fn desk_file(&self) -> PathBuf {
        self.0.join("desk.json")
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_folder_is_made_for_its_owner_alone() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("shops/main");
        DataDir(folder.clone()).prepare().unwrap();
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_cannot_be_is_named() {
        let error = DataDir("/dev/null/waybill".into()).prepare().unwrap_err();
        assert!(format!("{error:#}").starts_with("cannot use /dev/null/waybill (DATA_DIR): "), "{error:#}");
    }

    #[test]
    fn the_secret_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = DataDir(folder.path().to_owned());
        assert!(data_dir.known_jwt_secret().unwrap().is_none());
        let secret = data_dir.jwt_secret().unwrap();
        assert_eq!(data_dir.jwt_secret().unwrap(), secret);
        assert_eq!(data_dir.known_jwt_secret().unwrap(), Some(secret));
    }
}
