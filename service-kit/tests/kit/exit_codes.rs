use std::process::ExitCode;
use std::time::Duration;

use service_kit::config::ConfigErrors;
use service_kit::{Readiness, run_process};

#[test]
fn a_process_that_drains_exits_with_0() {
    let code = run_process("sample", async |shutdown| {
        shutdown.spawn("work", std::future::ready(()));
        shutdown.begin();
        Ok(shutdown.supervise(&Readiness::default(), Duration::ZERO).await)
    });
    assert_eq!(code, ExitCode::SUCCESS);
}

#[test]
fn a_failure_exits_with_1_and_an_invalid_configuration_with_2() {
    assert_eq!(run_process("sample", async |_| anyhow::bail!("cannot reach the broker")), ExitCode::FAILURE);
    let invalid = || -> Result<(), ConfigErrors> {
        let mut errors = ConfigErrors::default();
        errors.add("AUTH_MODE", "not set; give mock or jwks");
        errors.finish(())
    };
    let code = run_process("sample", async |_| {
        invalid()?;
        unreachable!("the configuration is invalid")
    });
    assert_eq!(code, ExitCode::from(2));
}

#[test]
fn a_task_that_fails_ends_the_process() {
    let code = run_process("sample", async |shutdown| {
        shutdown.fail("the listener failed");
        Ok(shutdown.supervise(&Readiness::default(), Duration::ZERO).await)
    });
    assert_eq!(code, ExitCode::FAILURE);
}

#[test]
fn a_start_that_hangs_can_be_cut_off() {
    let code = run_process("sample", async |shutdown| {
        shutdown.force();
        std::future::pending().await
    });
    assert_eq!(code, ExitCode::FAILURE);
}
