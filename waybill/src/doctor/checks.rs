//! What is wrong in a snapshot, and what to do about it.

use std::collections::BTreeMap;
use std::time::Duration;

use schema::clock::SenderClock;
use schema::time::Timestamp;
use serde::Serialize;

use super::management::ManagementStatus;
use super::probe::{BacklogStatus, ServiceStatus, Snapshot};
use crate::admin::{ClockStatus, DatabaseStatus, QueueRole, QueueStatus, TablesStatus};
use crate::output::counted;

/// How long an event may wait to be published: several times what a relay's takeover takes.
const OUTBOX_AGE_MAX: Duration = Duration::from_secs(30);
/// How long an order may be PENDING before the operator should know: longer than a retry and a service's restart take.
const PENDING_AGE_MAX: Duration = Duration::from_secs(10);
/// Messages that may wait for a service before the operator should know.
const READY_MAX: u64 = 1_000;
/// How far clocks may be apart before the operator should know.
const CLOCK_APART_MAX_MS: u64 = 1_000;
/// A clock that seems to be behind by less, to those who receive its requests, may be right: requests take their time.
const SENDER_BEHIND_MS: i64 = 10_000;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Finding {
    pub(super) subject: String,
    pub(super) finding: String,
    pub(super) advice: String,
}

fn finding(subject: &str, finding: impl Into<String>, advice: impl Into<String>) -> Finding {
    Finding { subject: subject.to_owned(), finding: finding.into(), advice: advice.into() }
}

/// Every problem, causes before their consequences.
pub(super) fn findings(snapshot: &Snapshot) -> Vec<Finding> {
    let mut findings = broker(snapshot);
    let running = snapshot.services.is_some();
    if !running && snapshot.broker.unreachable.is_none() {
        findings.push(finding("waybill", "it is not running", "start it with `waybill up`"));
    }
    findings.extend(snapshot.databases.iter().flat_map(database));
    findings.extend(snapshot.queues.iter().filter_map(|status| queue(status, running)));
    findings.extend(snapshot.management.iter().flat_map(management));
    // While the broker takes no message, no service can be asked.
    if snapshot.broker.blocked.is_none() {
        findings.extend(snapshot.services.iter().flatten().filter_map(service));
    }
    findings.extend(snapshot.backlog.iter().flat_map(backlog));
    findings.extend(clocks(&snapshot.clocks));
    findings
}

fn broker(snapshot: &Snapshot) -> Vec<Finding> {
    let broker = &snapshot.broker;
    let unreachable = broker.unreachable.iter().map(|reason| {
        let advice = "see that it runs, and that address, user, password and virtual host are right";
        finding("broker", reason, advice)
    });
    let refused = broker.refused.iter().flat_map(|refused| refused.split("; ")).map(|refused| {
        let advice = "see that all processes have the same RETRY_DELAYS and version and that the user may configure \
                      the namespace; else drain the queue, delete it, and it is declared anew within seconds";
        finding("topology", format!("the broker refuses: {refused}"), advice)
    });
    let blocked = broker.blocked.iter().map(|reason| {
        let advice =
            "free memory or disk on the broker (`rabbitmqctl status` names RabbitMQ's alarm, the reason the embedded \
             broker's file); it goes on by itself";
        finding("broker", format!("it has blocked publishing: {reason}"), advice)
    });
    let fault = broker
        .fault
        .iter()
        .map(|fault| finding("broker", fault, "see the broker's log, and that it is not overloaded"));
    unreachable.chain(refused).chain(blocked).chain(fault).collect()
}

fn management(management: &ManagementStatus) -> Vec<Finding> {
    let fault = management.fault.iter().map(|fault| {
        let advice =
            "see that the plugin rabbitmq_management is enabled, and that RABBITMQ_MANAGEMENT_URL is right";
        finding("management API", fault, advice)
    });
    let deviations = management.deviations.iter().map(|deviation| {
        let (subject, advice) = match &deviation.policy {
            Some(policy) => (
                format!("policy {policy}"),
                "accepted orders and events can be lost: let the policy match other queues \
                 (`rabbitmqctl list_policies`, `list_operator_policies`)",
            ),
            None => (
                "topology".to_owned(),
                "declare it as `waybill topology --output json` says; a queue is drained and deleted before that",
            ),
        };
        let what = format!("{}: {}", deviation.queues.join(", "), deviation.what);
        finding(&subject, what, advice)
    });
    fault.chain(deviations).collect()
}

fn queue(queue: &QueueStatus, running: bool) -> Option<Finding> {
    let Some(depth) = queue.depth else {
        let advice =
            "see what the topology's findings say; a queue that vanished is declared at the next connect";
        return Some(finding(&queue.name, "it is not there", advice));
    };
    match queue.role {
        QueueRole::Requests | QueueRole::Work if running && queue.lacks_consumers() => {
            let waiting = if depth.ready > 0 { format!(", and {} wait", depth.ready) } else { String::new() };
            let advice = format!("start {}, or look at its /readyz", consumer(&queue.name));
            Some(finding(&queue.name, format!("it has no consumers{waiting}"), advice))
        }
        QueueRole::Requests | QueueRole::Work if running && depth.ready > READY_MAX => {
            let advice =
                format!("look whether {} is slow, and start another copy of it", consumer(&queue.name));
            Some(finding(&queue.name, format!("{} messages wait", depth.ready), advice))
        }
        QueueRole::Dead if depth.ready > 0 => {
            let dead = counted(depth.ready, "dead letter");
            let advice = "`waybill dead-letters list` says why; mend the cause, then replay or discard them";
            Some(finding(&queue.name, dead, advice))
        }
        QueueRole::Requests | QueueRole::Work | QueueRole::Retry | QueueRole::Dead => None,
    }
}

/// The service whose queue it is: a queue's name begins with its word after the namespace.
fn consumer(queue: &str) -> &'static str {
    let owned_by = |word: &str| queue.ends_with(&format!(".{word}.requests"));
    if owned_by("customer") {
        "customer-service"
    } else if owned_by("inventory") || queue.ends_with(".inventory.order-events") {
        "inventory-service"
    } else {
        "order-service"
    }
}

fn service(service: &ServiceStatus) -> Option<Finding> {
    let fault = service.fault.as_ref()?;
    let name = &service.name;
    let advice = format!("look at its /readyz, which names what is missing, and at its log, or start {name}");
    Some(finding(name, format!("it does not answer: {fault}"), advice))
}

fn database(database: &DatabaseStatus) -> Vec<Finding> {
    let name = &database.name;
    if let Some(fault) = &database.fault {
        let advice = "see that the server runs, and that address, user and password are right";
        return vec![finding(name, format!("it does not answer: {fault}"), advice)];
    }
    let mut findings = Vec::new();
    if let Some(failure) = &database.write_failure {
        let advice = "free space on its disk, give its files to the user that runs waybill, or end what makes its server \
                      read-only; what was accepted waits, and is done by itself then";
        findings.push(finding(name, failure, advice));
    }
    if database.tables.is_empty() {
        let advice =
            "start the services, which make their tables, or run `migrations`; or name another database";
        findings.push(finding(name, "it holds no service's tables", advice));
    }
    for TablesStatus { of, pending_migrations } in &database.tables {
        if !pending_migrations.is_empty() {
            let pending = format!("migrations of {of} are not applied: {}", pending_migrations.join(", "));
            let advice = format!("start this version's services, or run `migrations {of}`");
            findings.push(finding(name, pending, advice));
        }
    }
    findings.extend(clock(name, database.clock_ahead_ms));
    findings
}

fn backlog(seen: &BacklogStatus) -> Vec<Finding> {
    let backlog = &seen.backlog;
    let age = |since: Option<Timestamp>| since.map(|since| backlog.now.since(since)).unwrap_or_default();
    let mut findings = Vec::new();
    let waited = age(backlog.unpublished_since);
    if waited > OUTBOX_AGE_MAX {
        let waiting = format!("{} events wait to be published, for {}", seen.outbox, whole_seconds(waited));
        let advice = "order-service's log says what its relay fails at; events leave by themselves once that is mended";
        findings.push(finding("outbox", waiting, advice));
    }
    let waited = age(backlog.pending_since);
    if waited > PENDING_AGE_MAX {
        let waiting = format!("{} orders are PENDING, for up to {}", backlog.pending, whole_seconds(waited));
        let advice =
            "see that inventory-service and customer-service answer; orders are tried again by themselves";
        findings.push(finding("pending orders", waiting, advice));
    }
    findings
}

/// The clocks of the services, and of the other processes as the services see them.
fn clocks(clocks: &[ClockStatus]) -> Vec<Finding> {
    let mut ahead_ms: BTreeMap<&str, i64> = BTreeMap::new();
    for clock in clocks {
        ahead_ms.insert(&clock.service, clock.ahead_ms);
    }
    for ClockStatus { ahead_ms: service_ahead_ms, senders, .. } in clocks {
        for SenderClock { process, ahead_ms: sender_ahead_ms } in senders {
            // Services have told their time themselves.
            if !clocks.iter().any(|clock| process.contains(clock.service.as_str())) {
                let sum_ms = service_ahead_ms.saturating_add(*sender_ahead_ms);
                let is_known = !(-SENDER_BEHIND_MS..=0).contains(&sum_ms);
                ahead_ms.entry(process).or_insert(if is_known { sum_ms } else { 0 });
            }
        }
    }
    ahead_ms.into_iter().filter_map(|(name, ahead_ms)| clock(name, ahead_ms)).collect()
}

fn clock(name: &str, ahead_ms: i64) -> Option<Finding> {
    let apart = ahead_ms.unsigned_abs();
    (apart > CLOCK_APART_MAX_MS).then(|| {
        let side = if ahead_ms > 0 { "ahead of" } else { "behind" };
        let apart = whole_seconds(Duration::from_millis(apart));
        let advice = "keep all machines' clocks by NTP: times of orders are as wrong, and requests may be refused as too late";
        finding(name, format!("its clock is {apart} {side} this machine's"), advice)
    })
}

fn whole_seconds(duration: Duration) -> String {
    humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string()
}

#[cfg(test)]
mod tests {
    use bus::transport::QueueDepth;
    use schema::order_messages::Backlog;

    use super::super::management::Deviation;
    use super::*;
    use crate::admin::BrokerStatus;

    fn depth(ready: u64, consumers: u32) -> Option<QueueDepth> {
        Some(QueueDepth { ready, consumers })
    }

    fn text(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    fn told(service: &str, ahead_ms: i64, senders: &[(&str, i64)]) -> ClockStatus {
        let sender = |(process, ahead_ms): &(&str, i64)| SenderClock {
            process: (*process).to_owned(),
            ahead_ms: *ahead_ms,
        };
        ClockStatus { service: service.to_owned(), ahead_ms, senders: senders.iter().map(sender).collect() }
    }

    fn well() -> Snapshot {
        let queue = |name: &str, role, consumers| QueueStatus {
            name: format!("waybill.{name}"),
            role,
            depth: depth(0, consumers),
        };
        let service = |name: &str| ServiceStatus { name: name.to_owned(), answered_in_ms: 3, fault: None };
        let now: Timestamp = "2026-11-23T19:10:51.371Z".parse().unwrap();
        Snapshot {
            broker: BrokerStatus::default(),
            management: Some(ManagementStatus::default()),
            queues: vec![
                queue("customer.requests", QueueRole::Requests, 1),
                queue("order.commands", QueueRole::Work, 2),
                queue("order.commands.dead", QueueRole::Dead, 0),
                queue("order.commands.retry.1s", QueueRole::Retry, 0),
            ],
            services: Some(vec![service("order-service"), service("customer-service")]),
            backlog: Some(BacklogStatus {
                outbox: 2,
                backlog: Backlog {
                    now,
                    unpublished_since: Some(now.minus(Duration::from_secs(1))),
                    pending: 1,
                    pending_since: Some(now.minus(Duration::from_secs(5))),
                },
            }),
            databases: vec![DatabaseStatus {
                name: "DATABASE_URL".to_owned(),
                fault: None,
                write_failure: None,
                tables: vec![TablesStatus { of: "orders".to_owned(), pending_migrations: Vec::new() }],
                clock_ahead_ms: 12,
            }],
            clocks: vec![
                told(
                    "order-service",
                    -40,
                    &[("waybill.gateway.1", -3_000), ("waybill.inventory-service.2", 20)],
                ),
                told("inventory-service", 15, &[("waybill.order-service.3", -4)]),
            ],
        }
    }

    #[test]
    fn if_all_is_well_nothing_is_found() {
        assert_eq!(findings(&well()), []);
    }

    #[test]
    fn each_thing_that_is_not_well_is_found_alone_and_says_what_to_do() {
        type Harm = fn(&mut Snapshot);
        let cases: [(&str, &str, Harm); 22] = [
            ("topology", "inequivalent arg 'x-max-length' for queue", |seen| {
                seen.broker.refused =
                    text("queue waybill.order.commands: inequivalent arg 'x-max-length' for queue");
            }),
            ("broker", "blocked publishing: low on memory", |seen| {
                seen.broker.blocked = text("low on memory");
            }),
            ("broker", "no answer", |seen| seen.broker.fault = text("no answer")),
            ("broker", "blocked publishing: low on memory", |seen| {
                seen.broker.blocked = text("low on memory");
                for service in seen.services.iter_mut().flatten() {
                    service.fault = text("no answer in time");
                }
            }),
            ("management API", "no answer", |seen| {
                seen.management.as_mut().unwrap().fault = text("no answer");
            }),
            ("policy x", "waybill.order.commands: messages expire after 3000 ms", |seen| {
                seen.management.as_mut().unwrap().deviations.push(Deviation {
                    policy: text("x"),
                    what: "messages expire after 3000 ms".to_owned(),
                    queues: vec!["waybill.order.commands".to_owned()],
                });
            }),
            ("waybill.order.commands", "not there", |seen| seen.queues[1].depth = None),
            ("waybill.customer.requests", "it has no consumers, and 7 wait", |seen| {
                seen.queues[0].depth = depth(7, 0);
            }),
            ("waybill.order.commands", "it has no consumers", |seen| seen.queues[1].depth = depth(0, 0)),
            ("waybill.order.commands", "1001 messages wait", |seen| seen.queues[1].depth = depth(1_001, 1)),
            ("waybill.order.commands.dead", "3 dead letters", |seen| seen.queues[2].depth = depth(3, 0)),
            ("customer-service", "does not answer: no answer in time", |seen| {
                seen.services.as_mut().unwrap()[1].fault = text("no answer in time");
            }),
            ("DATABASE_URL", "does not answer: refused", |seen| seen.databases[0].fault = text("refused")),
            ("DATABASE_URL", "it takes no writes: no space", |seen| {
                seen.databases[0].write_failure = text("it takes no writes: no space");
            }),
            ("DATABASE_URL", "no service's tables", |seen| seen.databases[0].tables.clear()),
            ("DATABASE_URL", "migrations of orders are not applied: m0002", |seen| {
                seen.databases[0].tables[0].pending_migrations.push("m0002".to_owned());
            }),
            ("DATABASE_URL", "its clock is 3s ahead of this machine's", |seen| {
                seen.databases[0].clock_ahead_ms = 3_000;
            }),
            ("inventory-service", "its clock is 1h behind this machine's", |seen| {
                seen.clocks[1].ahead_ms = -3_600_000;
                seen.clocks[1].senders[0].ahead_ms = 3_600_000;
            }),
            ("waybill.gateway.1", "its clock is 1h ahead of this machine's", |seen| {
                seen.clocks[0].senders[0].ahead_ms = 3_600_100;
            }),
            // The gateway's clock is right, and order-service's is not.
            ("order-service", "its clock is 1h ahead of this machine's", |seen| {
                seen.clocks[0].ahead_ms = 3_600_000;
                seen.clocks[0].senders[0].ahead_ms = -3_600_000;
            }),
            ("outbox", "2 events wait to be published, for 5m", |seen| {
                let backlog = &mut seen.backlog.as_mut().unwrap().backlog;
                backlog.unpublished_since = Some(backlog.now.minus(Duration::from_secs(300)));
            }),
            ("pending orders", "1 orders are PENDING, for up to 11s", |seen| {
                let backlog = &mut seen.backlog.as_mut().unwrap().backlog;
                backlog.pending_since = Some(backlog.now.minus(Duration::from_secs(11)));
            }),
        ];
        for (subject, part, harm) in cases {
            let mut seen = well();
            harm(&mut seen);
            let found = findings(&seen);
            let [only] = &found[..] else { panic!("{subject}, {part}: {found:?}") };
            assert_eq!(only.subject, subject);
            assert!(only.finding.contains(part), "{part} is not in {:?}", only.finding);
            assert!(!only.advice.is_empty());
        }
    }

    #[test]
    fn a_system_that_is_not_running_is_one_finding_and_no_consumer_is_missed() {
        let mut seen = well();
        (seen.services, seen.backlog) = (None, None);
        seen.queues.iter_mut().for_each(|queue| queue.depth = depth(0, 0));
        let subjects: Vec<String> = findings(&seen).into_iter().map(|finding| finding.subject).collect();
        assert_eq!(subjects, ["waybill"]);
    }

    #[test]
    fn of_a_broker_that_is_not_reached_nothing_else_is_reported() {
        let found = findings(&Snapshot::unreachable("connection refused".to_owned()));
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].subject.as_str(), found[0].finding.as_str()), ("broker", "connection refused"));
    }

    #[test]
    fn every_refused_queue_is_a_finding_of_its_own() {
        let mut seen = well();
        seen.broker.refused = text("queue a: differs; queue b: differs");
        assert_eq!(findings(&seen).len(), 2);
    }
}
