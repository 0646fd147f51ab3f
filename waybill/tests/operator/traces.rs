//! Trace headers of what other clients send without any.

use bus::envelope;
use bus::message::header;
use bus::transport::{ExclusiveQueue, Target};
use schema::pattern::{ORDER_GET, Service};
use testkit::{RabbitMq, WAIT_LIMIT, unique};

use crate::kit::{Operator, order, publish, raw_publisher, to_commands};

#[tokio::test]
async fn replies_and_events_of_messages_without_a_trace_have_one() {
    let rabbit = RabbitMq::start().await.unwrap();
    let (url, namespace) = (rabbit.url(), unique("operator"));
    let folder = tempfile::tempdir().unwrap();
    let operator = Operator::of_broker(&url, &namespace);
    let _system = operator.with("DATA_DIR", &folder.path().display().to_string()).starts_system().await;
    let other = raw_publisher(&url, &namespace).await;
    let queue = |purpose, bindings: &[&str]| ExclusiveQueue {
        purpose,
        event_bindings: bindings.iter().map(|&key| key.to_owned()).collect(),
        max_length: 10,
    };
    let (replies, mut reply) = other.consume_exclusive(queue("replies", &[])).await.unwrap();
    let (_, mut events) = other.consume_exclusive(queue("events", &["order.#"])).await.unwrap();

    let (_, mut command) = order("untraced");
    assert_eq!(command.header_text(header::TRACEPARENT), None);
    command.reply_to = Some(replies.clone());
    command.correlation_id = Some("1".to_owned());
    publish(&other, vec![(to_commands(&namespace), command)]).await;
    let trace = async |deliveries: &mut bus::transport::Deliveries| {
        let received = tokio::time::timeout(WAIT_LIMIT, deliveries.recv()).await.unwrap().unwrap();
        let traceparent = received.message.header_text(header::TRACEPARENT);
        traceparent.unwrap_or_else(|| panic!("no trace: {received:?}")).split('-').nth(1).unwrap().to_owned()
    };
    let placed = trace(&mut reply).await;
    assert_eq!(trace(&mut events).await, placed);

    let body = envelope::write(ORDER_GET, &[(); 0], Some("2"));
    let request = bus::message::Message {
        body,
        correlation_id: Some("2".to_owned()),
        reply_to: Some(replies),
        ..bus::message::Message::default()
    };
    publish(&other, vec![(Target::Queue(other.topology().requests(Service::Order)), request)]).await;
    assert_ne!(trace(&mut reply).await, placed);
}
