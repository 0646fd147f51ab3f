//! A broker that is short of memory.

use async_trait::async_trait;
use bus::clock::SystemClock;
use bus::consumer::{Consumer, Disposition, Job, MessageHandler};
use bus::failure::{Failure, FailureCode};
use bus::heartbeat::Heartbeat;
use bus::message::Message;
use bus::topology::WorkQueue;
use bus::transport::{LinkState, PublishError, Target, Transport as _};
use schema::pattern::Service;
use std::sync::Arc;
use testkit::{WAIT_LIMIT, eventually};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::kit::{Rabbit, next};

#[tokio::test]
async fn a_blocked_broker_fails_publishing_at_once_while_consumers_go_on() {
    let rabbit = Rabbit::of_its_own().await;
    let transport = rabbit.connected("gateway.1").await;
    let requests = transport.topology().requests(Service::Order);
    let publish = async |count: usize| {
        let message = (Target::Queue(requests.clone()), Message { body: "{}".into(), ..Message::default() });
        transport.publish(vec![message; count], WAIT_LIMIT).await
    };
    assert_eq!(publish(50).await, vec![Ok(()); 50]);

    rabbit.server().ctl(&["set_vm_memory_high_watermark", "0.00001"]).await.unwrap();
    // The broker blocks the connection at its next publish, and confirms that message after it unblocks.
    let stuck = publish(1);
    let seen = eventually("the link is blocked", async || {
        let link = transport.link_state().borrow().clone();
        if matches!(&link, LinkState::Blocked { reason, .. } if !reason.is_empty()) {
            Ok(())
        } else {
            Err(link)
        }
    });
    let afterwards = async {
        seen.await;
        let failed = publish(2).await;
        assert!(failed.iter().all(|failed| matches!(failed, Err(PublishError::Blocked(_)))), "{failed:?}");
        let unconfirmed =
            transport.publish_unconfirmed(Target::Queue(requests.clone()), Message::default()).await;
        assert!(matches!(unconfirmed, Err(PublishError::Blocked(_))), "{unconfirmed:?}");

        let mut deliveries = transport.consume(&requests, 5).await.unwrap();
        for _ in 0..50 {
            next(&mut deliveries).await.ack().await;
        }
        rabbit.server().ctl(&["set_vm_memory_high_watermark", "0.4"]).await.unwrap();
        transport.wait_until_up(WAIT_LIMIT).await.unwrap();
    };
    let (stuck, ()) = tokio::join!(stuck, afterwards);
    assert_eq!(stuck, [Ok(())]);
    assert_eq!(publish(1).await, [Ok(())]);
}

/// Fails for the message "bad".
struct FailsBad(mpsc::Sender<()>);

#[async_trait]
impl MessageHandler for FailsBad {
    async fn handle(&self, batch: &[Job]) -> Vec<Disposition> {
        let disposition = |job: &Job| {
            if job.message.message_id.as_deref() == Some("bad") {
                return Disposition::Retry(Failure::new(FailureCode::Internal, "on purpose"));
            }
            self.0.try_send(()).unwrap();
            Disposition::Done(None)
        };
        batch.iter().map(disposition).collect()
    }
}

#[tokio::test]
async fn jobs_are_handled_while_a_failed_one_cannot_be_forwarded() {
    let rabbit = Rabbit::of_its_own().await;
    let transport = Arc::new(rabbit.connected("order-service.1").await);
    let queue = transport.topology().work(WorkQueue::OrderCommands);
    let named = |name: &str| Message {
        body: r#"{"pattern":"order.create","data":{}}"#.into(),
        message_id: Some(name.to_owned()),
        persistent: true,
        ..Message::default()
    };
    let names = [&["bad"][..], &["good"; 20]].concat();
    let messages: Vec<_> = names.iter().map(|name| (Target::Queue(queue.clone()), named(name))).collect();
    assert_eq!(transport.publish(messages, WAIT_LIMIT).await, vec![Ok(()); 21]);

    rabbit.server().ctl(&["set_vm_memory_high_watermark", "0.00001"]).await.unwrap();
    let (done, mut all_done) = mpsc::channel(20);
    let consumer = Consumer {
        transport: Arc::clone(&transport) as _,
        queue: WorkQueue::OrderCommands,
        handler: Arc::new(FailsBad(done)),
        prefetch: 5,
        batch_max: 1,
        clock: Arc::new(SystemClock),
        heartbeat: Heartbeat::new(),
    };
    let stop = CancellationToken::new();
    let consuming = tokio::spawn(consumer.run(stop.clone()));
    for _ in 0..20 {
        tokio::time::timeout(WAIT_LIMIT, all_done.recv()).await.expect("jobs are handled").unwrap();
    }
    assert!(matches!(*transport.link_state().borrow(), LinkState::Blocked { .. }));

    rabbit.server().ctl(&["set_vm_memory_high_watermark", "0.4"]).await.unwrap();
    let dead = transport.topology().dead(WorkQueue::OrderCommands);
    eventually("the failed job is dead-lettered in the end", async || {
        transport.depth(&dead).await.ok().flatten().is_some_and(|depth| depth.ready >= 1)
    })
    .await;
    stop.cancel();
    tokio::time::timeout(WAIT_LIMIT, consuming).await.unwrap().unwrap();
}
