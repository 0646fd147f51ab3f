//! Exclusive queues: of events, and of replies.

use schema::order_events::routing_key;
use uuid::Uuid;

use super::Broker;
use super::kit::{WAIT_LIMIT, in_time, name, named, names, next, order_event};
use crate::events::{EventSignal, EventSubscription, event_message};
use crate::transport::{ExclusiveQueue, PublishError, SharedTransport, Target};

fn event_queue(keys: &[&str]) -> ExclusiveQueue {
    let event_bindings = keys.iter().map(|&key| key.to_owned()).collect();
    ExclusiveQueue { purpose: "events", event_bindings, max_length: 100 }
}

async fn publish_event(transport: &SharedTransport, routing_key: &str, what: &str) {
    let target = Target::Events { routing_key: routing_key.to_owned() };
    assert_eq!(transport.publish_one(target, named(what), WAIT_LIMIT).await, Ok(()));
}

/// From the moment on at which it has its queue.
pub async fn every_subscriber_receives_every_event(broker: &dyn Broker) {
    let first = broker.transport("gateway.1").await;
    let second = broker.transport("gateway.2").await;
    let (queue_of_first, mut of_first) = first.consume_exclusive(event_queue(&["order.#"])).await.unwrap();
    let (queue_of_second, mut of_second) = second.consume_exclusive(event_queue(&["order.#"])).await.unwrap();
    assert_ne!(queue_of_first, queue_of_second);
    let source = broker.transport("order-service.1").await;
    for event in ["one", "two", "three"] {
        publish_event(&source, "order.07.created", event).await;
    }
    for event in ["one", "two", "three"] {
        assert_eq!(name(&next(&mut of_first).await.message), event);
        assert_eq!(name(&next(&mut of_second).await.message), event);
    }
}

/// By topic, with `*` for one word and `#` for any number of them.
pub async fn subscribers_receive_the_events_that_they_are_bound_to(broker: &dyn Broker) {
    let transport = broker.transport("gateway.1").await;
    let queue = event_queue(&["order.07.*", "#.deleted"]);
    let (_, mut deliveries) = transport.consume_exclusive(queue).await.unwrap();
    for key in
        ["order.08.created", "order.07.created", "order.07.created.twice", "order.08.deleted", "deleted"]
    {
        publish_event(&transport, key, key).await;
    }
    for key in ["order.07.created", "order.08.deleted", "deleted"] {
        assert_eq!(name(&next(&mut deliveries).await.message), key);
    }
}

/// Neither the broker nor the process runs out of memory; replay makes up for missed events.
pub async fn a_slow_subscriber_misses_events_and_still_receives_the_newest(broker: &dyn Broker) {
    const EVENTS: usize = 4_000;
    let transport = broker.transport("gateway.1").await;
    let (_, mut deliveries) = transport.consume_exclusive(event_queue(&["order.#"])).await.unwrap();
    let target = Target::Events { routing_key: "order.07.created".to_owned() };
    let events = names(EVENTS);
    let messages: Vec<_> = events.iter().map(|event| (target.clone(), named(event))).collect();
    for messages in messages.chunks(500) {
        let published = transport.publish(messages.to_vec(), WAIT_LIMIT).await;
        assert!(published.iter().all(Result::is_ok), "a slow subscriber does not delay publishing");
    }
    let mut last = String::new();
    let mut count = 0;
    while last != events[EVENTS - 1] {
        let event = name(&next(&mut deliveries).await.message);
        assert!(event > last, "{event} came after {last}");
        last = event;
        count += 1;
    }
    assert!(count < EVENTS, "all {EVENTS} events were kept");
}

/// Messages to it are unroutable from then on.
pub async fn an_exclusive_queue_is_deleted_with_its_connection(broker: &dyn Broker) {
    let client = broker.transport("gateway.1").await;
    let queue = ExclusiveQueue { purpose: "replies", event_bindings: Vec::new(), max_length: 10 };
    let (name, mut replies) = client.consume_exclusive(queue).await.unwrap();
    let server = broker.transport("order-service.1").await;
    let reply = |what| vec![(Target::Queue(name.clone()), named(what))];
    assert_eq!(server.publish(reply("in time"), WAIT_LIMIT).await, [Ok(())]);
    next(&mut replies).await.ack().await;
    client.close().await;
    assert!(in_time("the end", replies.recv()).await.is_none());
    assert_eq!(server.publish(reply("too late"), WAIT_LIMIT).await, [Err(PublishError::Unroutable)]);
    // Without a confirmation the loss is not reported, and the connection stays open.
    server.publish_unconfirmed(Target::Queue(name.clone()), named("too late")).await.unwrap();
}

/// Earlier events are replayed; later ones are received in order, even those published before the next call.
pub async fn an_event_subscription_signals_when_it_listens(broker: &dyn Broker) {
    let gateway = broker.transport("gateway.1").await;
    let source = broker.transport("order-service.1").await;
    let mut subscription = EventSubscription::new(gateway);
    assert_eq!(in_time("listening", subscription.next()).await, EventSignal::Listening);
    for position in 1..=3 {
        let event = order_event(position);
        let (target, message) = event_message(Uuid::now_v7(), &event, None);
        assert_eq!(target, Target::Events { routing_key: routing_key(&event.customer_id, event.kind) });
        assert_eq!(source.publish(vec![(target, message)], WAIT_LIMIT).await, [Ok(())]);
    }
    for position in 1..=3 {
        let expected = EventSignal::Event(Box::new(order_event(position)));
        assert_eq!(in_time("an event", subscription.next()).await, expected);
    }
}
