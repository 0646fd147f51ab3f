//! A file system of a few bytes that one server alone has, and that is gone with it.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use rustix::process::Pid;

const UNSHARE: &str = "unshare";

/// Whether a test may mount a file system for a process alone, which takes root's privileges.
#[must_use]
pub fn can_mount() -> bool {
    let mount = "mount -t tmpfs -o size=4096 tmpfs /mnt";
    let mounted = Command::new(UNSHARE).args(["--mount", "--", "sh", "-c", mount]).output();
    mounted.is_ok_and(|output| output.status.success())
}

/// A file system that is mounted when its server starts.
pub(crate) struct SmallDisk {
    mounted_at: String,
    bytes: u64,
}

impl SmallDisk {
    pub(crate) fn new(mounted_at: &Path, bytes: u64) -> Result<Self> {
        std::fs::create_dir(mounted_at)?;
        Ok(Self { mounted_at: mounted_at.display().to_string(), bytes })
    }

    /// The server's folder on it.
    pub(crate) fn space(&self) -> String {
        format!("{}/space", self.mounted_at)
    }

    /// The words before those of a server; `become_user` make it run as its user, who owns the folder.
    pub(crate) fn words(&self, become_user: &[String]) -> Vec<String> {
        let mount = format!("mount -t tmpfs -o size={},mode=1777 tmpfs \"$0\" && exec \"$@\"", self.bytes);
        let mounted = [UNSHARE, "--mount", "--", "sh", "-c", &mount, &self.mounted_at];
        let owned = ["sh", "-c", "mkdir -m 700 \"$0\" && exec \"$@\"", &self.space()];
        let words = mounted.map(str::to_owned).into_iter().chain(become_user.iter().cloned());
        words.chain(owned.map(str::to_owned)).collect()
    }

    /// Leaves no space.
    pub(crate) fn fill(&self, server: Pid) -> Result<()> {
        let mut filling = File::create(self.filling(server))?;
        let error = loop {
            if let Err(error) = filling.write_all(&[0; 4_096]) {
                break error;
            }
        };
        ensure!(error.kind() == ErrorKind::StorageFull, "{error}");
        Ok(())
    }

    /// Frees the space again.
    pub(crate) fn free(&self, server: Pid) -> Result<()> {
        Ok(std::fs::remove_file(self.filling(server))?)
    }

    /// A file on it, by the server's own view of the file systems.
    fn filling(&self, server: Pid) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{}/filling", server.as_raw_pid(), self.mounted_at))
    }
}
