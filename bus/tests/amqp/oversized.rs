//! Messages of other clients that exceed the size limit.

use async_trait::async_trait;
use bus::clock::SystemClock;
use bus::consumer::{Consumer, Disposition, Job, MessageHandler};
use bus::dead_letters::{self, Selection};
use bus::heartbeat::Heartbeat;
use bus::message::{BODY_MAX_BYTES, Message};
use bus::topology::WorkQueue;
use bus::transport::{SharedTransport, Target};
use lapin::BasicProperties;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use std::sync::Arc;
use testkit::{WAIT_LIMIT, eventually};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::kit::Rabbit;

/// Reports the ids of the messages that it handles.
struct Reports(mpsc::Sender<Option<String>>);

#[async_trait]
impl MessageHandler for Reports {
    async fn handle(&self, batch: &[Job]) -> Vec<Disposition> {
        let mut dispositions = Vec::new();
        for job in batch {
            self.0.send(job.message.message_id.clone()).await.unwrap();
            dispositions.push(Disposition::Done(None));
        }
        dispositions
    }
}

#[tokio::test]
async fn an_oversized_message_is_dead_lettered_unread_and_delays_no_other() {
    let rabbit = Rabbit::shared().await;
    let transport: SharedTransport = Arc::new(rabbit.connected("order-service.1").await);
    let queue = transport.topology().work(WorkQueue::OrderCommands);

    let long = format!(r#"{{"pattern":"order.create","data":"{}"}}"#, "x".repeat(BODY_MAX_BYTES));
    let channel = rabbit.foreign_channel().await;
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let properties = BasicProperties::default().with_message_id("long".into()).with_delivery_mode(2);
    let options = BasicPublishOptions::default();
    let publishing =
        channel.basic_publish("".into(), queue.as_str().into(), options, long.as_bytes(), properties);
    publishing.await.unwrap().await.unwrap();
    let short = Message {
        body: r#"{"pattern":"order.create","data":"y"}"#.into(),
        message_id: Some("short".to_owned()),
        persistent: true,
        ..Message::default()
    };
    let published = transport.publish(vec![(Target::Queue(queue.clone()), short)], WAIT_LIMIT).await;
    assert_eq!(published, [Ok(())]);

    let (ids, mut handled) = mpsc::channel(10);
    let consumer = Consumer {
        transport: Arc::clone(&transport),
        queue: WorkQueue::OrderCommands,
        handler: Arc::new(Reports(ids)),
        prefetch: 10,
        batch_max: 10,
        clock: Arc::new(SystemClock),
        heartbeat: Heartbeat::new(),
    };
    let stop = CancellationToken::new();
    let consuming = tokio::spawn(consumer.run(stop.clone()));
    let first = tokio::time::timeout(WAIT_LIMIT, handled.recv()).await.expect("the next message is handled");
    assert_eq!(first, Some(Some("short".to_owned())), "the long one is never handled");

    let all = Selection::All;
    let letter =
        eventually("it is dead-lettered", async || dead_letters::list(&transport, &all).await.unwrap().pop())
            .await;
    assert_eq!((letter.id.as_str(), letter.code.as_str(), letter.attempts), ("long", "BAD_REQUEST", 1));
    assert_eq!(letter.body.len(), long.len(), "whole");
    let replayed = dead_letters::replay(&transport, &all).await.unwrap();
    assert!(replayed.letters.is_empty() && replayed.stopped.unwrap().starts_with("long was not replayed"));
    eventually("it can be discarded", async || {
        let discarded = dead_letters::discard(&transport, &all).await.unwrap().letters;
        discarded.iter().any(|letter| letter.id == "long")
    })
    .await;
    stop.cancel();
    consuming.await.unwrap();
}
