//! Consumers without deliveries, or without a broker.

use async_trait::async_trait;
use bus::clock::SystemClock;
use bus::consumer::{Consumer, Disposition, Job, MessageHandler};
use bus::heartbeat::Heartbeat;
use bus::message::Message;
use bus::topology::WorkQueue;
use bus::transport::{LinkState, Target, Transport as _};
use std::sync::Arc;
use std::time::Duration;
use testkit::{WAIT_LIMIT, eventually};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::kit::{Rabbit, next};

/// Longer than an idle consumer is kept.
const LONG: Duration = Duration::from_secs(8);

fn named(name: &str) -> Message {
    Message {
        body: r#"{"pattern":"order.create","data":{}}"#.into(),
        message_id: Some(name.to_owned()),
        persistent: true,
        ..Message::default()
    }
}

struct Done;

#[async_trait]
impl MessageHandler for Done {
    async fn handle(&self, batch: &[Job]) -> Vec<Disposition> {
        batch.iter().map(|_| Disposition::Done(None)).collect()
    }
}

#[tokio::test]
async fn a_consumer_with_unacknowledged_deliveries_stays_and_receives_no_more_than_its_prefetch() {
    let rabbit = Rabbit::shared().await;
    let transport = rabbit.connected("order-service.1").await;
    let queue = transport.topology().work(WorkQueue::OrderCommands);
    let messages = ["first", "second"].map(|name| (Target::Queue(queue.clone()), named(name)));
    assert_eq!(transport.publish(messages.into(), WAIT_LIMIT).await, [Ok(()), Ok(())]);
    let mut deliveries = transport.consume(&queue, 1).await.unwrap();
    let first = next(&mut deliveries).await;
    let more = tokio::time::timeout(LONG, deliveries.recv()).await;
    assert!(more.is_err(), "neither another message nor the end: {more:?}");
    first.ack().await;
    let second = next(&mut deliveries).await;
    assert_eq!((second.message.message_id.as_deref(), second.delivery_count), (Some("second"), 0));
    second.ack().await;

    let ended = tokio::time::timeout(WAIT_LIMIT, deliveries.recv()).await.expect("the idle consumer ends");
    assert!(ended.is_none(), "{ended:?}");
}

#[tokio::test]
async fn a_consumer_beats_while_its_queue_is_empty_and_while_its_broker_is_away() {
    let rabbit = Rabbit::of_its_own().await;
    let transport = Arc::new(rabbit.connected("order-service.1").await);
    let heartbeat = Heartbeat::new();
    let watch = heartbeat.watch();
    let consumer = Consumer {
        transport: Arc::clone(&transport) as _,
        queue: WorkQueue::OrderCommands,
        handler: Arc::new(Done),
        prefetch: 10,
        batch_max: 10,
        clock: Arc::new(SystemClock),
        heartbeat,
    };
    let stop = CancellationToken::new();
    let consuming = tokio::spawn(consumer.run(stop.clone()));
    let beats_on = async || {
        let now = Instant::now();
        eventually("it beats", async || watch.last_beat().is_some_and(|beat| beat > now)).await;
    };
    beats_on().await;
    rabbit.server().kill().await.unwrap();
    eventually("the link is down", async || matches!(*transport.link_state().borrow(), LinkState::Down(_)))
        .await;
    beats_on().await;
    beats_on().await;
    stop.cancel();
    tokio::time::timeout(WAIT_LIMIT, consuming).await.unwrap().unwrap();
    assert_eq!(watch.last_beat(), None);
}
