//! A process from its first line to its exit code.

use std::future::Future;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bus::clock::SystemClock;
use bus::transport::SharedTransport;

use crate::broker::{self, START_TIMEOUT};
use crate::config::{ConfigErrors, ProcessConfig};
use crate::shutdown::GRACE;
use crate::{ExitStatus, ServiceContext, Shutdown, admin, telemetry};

/// Runs a process that hosts one service: starts logs, the admin server and the broker's connection, calls `start` with
/// the rest of the configuration, and waits until the process ends.
///
/// A signal during the start ends the process at once and in order. For exit codes see [`run_process`].
pub fn run<C>(
    name: &'static str,
    config: Result<(ProcessConfig, C), ConfigErrors>,
    start: impl AsyncFnOnce(&ServiceContext, SharedTransport, C) -> anyhow::Result<()>,
) -> ExitCode {
    run_process(name, async |shutdown| {
        let (process, config) = config?;
        telemetry::init(name, &process.log);
        let context =
            ServiceContext::new(Arc::new(SystemClock), shutdown.clone(), process.bus.request_timeout);
        // Before the first request: without conditions the process would be ready.
        let started = context.readiness.condition("start");
        let routes = admin::routes(&context.readiness, &context.liveness);
        let _admin = admin::start(routes, &process.admin).await?;
        let starting = async {
            let (address, bus) = (&process.broker, &process.bus);
            let transport = broker::connect(name, address, bus, START_TIMEOUT, &context).await?;
            start(&context, Arc::clone(&transport), config).await?;
            anyhow::Ok(transport)
        };
        let Some(transport) = shutdown.draining().run_until_cancelled(starting).await.transpose()? else {
            tracing::info!("process stopped before it had started");
            return Ok(shutdown.stop(GRACE).await);
        };
        started.set(true);
        let status = shutdown.supervise(&context.readiness, process.drain_delay).await;
        broker::close(&*transport).await;
        Ok(status)
    })
}

/// Runs `main` on a runtime of its own, with a [`Shutdown`] that listens for signals.
///
/// Exit codes: 0 if everything finished; 1 if something failed or was cut off, with one message on standard error; 2 if
/// the configuration is invalid.
pub fn run_process<F, Fut>(process: &str, main: F) -> ExitCode
where
    F: FnOnce(Shutdown) -> Fut,
    Fut: Future<Output = anyhow::Result<ExitStatus>>,
{
    #[cfg(feature = "fault-injection")]
    if let Err(invalid) = crate::fault_injection::install() {
        return report(process, &invalid.into());
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(process, &anyhow::Error::new(error).context("cannot start a runtime")),
    };
    let result = runtime.block_on(async {
        let shutdown = Shutdown::default();
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

/// Writes `error` with its causes as one message to standard error and returns its exit code.
pub fn report(process: &str, error: &anyhow::Error) -> ExitCode {
    // A closed standard error leaves only the exit code.
    let _ = writeln!(std::io::stderr(), "{process}: {error:#}");
    if error.is::<ConfigErrors>() { ExitCode::from(2) } else { ExitCode::FAILURE }
}
