//! Hears every event that the broker took, whatever the tables say of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;
use bus::amqp::{AmqpConfig, AmqpTransport};
use bus::message::Message;
use bus::topology::{RetryDelays, Topology, WorkQueue};
use bus::transport::Transport as _;
use schema::order_events::OrderEvent;
use testkit::{RabbitMq, unique};
use tokio::task::JoinSet;
use tokio::time::sleep;
use uuid::Uuid;

/// The position of each event that was recorded, by order and version.
pub(crate) type RecordedEvents = BTreeMap<(Uuid, i64), i64>;

/// A durable queue of the tests' own behind the events' exchange, in a namespace of its own so that whatever vanishes
/// from the processes' is not put back from here. Records until dropped.
pub(crate) struct EventRecorder {
    recorded: Arc<Mutex<RecordedEvents>>,
    _listening: JoinSet<()>,
}

impl EventRecorder {
    /// Hears whatever is published from now on to the exchange, which exists.
    pub(super) async fn open(broker: &RabbitMq, exchange: &str) -> Result<Self> {
        let topology = Topology::new("recorder", RetryDelays(Vec::new()));
        let queue = topology.work(WorkQueue::InventoryOrderEvents);
        let bus = AmqpTransport::connect(AmqpConfig::new(broker.url(), unique("recorder"), topology))?;
        bus.wait_until_up(Duration::from_secs(30)).await.map_err(|link| anyhow::anyhow!("{link:?}"))?;
        let resource = |kind: &str, name: &str| format!("rabbit_misc:r(<<\"/\">>, {kind}, <<\"{name}\">>)");
        let (source, destination) = (resource("exchange", exchange), resource("queue", &queue));
        let bind = format!(
            "ok = rabbit_binding:add({{binding, {source}, <<\"#\">>, {destination}, []}}, <<\"tests\">>)."
        );
        broker.ctl(&["eval", &bind]).await?;

        let recorded = Arc::<Mutex<RecordedEvents>>::default();
        let mut listening = JoinSet::new();
        listening.spawn(listen(bus, queue, Arc::clone(&recorded)));
        Ok(Self { recorded, _listening: listening })
    }

    /// What was heard so far.
    pub(crate) fn recorded_events(&self) -> RecordedEvents {
        self.recorded.lock().unwrap().clone()
    }
}

/// Goes on over whatever becomes of the broker.
async fn listen(bus: AmqpTransport, queue: String, recorded: Arc<Mutex<RecordedEvents>>) {
    loop {
        if let Ok(mut deliveries) = bus.consume(&queue, 100).await {
            while let Some(delivery) = deliveries.recv().await {
                recorded.lock().unwrap().extend(event(&delivery.message));
                delivery.ack().await;
            }
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// The event that a message tells of, if it does.
fn event(message: &Message) -> Option<((Uuid, i64), i64)> {
    let envelope: serde_json::Value = serde_json::from_slice(&message.body).ok()?;
    let event: OrderEvent = serde_json::from_value(envelope["data"].clone()).ok()?;
    Some(((event.order_id.0, i64::from(event.version)), event.position))
}
