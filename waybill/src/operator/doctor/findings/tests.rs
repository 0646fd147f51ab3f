use schema::order_messages::Backlog;

use super::super::examined::{Broker, Depth, Tables};
use super::*;

fn well() -> Examined {
    let queue = |name: &str, role, consumers| Queue {
        name: format!("waybill.{name}"),
        role,
        depth: Some(Depth { ready: 0, consumers }),
    };
    let service = |name: &str| Service { name: name.to_owned(), answered_in_ms: 3, fault: None };
    let now: Timestamp = "2026-11-23T19:10:51.371Z".parse().unwrap();
    Examined {
        broker: Broker::default(),
        queues: vec![
            queue("customer.requests", Role::Requests, 1),
            queue("order.commands", Role::Work, 2),
            queue("order.commands.dead", Role::Dead, 0),
            queue("order.commands.retry.1s", Role::Retry, 0),
        ],
        services: Some(vec![service("order-service"), service("customer-service")]),
        backlog: Some(SeenBacklog {
            outbox: 2,
            backlog: Backlog {
                now,
                unpublished_since: Some(now.minus(Duration::from_secs(1))),
                pending: 1,
                pending_since: Some(now.minus(Duration::from_secs(5))),
            },
            clock_ahead_ms: -40,
        }),
        databases: vec![Database {
            name: "DATABASE_URL".to_owned(),
            fault: None,
            tables: vec![Tables { of: "orders".to_owned(), pending_migrations: Vec::new() }],
            clock_ahead_ms: 12,
        }],
    }
}

#[test]
fn where_all_is_well_nothing_is_found() {
    assert_eq!(of(&well()), []);
}

#[test]
fn each_thing_that_is_not_well_is_found_alone_and_says_what_to_do() {
    type Harm = fn(&mut Examined);
    let cases: [(&str, &str, Harm); 15] = [
        ("topology", "inequivalent arg 'x-max-length' for queue", |seen| {
            let refused = "queue waybill.order.commands: inequivalent arg 'x-max-length' for queue";
            seen.broker.refused = Some(refused.to_owned());
        }),
        ("broker", "blocked publishing: low on memory", |seen| {
            seen.broker.blocked = Some("low on memory".to_owned());
        }),
        ("broker", "no answer", |seen| seen.broker.fault = Some("no answer".to_owned())),
        ("waybill.order.commands", "not there", |seen| seen.queues[1].depth = None),
        ("waybill.customer.requests", "nobody consumes it, and 7 wait", |seen| {
            seen.queues[0].depth = Some(Depth { ready: 7, consumers: 0 });
        }),
        ("waybill.order.commands", "nobody consumes it", |seen| {
            seen.queues[1].depth = Some(Depth { ready: 0, consumers: 0 });
        }),
        ("waybill.order.commands", "1001 messages wait", |seen| {
            seen.queues[1].depth = Some(Depth { ready: 1_001, consumers: 1 });
        }),
        ("waybill.order.commands.dead", "3 dead letters", |seen| {
            seen.queues[2].depth = Some(Depth { ready: 3, consumers: 0 });
        }),
        ("customer-service", "does not answer: no answer in time", |seen| {
            seen.services.as_mut().unwrap()[1].fault = Some("no answer in time".to_owned());
        }),
        ("DATABASE_URL", "does not answer: refused", |seen| {
            seen.databases[0].fault = Some("refused".to_owned());
        }),
        ("DATABASE_URL", "no service's tables", |seen| seen.databases[0].tables.clear()),
        ("DATABASE_URL", "migrations of orders are not applied: m0002", |seen| {
            seen.databases[0].tables[0].pending_migrations.push("m0002".to_owned());
        }),
        ("DATABASE_URL", "its clock is 3s ahead of this machine's", |seen| {
            seen.databases[0].clock_ahead_ms = 3_000;
        }),
        ("outbox", "2 events wait to be published, for 5m", |seen| {
            let backlog = &mut seen.backlog.as_mut().unwrap().backlog;
            backlog.unpublished_since = Some(backlog.now.minus(Duration::from_secs(300)));
        }),
        ("pending orders", "1 orders are PENDING, for up to 2m", |seen| {
            let backlog = &mut seen.backlog.as_mut().unwrap().backlog;
            backlog.pending_since = Some(backlog.now.minus(Duration::from_secs(120)));
        }),
    ];
    for (subject, part, harm) in cases {
        let mut seen = well();
        harm(&mut seen);
        let found = of(&seen);
        let [only] = &found[..] else { panic!("{subject}, {part}: {found:?}") };
        assert_eq!(only.subject, subject);
        assert!(only.finding.contains(part), "{part} is not in {:?}", only.finding);
        assert!(!only.advice.is_empty());
    }
}

#[test]
fn a_shop_that_is_not_running_is_one_finding_and_no_consumer_is_missed() {
    let mut seen = well();
    (seen.services, seen.backlog) = (None, None);
    for queue in &mut seen.queues {
        queue.depth = Some(Depth { ready: 0, consumers: 0 });
    }
    let subjects: Vec<String> = of(&seen).into_iter().map(|finding| finding.subject).collect();
    assert_eq!(subjects, ["waybill"]);
}

#[test]
fn of_a_broker_that_is_not_reached_nothing_else_is_said() {
    let found = of(&Examined::unreachable("connection refused".to_owned()));
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].subject.as_str(), found[0].finding.as_str()), ("broker", "connection refused"));
}

#[test]
fn every_refused_queue_is_a_finding_of_its_own() {
    let mut seen = well();
    seen.broker.refused = Some("queue a: differs; queue b: differs".to_owned());
    assert_eq!(of(&seen).len(), 2);
}
