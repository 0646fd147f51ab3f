//! Packages from npm, for tests against the reference implementations and clients that are written in JavaScript.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use tokio::process::Command;

/// Copies a folder with `package.json` and its lock to a temporary folder that has exactly the locked packages. They are
/// installed once for each lock, and stay in the target folder.
pub async fn install_locked(sources: &Path) -> Result<TempDir> {
    let packages = packages(sources).await?;
    let folder = tempfile::tempdir()?;
    copy(sources, folder.path())?;
    symlink(packages, folder.path().join("node_modules"))?;
    Ok(folder)
}

/// Returns the folder of the packages of a lock.
async fn packages(sources: &Path) -> Result<PathBuf> {
    let mut hash = DefaultHasher::new();
    fs::read(sources.join("package-lock.json"))?.hash(&mut hash);
    let kept = target_folder()?.join("npm");
    fs::create_dir_all(&kept)?;
    let name = format!("{:016x}", hash.finish());
    let (installed, lock) = (kept.join(&name), kept.join(format!("{name}.lock")));
    // Tests are processes of their own, and each waits here for the one that installs.
    let _lock =
        tokio::task::spawn_blocking(move || File::create(lock).and_then(|file| file.lock().map(|()| file)))
            .await
            .context("the lock's task ends")??;
    if !installed.exists() {
        let partial = tempfile::tempdir_in(&kept)?;
        for file in ["package.json", "package-lock.json"] {
            fs::copy(sources.join(file), partial.path().join(file))?;
        }
        install(partial.path()).await?;
        fs::rename(partial.keep(), &installed)?;
    }
    Ok(installed.join("node_modules"))
}

async fn install(folder: &Path) -> Result<()> {
    let install = Command::new("npm")
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("npm must be installed")?;
    ensure!(install.status.success(), "npm ci: {}", String::from_utf8_lossy(&install.stderr));
    Ok(())
}

/// Returns the target folder that the running test was built in.
fn target_folder() -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    let profile = test.ancestors().find(|folder| folder.ends_with("deps")).and_then(Path::parent);
    let target = profile.and_then(Path::parent).context("the test doesn't run from a target folder")?;
    Ok(target.to_owned())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let copied = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy(&entry.path(), &copied)?,
            false => drop(fs::copy(entry.path(), copied)?),
        }
    }
    Ok(())
}
