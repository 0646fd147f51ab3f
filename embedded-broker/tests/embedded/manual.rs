//! The broker driven step by step.

use std::sync::Arc;

use bus::clock::{Clock as _, ManualClock};
use bus::topology::WorkQueue;
use bus::transport::{ExclusiveQueue, LinkState, Target};
use embedded_broker::ManualBroker;
use schema::time::Timestamp;

use crate::kit::{DELAY, WAIT_LIMIT, message, name, send, topology, work};

fn broker() -> (ManualBroker, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(Timestamp::from_unix_ms(1_000_000).unwrap()));
    (ManualBroker::new(topology(), clock.clone()), clock)
}

fn waiting(broker: &ManualBroker) -> Vec<(String, usize)> {
    broker.queues().into_iter().filter(|(_, ready)| *ready > 0).collect()
}

#[tokio::test]
async fn messages_are_delivered_only_on_command_and_in_any_order() {
    let (broker, _) = broker();
    let transport = broker.transport("order-service.1");
    let mut deliveries = transport.consume(&work(), 2).await.unwrap();
    send(&transport, &work(), &["a", "b", "c", "d"]).await;
    assert!(deliveries.try_recv().is_err());
    assert_eq!(waiting(&broker), [(work(), 4)]);

    let taken = broker.take_at(&work(), 2).unwrap();
    assert_eq!(name(&taken.message), "c");
    assert!(broker.deliver(&work(), 1) && broker.deliver(&work(), 0));
    assert!(!broker.deliver(&work(), 0), "the prefetch applies");
    for expected in ["b", "a"] {
        let delivery = deliveries.try_recv().unwrap();
        assert_eq!(name(&delivery.message), expected);
        delivery.ack().await;
    }
    drop(taken);
    let again = broker.take(&work()).unwrap();
    assert_eq!((name(&again.message).as_str(), again.delivery_count), ("c", 1));
}

#[tokio::test]
async fn exclusive_queues_are_delivered_on_command_and_have_the_same_names_each_time() {
    let (broker, _) = broker();
    let gateway = broker.transport("gateway.1");
    let events = ExclusiveQueue { purpose: "events", event_bindings: vec!["#".to_owned()], max_length: 10 };
    let (queue, mut deliveries) = gateway.consume_exclusive(events).await.unwrap();
    assert_eq!(queue, "t.gateway.1.run-1.events");
    let event = Target::Events { routing_key: "order.07.created".to_owned() };
    gateway.publish(vec![(event, message("event"))], WAIT_LIMIT).await.remove(0).unwrap();
    assert!(deliveries.try_recv().is_err());
    assert!(broker.deliver(&queue, 0));
    assert_eq!(name(&deliveries.try_recv().unwrap().message), "event");
    assert!(!broker.deliver(&queue, 0));
}

#[tokio::test]
async fn messages_expire_only_in_a_tick() {
    let (broker, clock) = broker();
    let retry = topology().retry(WorkQueue::OrderCommands, DELAY);
    send(&broker.transport("order-service.1"), &retry, &["again"]).await;
    assert_eq!(broker.tick(clock.now()), 0);
    clock.advance(DELAY * 2);
    assert_eq!(waiting(&broker), [(retry, 1)]);
    assert_eq!(broker.tick(clock.now()), 1);
    assert_eq!(waiting(&broker), [(work(), 1)]);
}

#[tokio::test]
async fn a_crash_ends_every_connection_and_leaves_durable_messages() {
    let (broker, _) = broker();
    let transport = broker.transport("order-service.1");
    let mut deliveries = transport.consume(&work(), 2).await.unwrap();
    send(&transport, &work(), &["a", "b"]).await;
    broker.deliver(&work(), 0);
    let held = deliveries.try_recv().unwrap();
    broker.crash();
    assert!(deliveries.recv().await.is_none());
    assert!(matches!(*transport.link_state().borrow(), LinkState::Down(_)));
    held.ack().await;
    let again = broker.take(&work()).unwrap();
    assert_eq!(
        (name(&again.message).as_str(), again.delivery_count),
        ("a", 1),
        "a late acknowledgement has no effect"
    );
}
