//! Runs a command with a private RabbitMQ and PostgreSQL: `with-servers cargo nextest run --workspace`.
//!
//! The command finds the servers in `WAYBILL_TEST_RABBITMQ_URL` and `WAYBILL_TEST_POSTGRES_URL`. Its exit status is
//! handed on, and the servers are gone when it has ended.

use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus};

use anyhow::{Context, Result};
use testkit::{POSTGRES_VARIABLE, Postgres, RABBITMQ_VARIABLE, RabbitMq};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let mut words = std::env::args_os().skip(1).skip_while(|word| word == "--");
    let program = words.next().context("usage: with-servers COMMAND [ARGUMENT...]")?;

    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let servers = async { tokio::try_join!(RabbitMq::start(), Postgres::start()) };
    let (rabbitmq, postgres) = tokio::select! {
        servers = servers => servers?,
        _ = interrupt.recv() => return Ok(ExitCode::from(130)),
        _ = terminate.recv() => return Ok(ExitCode::from(143)),
    };

    let mut command = Command::new(&program)
        .args(words)
        .env(RABBITMQ_VARIABLE, rabbitmq.url())
        .env(POSTGRES_VARIABLE, postgres.url("postgres"))
        .spawn()
        .with_context(|| format!("can't start {}", program.display()))?;
    loop {
        tokio::select! {
            status = command.wait() => return Ok(exit_code(status?)),
            // Ctrl-C reaches the command without us: all that is left to do is to outlive it.
            _ = interrupt.recv() => {}
            _ = terminate.recv() => pass_on_terminate(&command)?,
        }
    }
}

fn pass_on_terminate(command: &Child) -> Result<()> {
    let id = command.id().and_then(|id| i32::try_from(id).ok());
    if let Some(pid) = id.and_then(rustix::process::Pid::from_raw) {
        rustix::process::kill_process(pid, testkit::Signal::TERM)?;
    }
    Ok(())
}

/// The command's own status, or as a shell says it, 128 and the signal that ended it.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
