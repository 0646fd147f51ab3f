//! Brokers that are killed and started again.

use async_trait::async_trait;
use bus::clock::SystemClock;
use bus::consumer::{Consumer, Disposition, Job, MessageHandler};
use bus::events::{EventSignal, EventSubscription, event_message};
use bus::heartbeat::Heartbeat;
use bus::message::Message;
use bus::topology::WorkQueue;
use bus::transport::{LinkState, PublishError, Target, Transport as _};
use schema::order_events::OrderEvent;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use testkit::{WAIT_LIMIT, eventually};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::kit::{Rabbit, next};

fn named(name: &str) -> Message {
    Message {
        body: r#"{"pattern":"order.create","data":{}}"#.into(),
        message_id: Some(name.to_owned()),
        persistent: true,
        ..Message::default()
    }
}

#[derive(Default)]
struct Done(Mutex<BTreeSet<String>>);

#[async_trait]
impl MessageHandler for Done {
    async fn handle(&self, batch: &[Job]) -> Vec<Disposition> {
        let ids = batch.iter().filter_map(|job| job.message.message_id.clone());
        self.0.lock().unwrap().extend(ids);
        batch.iter().map(|_| Disposition::Done(None)).collect()
    }
}

#[tokio::test]
async fn consumers_resume_with_their_prefetch_after_the_broker_was_killed() {
    let rabbit = Rabbit::of_its_own().await;
    let transport = Arc::new(rabbit.connected("order-service.1").await);
    let queue = transport.topology().work(WorkQueue::OrderCommands);
    let done = Arc::<Done>::default();
    let consumer = Consumer {
        transport: Arc::clone(&transport) as _,
        queue: WorkQueue::OrderCommands,
        handler: Arc::clone(&done) as _,
        prefetch: 7,
        batch_max: 10,
        clock: Arc::new(SystemClock),
        heartbeat: Heartbeat::new(),
    };
    let stop = CancellationToken::new();
    let _stop = stop.clone().drop_guard();
    tokio::spawn(consumer.run(stop));

    for epoch in 1..=3 {
        transport.wait_until_up(WAIT_LIMIT).await.unwrap();
        assert_eq!(*transport.link_state().borrow(), LinkState::Up { epoch });
        let name = format!("m{epoch}");
        let message = vec![(Target::Queue(queue.clone()), named(&name))];
        assert_eq!(transport.publish(message, WAIT_LIMIT).await, [Ok(())]);
        eventually("it is handled", async || done.0.lock().unwrap().contains(&name)).await;
        let consumers =
            rabbit.server().ctl(&["-q", "list_consumers", "queue_name", "prefetch_count"]).await.unwrap();
        assert!(consumers.contains(&format!("{queue}\t7")), "{consumers}");
        if epoch < 3 {
            rabbit.server().restart().await.unwrap();
            eventually(
                "the link is down",
                async || !matches!(*transport.link_state().borrow(), LinkState::Up { epoch: still } if still == epoch),
            )
            .await;
        }
    }
}

#[tokio::test]
async fn an_event_subscription_signals_the_loss_and_listens_again() {
    let rabbit = Rabbit::of_its_own().await;
    let mut subscription = EventSubscription::new(Arc::new(rabbit.connected("gateway.1").await));
    let event: OrderEvent =
        serde_json::from_str(include_str!("../../../schema/messages/order.created.json")).unwrap();
    for round in 0..2 {
        let next = async |subscription: &mut EventSubscription| {
            tokio::time::timeout(WAIT_LIMIT, subscription.next()).await.expect("a signal comes in time")
        };
        assert_eq!(next(&mut subscription).await, EventSignal::Listening, "round {round}");
        let source = rabbit.connected("order-service.1").await;
        let published = source.publish(vec![event_message(Uuid::now_v7(), &event, None)], WAIT_LIMIT).await;
        assert_eq!(published, [Ok(())]);
        assert_eq!(next(&mut subscription).await, EventSignal::Event(Box::new(event.clone())));
        if round == 0 {
            rabbit.server().restart().await.unwrap();
            assert_eq!(next(&mut subscription).await, EventSignal::Lost);
        }
    }
}

#[tokio::test]
async fn a_broker_that_is_started_later_is_connected() {
    let rabbit = Rabbit::of_its_own().await;
    rabbit.server().kill().await.unwrap();
    let transport = rabbit.connect("order-service.1");
    eventually("the link state has the reason", async || {
        let link = transport.link_state().borrow().clone();
        if matches!(&link, LinkState::Down(reason) if reason.contains("refused")) {
            Ok(())
        } else {
            Err(link)
        }
    })
    .await;
    let target = Target::Queue(transport.topology().work(WorkQueue::OrderCommands));
    let published = transport.publish(vec![(target.clone(), named("m"))], WAIT_LIMIT).await;
    assert_eq!(published, [Err(PublishError::Disconnected)]);

    rabbit.server().restart().await.unwrap();
    transport.wait_until_up(WAIT_LIMIT).await.unwrap();
    assert_eq!(transport.publish(vec![(target, named("m"))], WAIT_LIMIT).await, [Ok(())]);
}

#[tokio::test]
async fn confirmed_messages_survive_a_kill_of_the_broker() {
    let rabbit = Rabbit::of_its_own().await;
    let transport = rabbit.connected("order-service.1").await;
    let queue = transport.topology().work(WorkQueue::OrderCommands);
    let mut confirmed = BTreeSet::new();
    let mut unconfirmed = 0;
    let publishing = async {
        for batch in 0.. {
            let names: Vec<String> = (0..50).map(|index| format!("{batch} {index}")).collect();
            let messages = names.iter().map(|name| (Target::Queue(queue.clone()), named(name)));
            let outcomes = transport.publish(messages.collect(), WAIT_LIMIT).await;
            for (name, outcome) in names.into_iter().zip(outcomes) {
                match outcome {
                    Ok(()) => drop(confirmed.insert(name)),
                    Err(PublishError::Unknown(_) | PublishError::Disconnected) => unconfirmed += 1,
                    Err(error) => panic!("{error}"),
                }
            }
            if unconfirmed > 0 {
                break;
            }
        }
    };
    let killing = async {
        eventually("messages are published", async || {
            transport.depth(&queue).await.unwrap().is_some_and(|depth| depth.ready > 200)
        })
        .await;
        rabbit.server().kill().await.unwrap();
    };
    tokio::join!(publishing, killing);
    rabbit.server().restart().await.unwrap();
    transport.wait_until_up(WAIT_LIMIT).await.unwrap();
    let mut deliveries = transport.consume(&queue, 100).await.unwrap();
    while !confirmed.is_empty() {
        let delivery = next(&mut deliveries).await;
        confirmed.remove(delivery.message.message_id.as_deref().unwrap());
        delivery.ack().await;
    }
}
