//! Declaring the topology over queues and exchanges that the broker has already.

use bus::clock::{Deadline, SystemClock};
use bus::events::{EventSignal, EventSubscription, event_message};
use bus::heartbeat::Heartbeat;
use bus::message::Message;
use bus::rpc_client::{BusRpcClient, RequestError, request};
use bus::topology::WorkQueue;
use bus::transport::{LinkState, PublishError, Target, Transport as _};
use lapin::options::{ExchangeDeleteOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use schema::order_events::OrderEvent;
use schema::pattern::{ORDER_GET, Service};
use std::sync::Arc;
use std::time::Duration;
use testkit::{WAIT_LIMIT, eventually};
use tokio_util::sync::CancellationToken;

use crate::kit::{Rabbit, next};

fn table(arguments: &[(&str, AMQPValue)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in arguments {
        table.insert((*name).into(), value.clone());
    }
    table
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

fn named(name: &str) -> Message {
    Message { body: "{}".into(), message_id: Some(name.to_owned()), persistent: true, ..Message::default() }
}

/// The broker refuses to declare a queue a second time with other arguments.
#[tokio::test]
async fn queues_have_the_arguments_of_the_contract() {
    let rabbit = Rabbit::shared().await;
    let _transport = rabbit.connected("order-service.1").await;
    let channel = rabbit.foreign_channel().await;
    let namespace = &rabbit.topology.namespace;
    let requests = [
        ("x-queue-type", text("classic")),
        ("x-max-length", AMQPValue::LongInt(10_000)),
        ("x-overflow", text("reject-publish")),
    ];
    let work = [
        ("x-queue-type", text("quorum")),
        ("x-delivery-limit", AMQPValue::LongInt(100_000)),
        ("x-max-length", AMQPValue::LongInt(1_000_000)),
        ("x-overflow", text("reject-publish")),
    ];
    let dead_lettered = |exchange: &str, key: String| {
        let more = [
            ("x-dead-letter-exchange", text(exchange)),
            ("x-dead-letter-routing-key", text(&key)),
            ("x-dead-letter-strategy", text("at-least-once")),
        ];
        [&work[..], &more].concat()
    };
    let exchange = format!("{namespace}.dead-letter");
    let retry = [
        &dead_lettered("", format!("{namespace}.order.commands"))[..],
        &[("x-message-ttl", AMQPValue::LongInt(100))],
    ];
    let expected = [
        ("customer.requests", requests.to_vec()),
        ("order.commands", dead_lettered(&exchange, format!("{namespace}.order.commands.dead"))),
        (
            "inventory.order-events",
            dead_lettered(&exchange, format!("{namespace}.inventory.order-events.dead")),
        ),
        ("order.commands.dead", work.to_vec()),
        ("order.commands.retry.100ms", retry.concat()),
    ];
    for (queue, arguments) in expected {
        let name = format!("{namespace}.{queue}");
        let declaring =
            channel.queue_declare(name.as_str().into(), QueueDeclareOptions::durable(), table(&arguments));
        declaring.await.unwrap_or_else(|error| panic!("{queue}: {error}"));
    }
}

#[tokio::test]
async fn a_queue_with_other_arguments_is_named_precisely_and_leaves_the_rest_working() {
    let rabbit = Rabbit::shared().await;
    let channel = rabbit.foreign_channel().await;
    let odd = rabbit.topology.requests(Service::Customer);
    let arguments = table(&[("x-max-length", AMQPValue::LongInt(5))]);
    channel.queue_declare(odd.as_str().into(), QueueDeclareOptions::durable(), arguments).await.unwrap();

    let transport = rabbit.connect("gateway.1");
    eventually("the link state names the refusal", async || {
        let link = transport.link_state().borrow().clone();
        let LinkState::Down(reason) = &link else { return Err(link) };
        let precise = [odd.as_str(), "PRECONDITION_FAILED", "x-max-length", "'5'", "'10000'"];
        if precise.iter().all(|part| reason.contains(part)) { Ok(()) } else { Err(link) }
    })
    .await;
    let work = Target::Queue(transport.topology().work(WorkQueue::OrderCommands));
    assert_eq!(transport.publish(vec![(work, named("m"))], WAIT_LIMIT).await, [Ok(())]);

    channel.queue_delete(odd.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
    transport.wait_until_up(WAIT_LIMIT).await.unwrap();
}

#[tokio::test]
async fn a_queue_that_was_replaced_while_it_had_no_consumer_is_refused_once_it_is_consumed() {
    let rabbit = Rabbit::shared().await;
    let transport = rabbit.connected("customer-service.1").await;
    let channel = rabbit.foreign_channel().await;
    let queue = transport.topology().requests(Service::Customer);
    channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
    let arguments = table(&[("x-max-length", AMQPValue::LongInt(5))]);
    channel.queue_declare(queue.as_str().into(), QueueDeclareOptions::durable(), arguments).await.unwrap();
    assert!(matches!(*transport.link_state().borrow(), LinkState::Up { .. }));

    let mut deliveries = transport.consume(&queue, 1).await.unwrap();
    let link = transport.link_state().borrow().clone();
    let LinkState::Down(reason) = &link else { panic!("{link:?}") };
    assert!(reason.contains(&queue) && reason.contains("PRECONDITION_FAILED"), "{reason}");

    channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
    let ended = tokio::time::timeout(WAIT_LIMIT, deliveries.recv()).await.expect("it ends");
    assert!(ended.is_none(), "{ended:?}");
    transport.wait_until_up(WAIT_LIMIT).await.unwrap();
}

#[tokio::test]
async fn a_deleted_queue_is_declared_again_before_the_next_message() {
    let rabbit = Rabbit::shared().await;
    let transport = rabbit.connected("gateway.1").await;
    let channel = rabbit.foreign_channel().await;
    let queue = transport.topology().work(WorkQueue::OrderCommands);
    let publish =
        async || transport.publish(vec![(Target::Queue(queue.clone()), named("m"))], WAIT_LIMIT).await;
    assert_eq!(publish().await, [Ok(())]);
    channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
    assert_eq!(publish().await, [Err(PublishError::Unroutable)]);
    assert_eq!(publish().await, [Ok(())]);
}

#[tokio::test]
async fn a_consumer_whose_queue_is_deleted_ends_and_the_queue_is_declared_again() {
    let rabbit = Rabbit::shared().await;
    let transport = rabbit.connected("inventory-service.1").await;
    let source = rabbit.connected("order-service.1").await;
    let channel = rabbit.foreign_channel().await;
    let queue = transport.topology().work(WorkQueue::InventoryOrderEvents);
    let mut deliveries = transport.consume(&queue, 5).await.unwrap();
    channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
    let ended = tokio::time::timeout(WAIT_LIMIT, deliveries.recv()).await.expect("it ends");
    assert!(ended.is_none(), "{ended:?}");

    // The publisher's events reach the declared queue.
    let event = Target::Events { routing_key: "order.07.created".to_owned() };
    assert_eq!(source.publish(vec![(event, named("m"))], WAIT_LIMIT).await, [Ok(())]);
    let mut deliveries = transport.consume(&queue, 5).await.unwrap();
    assert_eq!(next(&mut deliveries).await.message.message_id.as_deref(), Some("m"));
}

#[tokio::test]
async fn a_consumer_whose_queue_is_deleted_and_declared_again_at_once_ends() {
    let rabbit = Rabbit::shared().await;
    let transport = rabbit.connected("order-service.1").await;
    let other = rabbit.connected("gateway.1").await;
    let channel = rabbit.foreign_channel().await;
    let queue = transport.topology().work(WorkQueue::OrderCommands);
    let mut deliveries = transport.consume(&queue, 5).await.unwrap();
    channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
    other.declare().await.unwrap();
    let command = (Target::Queue(queue.clone()), named("m"));
    assert_eq!(other.publish(vec![command], WAIT_LIMIT).await, [Ok(())]);

    let ended = tokio::time::timeout(WAIT_LIMIT, deliveries.recv()).await.expect("it ends");
    assert!(ended.is_none(), "{ended:?}");
    let mut deliveries = transport.consume(&queue, 5).await.unwrap();
    assert_eq!(next(&mut deliveries).await.message.message_id.as_deref(), Some("m"));
}

#[tokio::test]
async fn a_deleted_exchange_makes_the_outcome_of_one_message_unknown_and_no_more() {
    let rabbit = Rabbit::shared().await;
    let transport = rabbit.connected("order-service.1").await;
    let channel = rabbit.foreign_channel().await;
    let exchange = transport.topology().events_exchange();
    let queue = transport.topology().work(WorkQueue::InventoryOrderEvents);
    let publish = async |name: &str| {
        let target = Target::Events { routing_key: "order.07.created".to_owned() };
        transport.publish(vec![(target, named(name))], WAIT_LIMIT).await.remove(0)
    };
    assert_eq!(publish("before").await, Ok(()));
    channel.exchange_delete(exchange.as_str().into(), ExchangeDeleteOptions::default()).await.unwrap();
    let unknown = publish("unknown").await;
    assert!(
        matches!(&unknown, Err(PublishError::Unknown(reason)) if reason.contains("NOT_FOUND")),
        "{unknown:?}"
    );
    assert_eq!(publish("after").await, Ok(()));
    let mut deliveries = transport.consume(&queue, 5).await.unwrap();
    for expected in ["before", "after"] {
        let delivery = next(&mut deliveries).await;
        assert_eq!(delivery.message.message_id.as_deref(), Some(expected));
    }
}

/// RabbitMQ does not report to the consumers of bound queues that the exchange was deleted.
#[tokio::test]
async fn events_come_back_soon_after_their_exchange_was_deleted_or_replaced() {
    // Generous; a quarter of what it takes to be noticed by what is noticed anyway.
    const SOON: Duration = Duration::from_secs(2);
    let rabbit = Rabbit::shared().await;
    let subscriber = rabbit.connected("gateway.1").await;
    let publisher = rabbit.connected("order-service.1").await;
    let channel = rabbit.foreign_channel().await;
    let exchange = publisher.topology().events_exchange();
    let mut events = EventSubscription::new(Arc::new(subscriber));
    assert_eq!(events.next().await, EventSignal::Listening);
    let sample = include_str!("../../../schema/messages/order.created.json");
    let event: OrderEvent = serde_json::from_str(sample).unwrap();
    for is_replaced in [false, true] {
        channel.exchange_delete(exchange.as_str().into(), ExchangeDeleteOptions::default()).await.unwrap();
        if is_replaced {
            publisher.declare().await.unwrap();
        }
        let received = async {
            loop {
                match tokio::time::timeout(Duration::from_millis(100), events.next()).await {
                    Ok(EventSignal::Event(_)) => return,
                    Ok(_) => {}
                    Err(_) => {
                        let message = event_message(uuid::Uuid::now_v7(), &event, None);
                        drop(publisher.publish(vec![message], WAIT_LIMIT).await);
                    }
                }
            }
        };
        tokio::time::timeout(SOON, received).await.expect("events come back");
    }
}

#[tokio::test]
async fn a_request_to_a_deleted_queue_fails_at_once() {
    let rabbit = Rabbit::shared().await;
    let channel = rabbit.foreign_channel().await;
    let transport = rabbit.connected("gateway.1").await;
    let queue = transport.topology().requests(Service::Order);
    let stop = CancellationToken::new();
    let rpc_client =
        BusRpcClient::start(Arc::new(transport), Arc::new(SystemClock), stop.clone(), Heartbeat::new());
    let _stop = stop.drop_guard();
    channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
    let result = request::<_, ()>(&*rpc_client, ORDER_GET, &(), Deadline::after(WAIT_LIMIT)).await;
    let Err(error @ RequestError::Unavailable { .. }) = result else { panic!("{result:?}") };
    assert!(error.nothing_was_done());
}
