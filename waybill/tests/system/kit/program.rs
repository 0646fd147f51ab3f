//! The programs of this workspace as these tests run them.

use testkit::{Process, Program, workspace_program};

/// The secret with which every gateway under test verifies tokens.
pub(crate) const SECRET: &str = "a-secret-that-only-tests-know-0123456789";

/// `waybill` with these arguments.
pub(crate) fn waybill(arguments: &[&str]) -> Program {
    Program::new(env!("CARGO_BIN_EXE_waybill"), arguments).with("RUST_LOG", "info,bus=debug")
}

/// Another program of this workspace.
pub(crate) fn program(name: &str) -> Program {
    Program::new(workspace_program(name).unwrap(), &[]).with("RUST_LOG", "info,bus=debug")
}

/// Terminates a process, which must exit with code 0 and must not have panicked before.
pub(crate) async fn ends_well(process: &Process) {
    let status = process.terminate().await.unwrap();
    let output = process.output();
    let panicked = output.iter().any(|line| line.contains("panicked"));
    assert!(status.success() && !panicked, "{status}:\n{}", output.join("\n"));
}
