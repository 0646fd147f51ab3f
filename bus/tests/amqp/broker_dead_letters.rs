//! Messages that the broker itself dead-letters.

use bus::dead_letters::{Selection, list};
use bus::message::Message;
use bus::topology::WorkQueue;
use bus::transport::{SharedTransport, Target};
use std::sync::Arc;
use std::time::Duration;
use testkit::{WAIT_LIMIT, eventually};

use crate::kit::Rabbit;

#[tokio::test]
async fn a_message_that_the_broker_dead_letters_is_listed_with_its_reason() {
    let transport: SharedTransport = Arc::new(Rabbit::shared().await.connected("order-service.1").await);
    let queue = transport.topology().work(WorkQueue::OrderCommands);
    let message = Message {
        body: r#"{"pattern":"order.create","data":{}}"#.into(),
        message_id: Some("m".to_owned()),
        expiration: Some(Duration::from_millis(1)),
        persistent: true,
        ..Message::default()
    };
    let published = transport.publish(vec![(Target::Queue(queue.clone()), message)], WAIT_LIMIT).await;
    assert_eq!(published, [Ok(())]);
    let letter = eventually("it is dead-lettered", async || {
        list(&transport, &Selection::Code("UNDELIVERABLE".to_owned())).await.unwrap().pop()
    })
    .await;
    assert_eq!((letter.id.as_str(), letter.queue), ("m", queue.clone()));
    assert_eq!(
        letter.message,
        format!("the broker gave up on delivering it from {queue}: expired (1 times)")
    );
    assert!(letter.failed_at.is_some(), "the broker records the time");
}
