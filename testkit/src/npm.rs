//! Packages from npm, for tests against the reference implementations and clients that are written in JavaScript.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use tokio::process::Command;

/// Copies the files of a folder, `package.json` and its lock among them, to a temporary folder, and installs exactly the
/// locked packages there.
pub async fn install_locked(sources: &Path) -> Result<TempDir> {
    let folder = tempfile::tempdir()?;
    for file in std::fs::read_dir(sources)? {
        let file = file?;
        std::fs::copy(file.path(), folder.path().join(file.file_name()))?;
    }
    let install = Command::new("npm")
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(&folder)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("npm must be installed")?;
    ensure!(install.status.success(), "npm ci: {}", String::from_utf8_lossy(&install.stderr));
    Ok(folder)
}
