//! The programs of this workspace, built beside this one.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use testkit::Program;

/// Another program of the workspace, with logs of warnings alone.
pub(crate) fn program(name: &str, arguments: &[&str]) -> Result<Program> {
    let folder = own_path()?.parent().context("this program is in no folder")?.to_owned();
    let path = folder.join(name);
    ensure!(path.exists(), "{} is missing: `make bench` builds it", path.display());
    Ok(Program::new(path, arguments).with("RUST_LOG", "warn"))
}

/// This program with other arguments.
pub(crate) fn own_program(arguments: &[&str]) -> Result<Program> {
    Ok(Program::new(own_path()?, arguments))
}

fn own_path() -> Result<PathBuf> {
    std::env::current_exe().context("this program's path is not known")
}
