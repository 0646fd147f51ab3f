//! Messages of others that are longer than any of ours.

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

use crate::stand::Rabbit;

/// Tells which messages it was given.
struct Tells(mpsc::Sender<Option<String>>);

#[async_trait]
impl MessageHandler for Tells {
    async fn handle(&self, batch: &[Job]) -> Vec<Disposition> {
        let mut dispositions = Vec::new();
        for work in batch {
            self.0.send(work.message.message_id.clone()).await.unwrap();
            dispositions.push(Disposition::Done(None));
        }
        dispositions
    }
}

#[tokio::test]
async fn a_message_longer_than_any_of_ours_is_set_aside_unread_and_holds_nobody_up() {
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

    let (told, mut handled) = mpsc::channel(10);
    let consumer = Consumer {
        transport: Arc::clone(&transport),
        queue: WorkQueue::OrderCommands,
        handler: Arc::new(Tells(told)),
        prefetch: 10,
        batch_max: 10,
        clock: Arc::new(SystemClock),
        heartbeat: Heartbeat::new(),
    };
    let stop = CancellationToken::new();
    let working = tokio::spawn(consumer.run(stop.clone()));
    let first = tokio::time::timeout(WAIT_LIMIT, handled.recv()).await.expect("the next message is handled");
    assert_eq!(first, Some(Some("short".to_owned())), "the long one is never handled");

    let all = Selection::All;
    let letter =
        eventually("it is set aside", async || dead_letters::list(&transport, &all).await.unwrap().pop())
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
    working.await.unwrap();
}
