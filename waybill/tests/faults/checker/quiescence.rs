//! Waiting for the system to come to rest, and then judging it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use bus::dead_letters::{self, Selection};
use bus::transport::SharedTransport;
use tokio::time::{Instant, sleep};

use super::{Facts, Promise, Violation, judge};
use crate::cluster::Cluster;
use crate::load::{ClientLog, Load, Subscriber};

/// How long the system may take to come to rest: what it waits for itself is seconds.
const WAIT_LIMIT: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(300);
/// Rest has to last: whatever is still under way shows within this time.
const LASTING: Duration = Duration::from_millis(1_500);
/// What is wrong for so long stays wrong: leases and holds have run out by then, and whoever takes over has.
const BEYOND_HEALING: Duration = Duration::from_secs(8);
/// Violations that are reported, so that one cause with many effects stays readable.
const REPORTED: usize = 25;

/// Stops the load, waits for rest, and judges every promise.
///
/// # Panics
/// With every violation that persists, in words.
pub(crate) async fn assert_promises_kept(cluster: &Cluster, load: Load) {
    assert_promises_kept_with(cluster, load, Vec::new()).await;
}

/// [`assert_promises_kept`] where poison of these ids was injected.
pub(crate) async fn assert_promises_kept_with(cluster: &Cluster, load: Load, poison: Vec<String>) {
    facts_at_rest(cluster, load, poison).await;
}

/// [`assert_promises_kept_with`], and the facts that it rests on.
pub(crate) async fn facts_at_rest(cluster: &Cluster, load: Load, poison: Vec<String>) -> Facts {
    let (log, subscribers) = load.stop().await.unwrap();
    log.write(&cluster.logs().join("client-log.jsonl")).unwrap();
    let observer = Observer::new(cluster, log, subscribers, poison).await.unwrap();
    let (violations, facts) = observer.at_rest().await;
    if violations.is_empty() {
        return facts;
    }
    let count = violations.len();
    let mut report: Vec<String> = violations.iter().take(REPORTED).map(ToString::to_string).collect();
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

/// Stops the load, waits until what is found no longer changes, and answers it: for runs that must not pass.
pub(crate) async fn lasting_violations(cluster: &Cluster, load: Load) -> Vec<Violation> {
    let (log, subscribers) = load.stop().await.unwrap();
    let observer = Observer::new(cluster, log, subscribers, Vec::new()).await.unwrap();
    let deadline = Instant::now() + WAIT_LIMIT;
    let (mut found, mut since) = (Vec::new(), Instant::now());
    while Instant::now() < deadline {
        let (violations, _) = observer.look().await;
        let rested = violations.iter().all(|violation| violation.promise != Promise::ComesToRest);
        if !rested || violations != found {
            (found, since) = (violations, Instant::now());
        } else if since.elapsed() > BEYOND_HEALING {
            break;
        }
        sleep(PAUSE).await;
    }
    found
}

struct Observer<'a> {
    cluster: &'a Cluster,
    bus: Option<SharedTransport>,
    log: Arc<ClientLog>,
    subscribers: Vec<Subscriber>,
    poison: Vec<String>,
}

impl<'a> Observer<'a> {
    async fn new(
        cluster: &'a Cluster,
        log: Arc<ClientLog>,
        subscribers: Vec<Subscriber>,
        poison: Vec<String>,
    ) -> Result<Self> {
        let bus = if cluster.is_distributed() { Some(cluster.bus().await?) } else { None };
        Ok(Self { cluster, bus, log, subscribers, poison })
    }

    /// How things are once the system rests, and what is wrong then, or still wrong when patience ends.
    async fn at_rest(&self) -> (Vec<Violation>, Facts) {
        let deadline = Instant::now() + WAIT_LIMIT;
        let mut rested = false;
        loop {
            let (violations, facts) = self.look().await;
            if (rested && violations.is_empty()) || Instant::now() > deadline {
                return (violations, facts);
            }
            rested = violations.is_empty();
            sleep(if rested { LASTING } else { PAUSE }).await;
        }
    }

    async fn look(&self) -> (Vec<Violation>, Facts) {
        let looked = async {
            let mut restless = self.restless_queues().await?;
            let mut facts = Facts::of_tables(&self.cluster.tables).await?;
            restless.extend(restless_orders(&facts));
            if restless.is_empty() {
                facts.ask_api(self.cluster).await?;
            }
            facts.heard = self.cluster.recorded_events();
            facts.ask_clients(&self.log, &self.subscribers);
            facts.dead_letters = self.dead_letters().await?;
            facts.poison.clone_from(&self.poison);
            anyhow::Ok((restless, facts))
        };
        match looked.await {
            Ok((restless, facts)) => (restless.into_iter().chain(judge(&facts)).collect(), facts),
            Err(error) => (vec![restless(format!("can't be looked at: {error:#}"))], Facts::default()),
        }
    }

    /// Queues of work that still hold messages.
    async fn restless_queues(&self) -> Result<Vec<Violation>> {
        let mut found = Vec::new();
        for (queue, messages) in self.depths().await? {
            if messages > 0 && !queue.ends_with(".dead") {
                found.push(restless(format!("{messages} messages are in {queue}")));
            }
        }
        Ok(found)
    }

    async fn depths(&self) -> Result<Vec<(String, u64)>> {
        let mut depths = Vec::new();
        match &self.bus {
            Some(bus) => {
                for queue in bus.topology().queues() {
                    let depth = bus.depth(&queue.name).await?;
                    depths.push((queue.name, depth.map_or(0, |depth| depth.ready)));
                }
            }
            // The running process keeps its file to itself.
            None => {
                for line in self.cluster.programs[0].metrics().await?.lines() {
                    depths.extend(embedded_depth(line));
                }
            }
        }
        Ok(depths)
    }

    /// The ids of the dead letters.
    async fn dead_letters(&self) -> Result<Vec<String>> {
        match &self.bus {
            Some(bus) => {
                let letters = dead_letters::list(bus, &Selection::All).await?;
                Ok(letters.into_iter().map(|letter| letter.id).collect())
            }
            None => {
                let depths = self.depths().await?;
                let dead = depths.into_iter().filter(|(queue, _)| queue.ends_with(".dead"));
                Ok(dead
                    .flat_map(|(queue, count)| (0..count).map(move |at| format!("{queue} {at}")))
                    .collect())
            }
        }
    }
}

/// Reads `waybill_broker_ready_messages{queue="..."} 0`, and what is unsettled as if it were a queue.
fn embedded_depth(line: &str) -> Option<(String, u64)> {
    let (name, value) = line.rsplit_once(' ')?;
    let queue = match name.strip_prefix("waybill_broker_ready_messages{queue=\"") {
        Some(rest) => rest.strip_suffix("\"}")?,
        None => (name == "waybill_broker_unsettled_messages").then_some(name)?,
    };
    Some((queue.to_owned(), value.parse().ok()?))
}

fn restless_orders(facts: &Facts) -> Vec<Violation> {
    let pending = facts.orders().filter(|order| order.status == "PENDING" && !order.is_deleted());
    pending.map(|order| restless(format!("order {} is still PENDING", order.id))).collect()
}

fn restless(what: String) -> Violation {
    Violation { promise: Promise::ComesToRest, what }
}
