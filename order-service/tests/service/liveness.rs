//! Which loops are called dead, over a broker.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bus::clock::{Clock, SystemClock};
use bus::consumer::{Consumer, Disposition, Job, MessageHandler};
use bus::failure::{Failure, FailureCode};
use bus::message::Message;
use bus::topology::{RetryDelays, Topology, WorkQueue};
use bus::transport::Target;
use embedded_broker::{EmbeddedBroker, Storage};
use service_kit::{Liveness, Readiness, Shutdown};

/// A few times as long as a loop that waits goes without a beat.
const SILENCE: Duration = Duration::from_secs(6);

/// Begins, and never ends.
struct Stuck;

#[async_trait]
impl MessageHandler for Stuck {
    async fn handle(&self, _: &[Job]) -> Vec<Disposition> {
        std::future::pending().await
    }
}

/// Finds its database unavailable, each time.
struct Holding;

#[async_trait]
impl MessageHandler for Holding {
    async fn handle(&self, batch: &[Job]) -> Vec<Disposition> {
        let away = || Failure::new(FailureCode::Unavailable, "the database is away");
        batch.iter().map(|_| Disposition::RetryInPlace(away())).collect()
    }
}

#[tokio::test]
async fn a_handler_that_never_returns_is_dead_and_one_that_waits_for_its_database_is_not() {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let topology = Topology::new("test", RetryDelays::default());
    let broker = EmbeddedBroker::open(Storage::Memory, topology, clock.clone()).await.unwrap();
    let transport = broker.transport("order-service.test");
    let (shutdown, liveness) = (Shutdown::default(), Liveness::new(SILENCE));
    let database_there = Readiness::default().condition("database");
    database_there.set(true);
    let handlers: [(&str, WorkQueue, Arc<dyn MessageHandler>); 2] = [
        ("stuck", WorkQueue::OrderCommands, Arc::new(Stuck)),
        ("holding", WorkQueue::InventoryOrderEvents, Arc::new(Holding)),
    ];
    for (name, queue, handler) in handlers {
        let consumer = Consumer {
            transport: transport.clone(),
            queue,
            handler,
            prefetch: 10,
            batch_max: 1,
            clock: clock.clone(),
            heartbeat: liveness.watch(name, &[&database_there], shutdown.stopping()),
        };
        shutdown.spawn(name, consumer.run(shutdown.stopping().clone()));
    }
    let message = || Message {
        body: r#"{"pattern":"order.create","data":{}}"#.into(),
        persistent: true,
        ..Message::default()
    };
    // More than the consumer that waits for its database has batches in flight.
    let queues = [WorkQueue::OrderCommands].into_iter().chain([WorkQueue::InventoryOrderEvents; 5]);
    let messages = queues.map(|queue| (Target::Queue(transport.topology().work(queue)), message())).collect();
    let published = transport.publish(messages, testkit::WAIT_LIMIT).await;
    assert!(published.iter().all(Result::is_ok), "{published:?}");

    let dead = testkit::eventually("something is dead", async || {
        Some(liveness.report().dead).filter(|dead| !dead.is_empty())
    })
    .await;
    assert_eq!(dead, ["stuck"]);
    database_there.set_missing("no answer");
    assert!(liveness.report().alive, "a restart would bring no database back");
    shutdown.force();
    broker.close().await;
}
