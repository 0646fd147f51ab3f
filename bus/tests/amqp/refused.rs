//! Operations that the broker refuses, and later accepts.

use bus::message::Message;
use bus::topology::WorkQueue;
use bus::transport::{Deliveries, ExclusiveQueue, LinkState, Target, Transport as _, TransportError};
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, ExchangeDeleteOptions};
use lapin::types::FieldTable;
use schema::pattern::Service;
use testkit::{WAIT_LIMIT, eventually};

use crate::kit::{Rabbit, next};

/// More than the channels of one connection.
const MANY: usize = 2_100;

fn event_queue() -> ExclusiveQueue {
    ExclusiveQueue { purpose: "events", event_bindings: vec!["order.#".to_owned()], max_length: 100 }
}

fn is_refused(consumed: &Result<Deliveries, TransportError>) -> bool {
    matches!(consumed, Err(TransportError::Refused(_)))
}

#[tokio::test]
async fn a_transport_works_after_any_number_of_refusals() {
    let rabbit = Rabbit::shared().await;
    let transport = rabbit.connected("order-service.1").await;
    let mut refused = 0;
    while refused < MANY && is_refused(&transport.consume("not.declared", 1).await) {
        refused += 1;
    }
    // Channel numbers are used for the second time by now.
    assert!(refused > 2_000, "{refused}");
    let queue = transport.topology().work(WorkQueue::OrderCommands);
    let mut deliveries = eventually("it consumes again", async || transport.consume(&queue, 5).await).await;
    let command = Message { body: "{}".into(), persistent: true, ..Message::default() };
    eventually("it publishes again", async || {
        transport.publish(vec![(Target::Queue(queue.clone()), command.clone())], WAIT_LIMIT).await.remove(0)
    })
    .await;
    next(&mut deliveries).await.ack().await;
}

#[tokio::test]
async fn the_link_is_down_while_another_consumer_has_the_queue_exclusively() {
    let rabbit = Rabbit::shared().await;
    let transport = rabbit.connected("customer-service.1").await;
    let channel = rabbit.foreign_channel().await;
    let queue = transport.topology().requests(Service::Customer);
    let options = BasicConsumeOptions { exclusive: true, ..BasicConsumeOptions::default() };
    let foreign = channel
        .basic_consume(queue.as_str().into(), "".into(), options, FieldTable::default())
        .await
        .unwrap();
    let consumed = transport.consume(&queue, 1).await;
    assert!(is_refused(&consumed), "{consumed:?}");
    let link = transport.link_state().borrow().clone();
    let LinkState::Down(reason) = &link else { panic!("{link:?}") };
    assert!(reason.contains(&queue) && reason.contains("exclusive"), "{reason}");

    channel.basic_cancel(foreign.tag(), BasicCancelOptions::default()).await.unwrap();
    let _deliveries = transport.consume(&queue, 1).await.unwrap();
    let link = transport.link_state().borrow().clone();
    assert!(matches!(link, LinkState::Up { .. }), "{link:?}");
}

#[tokio::test]
async fn a_subscriber_receives_events_again_after_the_exchange_was_deleted() {
    let rabbit = Rabbit::shared().await;
    let source = rabbit.connected("order-service.1").await;
    let subscriber = rabbit.connected("gateway.1").await;
    let (_, mut deliveries) = subscriber.consume_exclusive(event_queue()).await.unwrap();
    let channel = rabbit.foreign_channel().await;
    let exchange = source.topology().events_exchange();
    channel.exchange_delete(exchange.as_str().into(), ExchangeDeleteOptions::default()).await.unwrap();
    source.declare().await.unwrap();
    eventually("an event is received", async || {
        let event = Target::Events { routing_key: "order.07.created".to_owned() };
        source.publish(vec![(event, Message::default())], WAIT_LIMIT).await.remove(0).unwrap();
        deliveries.try_recv()
    })
    .await;
}

#[tokio::test]
async fn subscribing_without_an_exchange_leaves_no_queues_behind() {
    let rabbit = Rabbit::of_its_own().await;
    let subscriber = rabbit.connected("gateway.1").await;
    let channel = rabbit.foreign_channel().await;
    let exchange = subscriber.topology().events_exchange();
    channel.exchange_delete(exchange.as_str().into(), ExchangeDeleteOptions::default()).await.unwrap();
    // The broker's refusal makes the transport declare the exchange.
    let (name, mut deliveries) = subscriber.consume_exclusive(event_queue()).await.unwrap();
    let event = Target::Events { routing_key: "order.07.created".to_owned() };
    assert_eq!(subscriber.publish(vec![(event, Message::default())], WAIT_LIMIT).await, [Ok(())]);
    next(&mut deliveries).await;
    let queues = rabbit.server().ctl(&["list_queues", "--silent", "name"]).await.unwrap();
    let ours: Vec<_> = queues.lines().filter(|queue| queue.ends_with(".events")).collect();
    assert_eq!(ours, [name]);
}
