//! Connections, consumers and requests in memory.

use bus::message::Message;
use bus::transport::{ExclusiveQueue, LinkState, PublishError, Target, TransportError};
use embedded_broker::Storage;
use schema::pattern::Service;

use crate::kit::{DELAY, WAIT_LIMIT, message, name, next, open, ready_in, send, topology, work};

fn event_queue(max_length: u32) -> ExclusiveQueue {
    ExclusiveQueue { purpose: "events", event_bindings: vec!["order.#".to_owned()], max_length }
}

#[tokio::test]
async fn a_request_reaches_its_service_and_the_reply_its_client() {
    let broker = open(Storage::Memory).await;
    let (gateway, service) = (broker.transport("gateway.1"), broker.transport("order-service.1"));
    let requests = topology().requests(Service::Order);
    let replies = ExclusiveQueue { purpose: "replies", event_bindings: vec![], max_length: 10 };
    let (reply_to, mut replies) = gateway.consume_exclusive(replies).await.unwrap();
    let mut served = service.consume(&requests, 1).await.unwrap();
    let request = Message { reply_to: Some(reply_to), ..message("how are you") };
    gateway.publish(vec![(Target::Queue(requests), request)], WAIT_LIMIT).await.remove(0).unwrap();

    let request = next(&mut served).await;
    let reply_to = request.message.reply_to.clone().unwrap();
    service.publish_unconfirmed(Target::Queue(reply_to), message("well")).await.unwrap();
    request.ack().await;
    assert_eq!(name(&next(&mut replies).await.message), "well");
}

#[tokio::test]
async fn every_subscriber_and_the_durable_queue_receive_every_event() {
    let broker = open(Storage::Memory).await;
    let (ada, bob) = (broker.transport("gateway.1"), broker.transport("gateway.2"));
    let (_, mut deliveries_of_ada) = ada.consume_exclusive(event_queue(100)).await.unwrap();
    let (_, mut deliveries_of_bob) = bob.consume_exclusive(event_queue(100)).await.unwrap();
    for event in ["a", "b", "c"] {
        let event = (Target::Events { routing_key: "order.07.created".to_owned() }, message(event));
        ada.publish(vec![event], WAIT_LIMIT).await.remove(0).unwrap();
    }
    for expected in ["a", "b", "c"] {
        assert_eq!(name(&next(&mut deliveries_of_ada).await.message), expected);
        assert_eq!(name(&next(&mut deliveries_of_bob).await.message), expected);
    }
    assert_eq!(ready_in(&ada, "t.inventory.order-events").await, ["a", "b", "c"]);
}

#[tokio::test]
async fn a_slow_subscriber_loses_the_oldest_events() {
    let broker = open(Storage::Memory).await;
    let gateway = broker.transport("gateway.1");
    let (queue, mut deliveries) = gateway.consume_exclusive(event_queue(5)).await.unwrap();
    for n in 0..100 {
        send(&gateway, &queue, &[&n.to_string()]).await;
    }
    let mut numbers: Vec<u32> = Vec::new();
    while numbers.last() != Some(&99) {
        numbers.push(name(&next(&mut deliveries).await.message).parse().unwrap());
    }
    assert!(numbers.is_sorted());
    assert!(numbers.len() < 100, "{numbers:?}");
    assert!(numbers.ends_with(&[95, 96, 97, 98, 99]), "{numbers:?}");
}

#[tokio::test]
async fn a_dropped_delivery_and_a_dropped_consumer_requeue_their_messages() {
    let broker = open(Storage::Memory).await;
    let service = broker.transport("order-service.1");
    send(&service, &work(), &["a", "b", "c"]).await;
    let mut deliveries = service.consume(&work(), 2).await.unwrap();
    drop(next(&mut deliveries).await);
    let again = loop {
        let delivery = next(&mut deliveries).await;
        if name(&delivery.message) == "a" {
            break delivery;
        }
        delivery.requeue().await;
    };
    assert!(again.delivery_count >= 1);
    again.requeue().await;
    drop(deliveries);
    let mut others = broker.transport("order-service.2").consume(&work(), 10).await.unwrap();
    drop(service);
    let mut names = Vec::new();
    for _ in 0..3 {
        let delivery = next(&mut others).await;
        names.push(name(&delivery.message));
        delivery.ack().await;
    }
    names.sort();
    assert_eq!(names, ["a", "b", "c"]);
}

#[tokio::test]
async fn a_message_in_a_retry_queue_is_redelivered_after_its_delay() {
    let broker = open(Storage::Memory).await;
    let service = broker.transport("order-service.1");
    let mut deliveries = service.consume(&work(), 1).await.unwrap();
    let retry = topology().retry(bus::topology::WorkQueue::OrderCommands, DELAY);
    let began = std::time::Instant::now();
    send(&service, &retry, &["again"]).await;
    let delivery = next(&mut deliveries).await;
    assert_eq!(name(&delivery.message), "again");
    assert!(began.elapsed() >= DELAY, "not before its delay");
    delivery.ack().await;
    assert_eq!(service.depth(&retry).await.unwrap().unwrap().ready, 0);
}

#[tokio::test]
async fn a_closed_connection_refuses_everything_and_its_consumers_end() {
    let broker = open(Storage::Memory).await;
    let (ada, bob) = (broker.transport("order-service.1"), broker.transport("order-service.2"));
    let mut shared = ada.consume(&work(), 5).await.unwrap();
    let (own, mut exclusive) = ada.consume_exclusive(event_queue(5)).await.unwrap();
    ada.close().await;
    assert!(shared.recv().await.is_none());
    assert!(exclusive.recv().await.is_none());
    assert!(matches!(*ada.link_state().borrow(), LinkState::Down(_)));
    let late = vec![(Target::Queue(work()), message("late"))];
    assert_eq!(ada.publish(late, WAIT_LIMIT).await, [Err(PublishError::Disconnected)]);
    assert_eq!(ada.consume(&work(), 1).await.err(), Some(TransportError::Disconnected));
    let orphan = vec![(Target::Queue(own), message("orphan"))];
    assert_eq!(bob.publish(orphan, WAIT_LIMIT).await, [Err(PublishError::Unroutable)]);
    assert!(matches!(*bob.link_state().borrow(), LinkState::Up { .. }));
}
