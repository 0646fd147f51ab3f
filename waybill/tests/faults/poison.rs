//! Messages that can't be handled are set aside, with what is needed to mend them, and hold nobody up.

use std::time::Duration;

use bus::dead_letters::{self, Selection};
use bus::message::{Message, header};
use bus::topology::WorkQueue;
use bus::transport::{SharedTransport, Target};
use serde_json::json;
use testkit::{eventually, unique};
use uuid::Uuid;

use crate::checker::assert_promises_kept_with;
use crate::load::{Habits, Load};
use crate::plant::{Plant, Shape};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[tokio::test(flavor = "multi_thread")]
async fn poison_ends_in_the_dead_letter_queue_and_holds_nobody_up() {
    let plant = Plant::distributed("poison", Shape::default()).await.unwrap();
    let load = Load::start(&plant, 4, Habits::default()).await.unwrap();
    let pulse = load.pulse();
    pulse.reaches(20, Duration::from_secs(60)).await.unwrap();
    let bus = plant.bus().await.unwrap();

    let bodies = [
        ("no JSON", WorkQueue::OrderCommands, "{]".to_owned()),
        (
            "unknown pattern",
            WorkQueue::OrderCommands,
            json!({ "pattern": "order.dance", "data": {} }).to_string(),
        ),
        (
            "wrong types",
            WorkQueue::OrderCommands,
            json!({ "pattern": "order.create", "data": [7] }).to_string(),
        ),
        (
            "wrong event",
            WorkQueue::InventoryOrderEvents,
            json!({ "pattern": "order.created", "data": "no" }).to_string(),
        ),
        ("long", WorkQueue::OrderCommands, format!("\"{}\"", "x".repeat(3_000_000))),
    ];
    let mut poison = Vec::new();
    for (kind, queue, body) in bodies {
        let id = unique(&kind.replace(' ', "-"));
        inject(&bus, queue, &id, body).await;
        poison.push(id);
        let next = pulse.next(Duration::from_secs(30)).await.unwrap();
        println!("{kind}: next order {next:?} later");
    }

    let letters = eventually("all poison is set aside", async || {
        let letters = dead_letters::list(&bus, &Selection::All).await?;
        anyhow::ensure!(letters.len() == poison.len(), "{} are set aside", letters.len());
        anyhow::Ok(letters)
    })
    .await;
    for letter in &letters {
        assert!(poison.contains(&letter.id), "{letter:?}");
        assert!(!letter.code.is_empty() && letter.code != "UNDELIVERABLE", "{letter:?}");
        assert_eq!(letter.trace_id.as_deref(), Some(TRACE), "{}", letter.id);
        assert!(letter.failed_at.is_some(), "{}", letter.id);
    }
    println!("{}", load.log().summary());
    assert_promises_kept_with(&plant, load, poison).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replayed_dead_letter_takes_effect_once() {
    let plant = Plant::distributed("replay", Shape::default()).await.unwrap();
    let load = Load::start(&plant, 2, Habits::default()).await.unwrap();
    load.pulse().reaches(10, Duration::from_secs(60)).await.unwrap();
    let bus = plant.bus().await.unwrap();

    // Events that inventory has had already, set aside as an operator may find them.
    let sql = "SELECT payload FROM order_events WHERE version = 1 AND position <= 5 ORDER BY position";
    let payloads = plant.tables.texts(crate::plant::Whose::Orders, sql).await.unwrap();
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
    assert_promises_kept_with(&plant, load, Vec::new()).await;
}

async fn inject(bus: &SharedTransport, queue: WorkQueue, id: &str, body: String) {
    let mut message = Message {
        body: body.into(),
        message_id: Some(id.to_owned()),
        persistent: true,
        ..Message::default()
    };
    let traceparent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    message.set_header(header::TRACEPARENT, traceparent.into());
    let target = Target::Queue(bus.topology().work(queue));
    eventually("the poison is published", async || {
        let published = bus.publish(vec![(target.clone(), message.clone())], Duration::from_secs(5)).await;
        published.into_iter().next().unwrap()
    })
    .await;
}
