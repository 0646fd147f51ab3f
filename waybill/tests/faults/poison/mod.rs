//! Messages that can't be handled become dead letters, with what is needed to repair them, and delay no other message.

mod others;
mod repaired;

use std::time::Duration;

use bus::dead_letters::{self, Selection};
use bus::message::{Message, header};
use bus::topology::WorkQueue;
use bus::transport::{SharedTransport, Target};
use serde_json::json;
use testkit::eventually;
use uuid::Uuid;

use crate::checker::assert_promises_kept_with;
use crate::cluster::{Cluster, Shape};
use crate::load::{Load, WorkloadConfig};
use others::measured;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const LIVENESS: Duration = Duration::from_secs(60);
/// What the longest poison may leave behind in a process: a few times itself.
const MEMORY_KIB: u64 = 100 * 1_024;

/// A message that can never be handled, and the code of its dead letter.
struct Poison {
    id: &'static str,
    queue: WorkQueue,
    body: fn() -> String,
    code: &'static str,
}

const POISON: [Poison; 7] = [
    Poison { id: "no JSON", queue: WorkQueue::OrderCommands, body: || "{]".to_owned(), code: "UNDECODABLE" },
    Poison {
        id: "an unknown pattern",
        queue: WorkQueue::OrderCommands,
        body: || json!({ "pattern": "order.dance", "data": {} }).to_string(),
        code: "NO_HANDLER",
    },
    Poison {
        id: "wrong types",
        queue: WorkQueue::OrderCommands,
        body: || json!({ "pattern": "order.create", "data": [7] }).to_string(),
        code: "UNDECODABLE",
    },
    Poison {
        id: "an event of wrong types",
        queue: WorkQueue::InventoryOrderEvents,
        body: || json!({ "pattern": "order.created", "data": "no" }).to_string(),
        code: "UNDECODABLE",
    },
    Poison {
        id: "no event",
        queue: WorkQueue::InventoryOrderEvents,
        body: || json!({ "pattern": "order.create", "data": {} }).to_string(),
        code: "UNDECODABLE",
    },
    Poison {
        id: "a command of 20 MB",
        queue: WorkQueue::OrderCommands,
        body: || json!({ "pattern": "order.create", "data": "x".repeat(20_000_000) }).to_string(),
        code: "BAD_REQUEST",
    },
    Poison {
        id: "an event of 20 MB",
        queue: WorkQueue::InventoryOrderEvents,
        body: || "x".repeat(20_000_000),
        code: "BAD_REQUEST",
    },
];

#[tokio::test(flavor = "multi_thread")]
async fn poison_becomes_a_dead_letter_and_delays_no_other_message() {
    let cluster = Cluster::distributed("poison", Shape::default()).await.unwrap();
    let load = Load::start(&cluster, 4, WorkloadConfig::default()).await.unwrap();
    let progress = load.progress();
    progress.reaches(20, LIVENESS).await.unwrap();
    let bus = cluster.bus().await.unwrap();
    let orders = &cluster.copies_of("order-service")[0];
    let before = orders.resident_kib().await.unwrap();

    let (letters, slowest) = measured(&cluster, &load, async {
        for poison in &POISON {
            inject(&bus, poison).await;
            // Orders of other clients are placed between two kinds.
            progress.next(LIVENESS).await.unwrap();
        }
        eventually("all poison is set aside", async || {
            let letters = dead_letters::list(&bus, &Selection::All).await?;
            anyhow::ensure!(letters.len() == POISON.len(), "{} are set aside", letters.len());
            anyhow::Ok(letters)
        })
        .await
    })
    .await;
    let grown = orders.resident_kib().await.unwrap().saturating_sub(before);
    for poison in &POISON {
        let letter = letters.iter().find(|letter| letter.id == poison.id).unwrap();
        let queue = bus.topology().work(poison.queue);
        assert_eq!((letter.code.as_str(), letter.attempts), (poison.code, 1), "{}", poison.id);
        assert_eq!(letter.queue, queue, "{}", poison.id);
        assert_eq!(letter.headers[header::ORIGIN_QUEUE], queue.into(), "{}", poison.id);
        assert_eq!(letter.trace_id.as_deref(), Some(TRACE), "{}", poison.id);
        assert!(letter.failed_at.is_some() && !letter.message.is_empty(), "{}", poison.id);
        assert_eq!(letter.body.len(), (poison.body)().len(), "{} is there whole", poison.id);
    }
    println!(
        "{} kinds of poison; {slowest}; order-service's memory grew by {grown} KiB; {}",
        POISON.len(),
        load.log().summary()
    );
    slowest.assert_within_bound();
    assert!(grown < MEMORY_KIB, "order-service's memory grew by {grown} KiB");
    let poison = POISON.iter().map(|poison| poison.id.to_owned()).collect();
    assert_promises_kept_with(&cluster, load, poison).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replayed_dead_letter_takes_effect_once() {
    let cluster = Cluster::distributed("replay", Shape::default()).await.unwrap();
    let load = Load::start(&cluster, 2, WorkloadConfig::default()).await.unwrap();
    load.progress().reaches(10, Duration::from_secs(60)).await.unwrap();
    let bus = cluster.bus().await.unwrap();

    // Events that inventory-service has applied already, as dead letters.
    let sql = "SELECT payload FROM order_events WHERE version = 1 AND position <= 5 ORDER BY position";
    let payloads = cluster.tables.texts(crate::cluster::Whose::Orders, sql).await.unwrap();
    for (payload, position) in payloads.iter().zip(1..) {
        let order: serde_json::Value = serde_json::from_str(payload).unwrap();
        let event = json!({
            "position": position, "kind": "CREATED", "orderId": order["id"], "customerId": order["customerId"],
            "version": 1, "occurredAt": order["createdAt"], "order": order,
        });
        let body = json!({ "pattern": "order.created", "data": event }).to_string();
        let message = Message {
            body: body.into(),
            message_id: Some(Uuid::new_v4().to_string()),
            kind: Some("order.created".to_owned()),
            persistent: true,
            ..Message::default()
        };
        let dead = Target::DeadLetter(bus.topology().dead(WorkQueue::InventoryOrderEvents));
        for published in bus.publish(vec![(dead, message)], Duration::from_secs(5)).await {
            published.unwrap();
        }
    }
    dead_letters::replay(&bus, &Selection::All).await.unwrap();
    println!("{} events replayed; {}", payloads.len(), load.log().summary());
    assert_promises_kept_with(&cluster, load, Vec::new()).await;
}

async fn inject(bus: &SharedTransport, poison: &Poison) {
    let mut message = Message {
        body: (poison.body)().into(),
        message_id: Some(poison.id.to_owned()),
        persistent: true,
        ..Message::default()
    };
    let traceparent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    message.set_header(header::TRACEPARENT, traceparent.into());
    let target = Target::Queue(bus.topology().work(poison.queue));
    let published = bus.publish(vec![(target, message)], LIVENESS).await;
    assert_eq!(published, [Ok(())], "{}", poison.id);
}
