//! A disk that fails as a test says, below SQLite: a library that replaces the system's writes in the program under test.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// How one write, or every write, fails. The numbers are the library's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DiskFault {
    /// One write fails with EIO.
    Write = 1,
    /// One write stops half-way and fails with ENOSPC.
    TornWrite = 2,
    /// One sync fails with EIO.
    Sync = 3,
    /// No file can grow: ENOSPC.
    Growth = 4,
}

/// Bytes of the library's `struct control`: three numbers and the beginning of a file's name.
const CONTROL_BYTES: usize = 64;
const FAILURES_AT: u64 = 8;

pub(crate) struct FaultyDisk {
    folder: tempfile::TempDir,
    control: File,
}

impl FaultyDisk {
    /// Compiles the library.
    pub(crate) fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults/disk/faulty_disk.c");
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(folder.path().join("faulty_disk.so"))
            .args([source, "-ldl"]);
        let compiled = cc.output().context("the tests need a C compiler, cc")?;
        ensure!(compiled.status.success(), "cc: {}", String::from_utf8_lossy(&compiled.stderr));
        let path = folder.path().join("control");
        std::fs::write(&path, [0; CONTROL_BYTES])?;
        let control = File::options().read(true).write(true).open(path)?;
        Ok(Self { folder, control })
    }

    /// The variables of a program whose disk this is.
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        let file = |name: &str| -> PathBuf { self.folder.path().join(name) };
        vec![
            ("LD_PRELOAD", file("faulty_disk.so").display().to_string()),
            ("FAULTY_DISK", file("control").display().to_string()),
        ]
    }

    /// Has the `turn`th write or sync from now on fail, of files whose names begin so. Returns the failures so far.
    pub(crate) fn fail(&self, fault: DiskFault, file: &str, turn: i32) -> Result<i32> {
        self.set_kind(0)?;
        let mut name = [0; CONTROL_BYTES - 12];
        name[..file.len()].copy_from_slice(file.as_bytes());
        self.control.write_all_at(&name, 12)?;
        self.control.write_all_at(&turn.to_ne_bytes(), 4)?;
        let failures = self.failures()?;
        self.set_kind(fault as i32)?;
        Ok(failures)
    }

    /// Lets every write pass again.
    pub(crate) fn repair(&self) -> Result<()> {
        self.set_kind(0)
    }

    /// How many writes and syncs have failed.
    pub(crate) fn failures(&self) -> Result<i32> {
        let mut failures = [0; 4];
        self.control.read_exact_at(&mut failures, FAILURES_AT)?;
        Ok(i32::from_ne_bytes(failures))
    }

    fn set_kind(&self, kind: i32) -> Result<()> {
        Ok(self.control.write_all_at(&kind.to_ne_bytes(), 0)?)
    }
}
