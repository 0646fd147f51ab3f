//! Results of publishing.

use schema::pattern::Service;
use std::time::Duration;

use super::Broker;
use super::kit::{
    WAIT_LIMIT, ack_next, connect, consume, named, names, next, publish, ready_in, try_publish, until_ready,
    work_queue,
};
use crate::message::Message;
use crate::topology::REQUESTS_MAX_LENGTH;
use crate::transport::{PublishError, Target};

/// With every property.
pub async fn a_confirmed_message_arrives_as_it_was_sent(broker: &dyn Broker) {
    let (transport, queue) = connect(broker, "order-service.1").await;
    let mut message = Message {
        correlation_id: Some("a correlation id".to_owned()),
        reply_to: Some("a reply queue".to_owned()),
        timestamp: Some("2026-11-23T19:10:51.000Z".parse().unwrap()),
        expiration: Some(Duration::from_secs(3_600)),
        ..named("a message id")
    };
    message.set_header("x-attempt", 2.into());
    message.set_header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into());
    publish(&transport, &queue, vec![message.clone()]).await;
    let delivery = next(&mut consume(&transport, &queue, 1).await).await;
    assert_eq!(delivery.message, message);
    assert_eq!(delivery.delivery_count, 0);
}

/// Within one call, and across successive calls.
pub async fn messages_arrive_in_the_order_they_were_published(broker: &dyn Broker) {
    let (transport, queue) = connect(broker, "order-service.1").await;
    let names = names(600);
    for chunk in names.chunks(200) {
        publish(&transport, &queue, chunk.iter().map(named).collect()).await;
    }
    let mut deliveries = consume(&transport, &queue, 100).await;
    assert_eq!(ack_next(&mut deliveries, 600).await, names);
}

/// Messages to a queue, and dead letters, are mandatory.
pub async fn a_message_that_no_queue_takes_is_unroutable(broker: &dyn Broker) {
    let transport = broker.transport("order-service.1").await;
    for target in [Target::Queue("not.declared".to_owned()), Target::DeadLetter("not.declared".to_owned())] {
        let published = transport.publish_one(target, named("m"), WAIT_LIMIT).await;
        assert_eq!(published, Err(PublishError::Unroutable));
    }
}

/// Each message has its own result, however many are in flight.
pub async fn among_pipelined_messages_only_those_that_no_queue_takes_are_unroutable(broker: &dyn Broker) {
    let transport = broker.transport("order-service.1").await;
    let work = work_queue(&transport);
    let requests = transport.topology().requests(Service::Order);
    let names = names(300);
    // Queues of different kinds confirm at different speeds.
    let queues = [work.as_str(), "not.declared", &requests, &requests];
    let goes_to = |index: usize| queues[index % queues.len()];
    let messages = names.iter().enumerate();
    let messages = messages.map(|(index, name)| (Target::Queue(goes_to(index).to_owned()), named(name)));
    let published = transport.publish(messages.collect(), WAIT_LIMIT).await;
    for (index, published) in published.into_iter().enumerate() {
        let is_unroutable = goes_to(index) == "not.declared";
        let expected = if is_unroutable { Err(PublishError::Unroutable) } else { Ok(()) };
        assert_eq!(published, expected, "message {index}");
    }
    for queue in [work.as_str(), &requests] {
        let routed = names.iter().enumerate().filter(|(index, _)| goes_to(*index) == queue);
        let routed: Vec<String> = routed.map(|(_, name)| name.clone()).collect();
        assert_eq!(ready_in(&transport, queue).await, routed);
    }
}

/// Events are not mandatory.
pub async fn an_event_without_subscribers_is_published(broker: &dyn Broker) {
    let transport = broker.transport("order-service.1").await;
    let target = Target::Events { routing_key: "not.bound".to_owned() };
    assert_eq!(transport.publish(vec![(target, named("m"))], WAIT_LIMIT).await, [Ok(())]);
}

/// It loses nothing.
pub async fn a_full_queue_refuses_messages_and_keeps_its_own(broker: &dyn Broker) {
    let transport = broker.transport("gateway.1").await;
    let queue = transport.topology().requests(Service::Customer);
    let message = Message { body: "{}".into(), ..Message::default() };
    let published =
        try_publish(&transport, &queue, vec![message.clone(); REQUESTS_MAX_LENGTH as usize]).await;
    assert!(published.into_iter().all(|published| published.is_ok()), "all messages fit");
    let published = try_publish(&transport, &queue, vec![message; 3]).await;
    assert_eq!(published.last(), Some(&Err(PublishError::Nacked)));
    let fitted = published.iter().filter(|published| published.is_ok()).count() as u64;
    until_ready(&transport, &queue, u64::from(REQUESTS_MAX_LENGTH) + fitted).await;
}
