use std::time::Duration;

use service_kit::Readiness;
use service_kit::health::ReadinessReport;
use tokio::sync::watch;

#[test]
fn a_process_is_ready_when_every_condition_is_met() {
    let readiness = Readiness::default();
    assert!(readiness.report().ready);
    let (broker, database) = (readiness.condition("broker"), readiness.condition("database"));
    assert_eq!(readiness.report().missing, ["broker", "database"]);
    broker.set(true);
    assert_eq!(readiness.report().missing, ["database"]);
    database.set(true);
    assert!(readiness.report().ready);
    broker.set_missing("connection reset");
    assert_eq!(
        readiness.report(),
        ReadinessReport { ready: false, draining: false, missing: vec!["broker".into()] }
    );
}

#[test]
fn conditions_of_one_name_are_met_when_all_are() {
    let readiness = Readiness::default();
    let (first, second) = (readiness.condition("broker"), readiness.condition("broker"));
    assert_eq!(readiness.report().missing, ["broker"]);
    first.set(true);
    assert_eq!(readiness.report().missing, ["broker"]);
    second.set(true);
    assert!(readiness.report().ready);
}

#[test]
fn a_draining_process_is_not_ready() {
    let readiness = Readiness::default();
    readiness.start_draining();
    assert_eq!(readiness.report(), ReadinessReport { ready: false, draining: true, missing: vec![] });
}

#[tokio::test]
async fn waiting_for_readiness_ends_when_the_last_condition_is_met() {
    let readiness = Readiness::default();
    let broker = readiness.condition("broker");
    let waiting = tokio::spawn({
        let readiness = readiness.clone();
        async move { readiness.ready().await }
    });
    broker.set(true);
    waiting.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_condition_follows_its_probe_and_a_probe_that_hangs_is_not_met() {
    let readiness = Readiness::default();
    let (answer, answers) = watch::channel(Some(Ok(())));
    let probe = async move || {
        let answer: Option<Result<(), &str>> = *answers.borrow();
        match answer {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    };
    let following = readiness.condition("database").follow(Duration::from_secs(2), probe);
    let watching = async {
        for (next, ready) in
            [(Some(Ok(())), true), (Some(Err("away")), false), (Some(Ok(())), true), (None, false)]
        {
            answer.send_replace(next);
            // Longer than a pause and a probe that hangs take together.
            tokio::time::sleep(Duration::from_secs(5)).await;
            assert_eq!(readiness.report().ready, ready, "{next:?}");
        }
    };
    tokio::select! { () = following => unreachable!("it follows for ever"), () = watching => {} }
}

#[tokio::test]
async fn a_process_has_started_once_it_was_ready_whatever_goes_away_later() {
    let readiness = Readiness::default();
    let (start, broker) = (readiness.condition("start"), readiness.condition("broker"));
    broker.set(true);
    let started = async || tokio::time::timeout(Duration::ZERO, readiness.started()).await.is_ok();
    assert!(!started().await);
    start.set(true);
    broker.set_missing("connection reset");
    assert!(!readiness.report().ready);
    assert!(started().await);
}
