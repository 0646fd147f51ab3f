//! The frame around a process's main.

use std::future::Future;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use crate::config::ConfigErrors;
use crate::{ExitStatus, Shutdown};

/// Runs `main` on a runtime of its own, with a [`Shutdown`] that listens for signals.
///
/// Exit codes: 0 where everything finished; 1 where something failed or was cut off, with one message on standard
/// error; 2 where the configuration is invalid.
pub fn run<F, Fut>(process: &str, main: F) -> ExitCode
where
    F: FnOnce(Shutdown) -> Fut,
    Fut: Future<Output = anyhow::Result<ExitStatus>>,
{
    #[cfg(debug_assertions)]
    if let Err(invalid) = crate::config::fault_injection::read() {
        return report(process, &invalid.into());
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(process, &anyhow::Error::new(error).context("cannot start a runtime")),
    };
    let result = runtime.block_on(async {
        let shutdown = Shutdown::new();
        shutdown.listen_for_signals()?;
        let main = Box::pin(main(shutdown.clone()));
        let cut_off = async {
            shutdown.forced().cancelled().await;
            // A supervised main names what was cut off itself.
            tokio::time::sleep(Duration::from_secs(1)).await;
        };
        tokio::select! {
            result = main => result,
            () = cut_off => Ok(ExitStatus::CutOff(vec!["start".to_owned()])),
        }
    });
    // A blocking call that hangs must not keep an ended process alive.
    runtime.shutdown_timeout(Duration::from_secs(1));
    match result {
        Ok(ExitStatus::Finished) => ExitCode::SUCCESS,
        Ok(ExitStatus::CutOff(_)) => ExitCode::FAILURE,
        Ok(ExitStatus::Failed(reason)) => report(process, &anyhow::Error::msg(reason)),
        Err(error) => report(process, &error),
    }
}

/// Writes `error` with its causes as one message to standard error and answers the exit code it stands for.
pub fn report(process: &str, error: &anyhow::Error) -> ExitCode {
    // With standard error gone there is nobody left to tell.
    let _ = writeln!(std::io::stderr(), "{process}: {error:#}");
    if error.is::<ConfigErrors>() { ExitCode::from(2) } else { ExitCode::FAILURE }
}
