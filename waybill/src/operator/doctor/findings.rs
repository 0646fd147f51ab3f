//! What is wrong, and what to do about it.

use std::time::Duration;

use schema::time::Timestamp;
use serde::Serialize;

use super::examined::{Database, Examined, Queue, Role, SeenBacklog, Service};

/// How long an event may wait to be published: several times what a relay's takeover takes.
const OUTBOX_AGE_MAX: Duration = Duration::from_secs(30);
/// How long an order may be PENDING before somebody should know.
const PENDING_AGE_MAX: Duration = Duration::from_secs(60);
/// Messages that wait for a service before it is called behind.
const READY_MAX: u64 = 1_000;
/// How far clocks may be apart: `x-deadline` refuses requests from where more is between them.
const CLOCK_APART_MAX_MS: u64 = 1_000;

/// One thing that is not well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Finding {
    /// What it is about.
    pub(super) subject: String,
    /// What is wrong.
    pub(super) finding: String,
    /// What to do.
    pub(super) advice: String,
}

fn finding(subject: &str, finding: impl Into<String>, advice: impl Into<String>) -> Finding {
    Finding { subject: subject.to_owned(), finding: finding.into(), advice: advice.into() }
}

/// Everything that is not well, the roots before what grows from them.
pub(super) fn of(examined: &Examined) -> Vec<Finding> {
    let mut findings = broker(examined);
    let running = examined.services.is_some();
    if !running && examined.broker.unreachable.is_none() {
        let advice = "start it with `waybill up`";
        findings.push(finding("waybill", "it is not running", advice));
    }
    findings.extend(examined.databases.iter().flat_map(database));
    findings.extend(examined.queues.iter().filter_map(|found| queue(found, running)));
    findings.extend(examined.services.iter().flatten().filter_map(service));
    findings.extend(examined.backlog.iter().flat_map(backlog));
    findings
}

fn broker(examined: &Examined) -> Vec<Finding> {
    let broker = &examined.broker;
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
            "free memory or disk on the broker (`rabbitmqctl status` names the alarm); it goes on by itself";
        finding("broker", format!("it has blocked publishing: {reason}"), advice)
    });
    let fault = broker
        .fault
        .iter()
        .map(|fault| finding("broker", fault, "see the broker's log, and that it is not overloaded"));
    unreachable.chain(refused).chain(blocked).chain(fault).collect()
}

fn queue(queue: &Queue, running: bool) -> Option<Finding> {
    let Some(depth) = queue.depth else {
        let advice =
            "see what the topology's findings say; a queue that vanished is declared at the next connect";
        return Some(finding(&queue.name, "it is not there", advice));
    };
    match queue.role {
        Role::Requests | Role::Work if running && queue.lacks_consumers() => {
            let waiting = if depth.ready > 0 { format!(", and {} wait", depth.ready) } else { String::new() };
            let advice = format!("start {}, or look at its /readyz", consumer(&queue.name));
            Some(finding(&queue.name, format!("nobody consumes it{waiting}"), advice))
        }
        Role::Requests | Role::Work if running && depth.ready > READY_MAX => {
            let advice =
                format!("look whether {} is slow, and start another copy of it", consumer(&queue.name));
            Some(finding(&queue.name, format!("{} messages wait", depth.ready), advice))
        }
        Role::Dead if depth.ready > 0 => {
            let dead = if depth.ready == 1 {
                "1 dead letter".to_owned()
            } else {
                format!("{} dead letters", depth.ready)
            };
            let advice = "`waybill dead-letters list` says why; mend the cause, then replay or discard them";
            Some(finding(&queue.name, dead, advice))
        }
        Role::Requests | Role::Work | Role::Retry | Role::Dead => None,
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

fn service(service: &Service) -> Option<Finding> {
    let fault = service.fault.as_ref()?;
    let advice = format!(
        "look at its /readyz, which names what is missing, and at its log, or start {}",
        service.name
    );
    Some(finding(&service.name, format!("it does not answer: {fault}"), advice))
}

fn database(database: &Database) -> Vec<Finding> {
    let name = &database.name;
    if let Some(fault) = &database.fault {
        let advice = "see that the server runs, and that address, user and password are right";
        return vec![finding(name, format!("it does not answer: {fault}"), advice)];
    }
    let mut findings = Vec::new();
    if database.tables.is_empty() {
        let advice =
            "start the services, which make their tables, or run `migrations`; or name another database";
        findings.push(finding(name, "it holds no service's tables", advice));
    }
    for tables in &database.tables {
        if !tables.pending_migrations.is_empty() {
            let pending = tables.pending_migrations.join(", ");
            let advice = format!("start this version's services, or run `migrations {}`", tables.of);
            findings.push(finding(
                name,
                format!("migrations of {} are not applied: {pending}", tables.of),
                advice,
            ));
        }
    }
    findings.extend(clock(name, database.clock_ahead_ms));
    findings
}

fn backlog(seen: &SeenBacklog) -> Vec<Finding> {
    let backlog = &seen.backlog;
    let age = |since: Option<Timestamp>| since.map(|since| backlog.now.since(since)).unwrap_or_default();
    let mut findings = Vec::new();
    let unpublished_for = age(backlog.unpublished_since);
    if unpublished_for > OUTBOX_AGE_MAX {
        let waiting = format!("{} events wait to be published, for {}", seen.outbox, told(unpublished_for));
        let advice = "order-service's log says what its relay fails at; events leave by themselves once that is mended";
        findings.push(finding("outbox", waiting, advice));
    }
    let pending_for = age(backlog.pending_since);
    if pending_for > PENDING_AGE_MAX {
        let waiting = format!("{} orders are PENDING, for up to {}", backlog.pending, told(pending_for));
        let advice =
            "see that inventory-service and customer-service answer; orders are tried again by themselves";
        findings.push(finding("pending orders", waiting, advice));
    }
    findings.extend(clock("order-service", seen.clock_ahead_ms));
    findings
}

fn clock(name: &str, ahead_ms: i64) -> Option<Finding> {
    let apart = ahead_ms.unsigned_abs();
    (apart > CLOCK_APART_MAX_MS).then(|| {
        let side = if ahead_ms > 0 { "ahead of" } else { "behind" };
        let differ = format!("its clock is {} {side} this machine's", told(Duration::from_millis(apart)));
        finding(
            name,
            differ,
            "keep both machines' clocks by NTP: from 2 s on requests are refused as too late",
        )
    })
}

/// In whole seconds.
fn told(duration: Duration) -> String {
    humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string()
}

#[cfg(test)]
mod tests;
