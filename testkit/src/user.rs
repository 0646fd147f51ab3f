//! The user that servers run as which refuse to run as root.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use rustix::process::getuid;

/// Hands the folder to a user without rights if this process runs as root; returns the words before a program that make it
/// run as that user.
pub(crate) fn unprivileged(folder: &Path) -> Result<Vec<String>> {
    if !getuid().is_root() {
        return Ok(Vec::new());
    }
    let (user, group) = ["postgres", "nobody"]
        .iter()
        .find_map(|name| Some((id("-u", name)?, id("-g", name)?)))
        .context("neither of the users postgres and nobody exists")?;
    std::os::unix::fs::chown(folder, Some(user), Some(group))?;
    Ok(vec![
        "setpriv".to_owned(),
        format!("--reuid={user}"),
        format!("--regid={group}"),
        "--clear-groups".to_owned(),
        "--".to_owned(),
    ])
}

/// Writes a file that belongs to the folder's owner, who alone may read it.
pub(crate) fn write_private(folder: &Path, name: &str, text: &str) -> Result<String> {
    use std::os::unix::fs::{PermissionsExt as _, chown};
    let file = folder.join(name);
    std::fs::write(&file, text)?;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600))?;
    let owner = std::fs::metadata(folder)?;
    chown(&file, Some(owner.uid()), Some(owner.gid()))?;
    Ok(file.display().to_string())
}

fn id(kind: &str, name: &str) -> Option<u32> {
    let output = Command::new("id").args([kind, name]).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}
