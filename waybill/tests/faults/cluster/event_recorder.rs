//! Records every event that the broker delivers, whatever the tables say of it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;
use bus::amqp::{AmqpConfig, AmqpTransport};
use bus::message::Message;
use bus::topology::{RetryDelays, Topology, WorkQueue};
use bus::transport::Transport as _;
use schema::ids::OrderId;
use schema::order_events::OrderEvent;
use testkit::{RabbitMq, unique};
use tokio::task::JoinSet;
use tokio::time::sleep;
use waybill::audit::RecordedEvents;

/// A durable queue of the tests' own, bound to the events' exchange, in a namespace of its own: its connection does not
/// declare again what vanishes from the processes' namespace. Records until dropped.
pub(crate) struct EventRecorder {
    recorded: Arc<Mutex<RecordedEvents>>,
    _listening: JoinSet<()>,
}

impl EventRecorder {
    /// Records what is published from now on to the exchange, which exists.
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

    pub(crate) fn recorded_events(&self) -> RecordedEvents {
        self.recorded.lock().unwrap().clone()
    }
}

/// Consumes again after each failure of the broker.
async fn listen(bus: AmqpTransport, queue: String, recorded: Arc<Mutex<RecordedEvents>>) {
    loop {
        if let Ok(mut deliveries) = bus.consume(&queue, 100).await {
            while let Some(delivery) = deliveries.recv().await {
                recorded.lock().unwrap().events.extend(event(&delivery.message));
                delivery.ack().await;
            }
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// Order, version and position of the event in a message, if it has one.
fn event(message: &Message) -> Option<(OrderId, u32, i64)> {
    let envelope: serde_json::Value = serde_json::from_slice(&message.body).ok()?;
    let event: OrderEvent = serde_json::from_value(envelope["data"].clone()).ok()?;
    Some((event.order_id, event.version, event.position))
}
