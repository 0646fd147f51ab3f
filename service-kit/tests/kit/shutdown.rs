use std::time::Duration;

use service_kit::shutdown::GRACE;
use service_kit::{ExitStatus, Readiness, Shutdown};
use tokio::sync::oneshot;

#[tokio::test]
async fn tasks_finish_what_they_do_before_the_process_ends() {
    let (shutdown, readiness) = (Shutdown::default(), Readiness::default());
    let (finished, mut was_finished) = oneshot::channel();
    let stopping = shutdown.stopping().clone();
    shutdown.spawn("consumer", async move {
        stopping.cancelled().await;
        tokio::task::yield_now().await;
        finished.send(()).unwrap();
    });
    shutdown.begin();
    assert_eq!(shutdown.supervise(&readiness, Duration::ZERO).await, ExitStatus::Finished);
    assert!(was_finished.try_recv().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_draining_process_serves_on_for_the_drain_delay() {
    let (shutdown, readiness) = (Shutdown::default(), Readiness::default());
    let supervised = tokio::spawn({
        let (shutdown, readiness) = (shutdown.clone(), readiness.clone());
        async move { shutdown.supervise(&readiness, Duration::from_secs(5)).await }
    });
    shutdown.begin();
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(readiness.report().draining);
    assert!(shutdown.draining().is_cancelled());
    assert!(!shutdown.stopping().is_cancelled());
    assert_eq!(supervised.await.unwrap(), ExitStatus::Finished);
    assert!(shutdown.stopping().is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn a_task_that_outlives_the_grace_is_cut_off_and_named() {
    let shutdown = Shutdown::default();
    shutdown.spawn("endless", std::future::pending());
    shutdown.spawn("brief", std::future::ready(()));
    assert_eq!(shutdown.stop(GRACE).await, ExitStatus::CutOff(vec!["endless".into()]));
}

#[tokio::test]
async fn a_second_signal_cuts_off_what_runs() {
    let shutdown = Shutdown::default();
    shutdown.spawn("endless", std::future::pending());
    let stopped = tokio::spawn({
        let shutdown = shutdown.clone();
        async move { shutdown.supervise(&Readiness::default(), Duration::from_secs(600)).await }
    });
    shutdown.begin();
    shutdown.force();
    assert_eq!(stopped.await.unwrap(), ExitStatus::CutOff(vec!["endless".into()]));
}

#[tokio::test]
async fn a_panicking_task_ends_the_process() {
    let shutdown = Shutdown::default();
    shutdown.spawn("consumer", async { panic!("on purpose") });
    let status = shutdown.supervise(&Readiness::default(), Duration::ZERO).await;
    assert_eq!(status, ExitStatus::Failed("consumer panicked".into()));
}
