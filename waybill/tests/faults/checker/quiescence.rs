//! Waits for the system to come to rest, and then judges it.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use waybill::audit::{Facts, Invariant, Violation};

use super::Observer;
use crate::cluster::Cluster;
use crate::load::Load;

/// How long the system may take to come to rest: what it waits for itself is seconds.
const REST_LIMIT: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(300);
/// Rest has to last: what is still under way shows within this time.
const LASTING: Duration = Duration::from_millis(1_500);
/// What is wrong for so long stays wrong: leases and holds have expired by then, and another copy has taken over.
const BEYOND_HEALING: Duration = Duration::from_secs(8);
/// Violations that are reported, so that one cause with many effects stays readable.
const REPORTED: usize = 25;

/// Stops the load, waits for rest, and judges every promise.
///
/// # Panics
/// With every violation that persists.
pub(crate) async fn assert_promises_kept(cluster: &Cluster, load: Load) {
    assert_promises_kept_with(cluster, load, Vec::new()).await;
}

/// [`assert_promises_kept`] after poison with these ids was published.
pub(crate) async fn assert_promises_kept_with(cluster: &Cluster, load: Load, poison: Vec<String>) {
    facts_at_rest(cluster, load, poison).await;
}

/// [`assert_promises_kept_with`]; returns the facts that were judged.
pub(crate) async fn facts_at_rest(cluster: &Cluster, load: Load, poison: Vec<String>) -> Facts {
    let (log, subscribers) = load.stop().await.unwrap();
    log.write(&cluster.logs().join("client-log.jsonl")).unwrap();
    let observer = Observer::new(cluster, log, subscribers, poison).await.unwrap();
    let (violations, facts) = at_rest(&observer).await;
    if violations.is_empty() {
        return facts;
    }
    let count = violations.len();
    let mut report: Vec<String> = violations.iter().take(REPORTED).map(line).collect();
    if count > REPORTED {
        report.push(format!("and {} more", count - REPORTED));
    }
    panic!(
        "{count} violations ({}):\n{}\nlogs are in {}",
        observer.log.summary(),
        report.join("\n"),
        cluster.logs().display()
    );
}

fn line(violation: &Violation) -> String {
    format!("{:?}: {violation}", violation.invariant)
}

/// What is wrong once the system rests, or still wrong after [`REST_LIMIT`].
async fn at_rest(observer: &Observer<'_>) -> (Vec<Violation>, Facts) {
    let deadline = Instant::now() + REST_LIMIT;
    let mut rested = false;
    loop {
        let (violations, facts) = observer.observe().await;
        if (rested && violations.is_empty()) || Instant::now() > deadline {
            return (violations, facts);
        }
        rested = violations.is_empty();
        sleep(if rested { LASTING } else { PAUSE }).await;
    }
}

/// Stops the load, waits until what is found no longer changes, and returns it: for runs that must not pass.
pub(crate) async fn lasting_violations(cluster: &Cluster, load: Load) -> Vec<Violation> {
    let (log, subscribers) = load.stop().await.unwrap();
    let observer = Observer::new(cluster, log, subscribers, Vec::new()).await.unwrap();
    let deadline = Instant::now() + REST_LIMIT;
    let (mut found, mut since) = (Vec::new(), Instant::now());
    while Instant::now() < deadline {
        let (violations, _) = observer.observe().await;
        let rested = violations.iter().all(|violation| violation.invariant != Invariant::Rest);
        if !rested || violations != found {
            (found, since) = (violations, Instant::now());
        } else if since.elapsed() > BEYOND_HEALING {
            break;
        }
        sleep(PAUSE).await;
    }
    found
}
