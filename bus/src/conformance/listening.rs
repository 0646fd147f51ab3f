//! Events as they happen, and queues of one's own.

use schema::order_events::routing_key;
use uuid::Uuid;

use super::Broker;
use super::words::{AGES, in_time, name, named, names, next, order_event};
use crate::event_subscription::{EventSignal, EventSubscription};
use crate::events::event_message;
use crate::transport::{ExclusiveQueue, PublishError, SharedTransport, Target};

fn listening_to(keys: &[&str]) -> ExclusiveQueue {
    let event_bindings = keys.iter().map(|&key| key.to_owned()).collect();
    ExclusiveQueue { purpose: "events", event_bindings, max_length: 100 }
}

async fn tell(transport: &SharedTransport, routing_key: &str, what: &str) {
    let target = Target::Events { routing_key: routing_key.to_owned() };
    let published = transport.publish(vec![(target, named(what))], AGES).await;
    assert_eq!(published, [Ok(())]);
}

/// From the moment on at which the subscription was answered.
pub async fn every_subscriber_hears_every_event(broker: &dyn Broker) {
    let first = broker.transport("gateway.1").await;
    let second = broker.transport("gateway.2").await;
    let (of_first, mut heard_by_first) = first.consume_exclusive(listening_to(&["order.#"])).await.unwrap();
    let (of_second, mut heard_by_second) =
        second.consume_exclusive(listening_to(&["order.#"])).await.unwrap();
    assert_ne!(of_first, of_second);
    let source = broker.transport("order-service.1").await;
    for event in ["one", "two", "three"] {
        tell(&source, "order.07.created", event).await;
    }
    for event in ["one", "two", "three"] {
        assert_eq!(name(&next(&mut heard_by_first).await.message), event);
        assert_eq!(name(&next(&mut heard_by_second).await.message), event);
    }
}

/// By topic, with `*` for one word and `#` for any number of them.
pub async fn subscribers_hear_what_they_are_bound_to(broker: &dyn Broker) {
    let transport = broker.transport("gateway.1").await;
    let queue = listening_to(&["order.07.*", "#.deleted"]);
    let (_, mut heard) = transport.consume_exclusive(queue).await.unwrap();
    for key in
        ["order.08.created", "order.07.created", "order.07.created.twice", "order.08.deleted", "deleted"]
    {
        tell(&transport, key, key).await;
    }
    for key in ["order.07.created", "order.08.deleted", "deleted"] {
        assert_eq!(name(&next(&mut heard).await.message), key);
    }
}

/// Neither the broker nor the process fills up; replay brings what was missed.
pub async fn a_slow_listener_misses_events_and_still_hears_the_newest_ones(broker: &dyn Broker) {
    const EVENTS: usize = 4_000;
    let transport = broker.transport("gateway.1").await;
    let (_, mut heard) = transport.consume_exclusive(listening_to(&["order.#"])).await.unwrap();
    let target = Target::Events { routing_key: "order.07.created".to_owned() };
    let events = names(EVENTS);
    let messages: Vec<_> = events.iter().map(|event| (target.clone(), named(event))).collect();
    for messages in messages.chunks(500) {
        let published = transport.publish(messages.to_vec(), AGES).await;
        assert!(published.iter().all(Result::is_ok), "whoever listens slowly holds nobody up");
    }
    let mut last = String::new();
    let mut count = 0;
    while last != events[EVENTS - 1] {
        let event = name(&next(&mut heard).await.message);
        assert!(event > last, "{event} came after {last}");
        last = event;
        count += 1;
    }
    assert!(count < EVENTS, "all {EVENTS} events were kept");
}

/// Who sends to it is told at once that nobody is there.
pub async fn a_queue_of_ones_own_is_gone_with_its_connection(broker: &dyn Broker) {
    let rpc_client = broker.transport("gateway.1").await;
    let queue = ExclusiveQueue { purpose: "replies", event_bindings: Vec::new(), max_length: 10 };
    let (name, mut replies) = rpc_client.consume_exclusive(queue).await.unwrap();
    let rpc_server = broker.transport("order-service.1").await;
    let reply = |what| vec![(Target::Queue(name.clone()), named(what))];
    assert_eq!(rpc_server.publish(reply("in time"), AGES).await, [Ok(())]);
    next(&mut replies).await.ack().await;
    rpc_client.close().await;
    assert!(in_time("the end", replies.recv()).await.is_none());
    assert_eq!(rpc_server.publish(reply("too late"), AGES).await, [Err(PublishError::Unroutable)]);
    // Without confirmation nobody is told, and nothing breaks.
    rpc_server.publish_unconfirmed(Target::Queue(name.clone()), named("too late")).await.unwrap();
}

/// What happened before is for replay; what happens after is heard, in order, even before it is asked for.
pub async fn live_events_say_from_when_on_they_listen(broker: &dyn Broker) {
    let gateway = broker.transport("gateway.1").await;
    let source = broker.transport("order-service.1").await;
    let mut live = EventSubscription::new(gateway);
    assert_eq!(in_time("listening", live.next()).await, EventSignal::Listening);
    for position in 1..=3 {
        let event = order_event(position);
        let (target, message) = event_message(Uuid::now_v7(), &event, None);
        assert_eq!(target, Target::Events { routing_key: routing_key(&event.customer_id, event.kind) });
        assert_eq!(source.publish(vec![(target, message)], AGES).await, [Ok(())]);
    }
    for position in 1..=3 {
        let expected = EventSignal::Event(Box::new(order_event(position)));
        assert_eq!(in_time("an event", live.next()).await, expected);
    }
}
