//! The operator of a system, and a publisher that sends messages past the gateway.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bus::amqp::{AmqpConfig, AmqpTransport};
use bus::clock::{Clock as _, SystemClock};
use bus::envelope;
use bus::message::{Message, header};
use bus::topology::{RetryDelays, Topology, WorkQueue};
use bus::transport::{SharedTransport, Target};
use embedded_broker::{EmbeddedBroker, Storage};
use schema::ids::{CustomerId, OrderId};
use schema::order_messages::{CreateOrder, Item};
use schema::pattern::ORDER_CREATE;
use testkit::{Finished, Process, Program};

const PUBLISH_LIMIT: Duration = Duration::from_secs(30);

/// The environment of every command on one system.
#[derive(Debug, Clone)]
pub(crate) struct Operator(pub(crate) Vec<(&'static str, String)>);

impl Operator {
    /// The operator of the system in this folder.
    pub(crate) fn of_folder(folder: &Path) -> Self {
        Self(vec![("DATA_DIR", folder.display().to_string())])
    }

    /// The operator of the system behind this broker.
    pub(crate) fn of_broker(url: &str, namespace: &str) -> Self {
        let nowhere = "/nowhere/at/all".to_owned();
        Self(vec![
            ("RABBITMQ_URL", url.to_owned()),
            ("BUS_NAMESPACE", namespace.to_owned()),
            ("DATA_DIR", nowhere),
        ])
    }

    /// The same operator with one more variable.
    pub(crate) fn with(&self, variable: &'static str, value: &str) -> Self {
        let mut known = self.clone();
        known.0.push((variable, value.to_owned()));
        known
    }

    /// Runs a command until it exits.
    pub(crate) async fn runs(&self, arguments: &[&str]) -> Finished {
        self.program(arguments).run().await
    }

    /// Starts `waybill up`; returns when it is ready.
    pub(crate) async fn starts_system(&self) -> Process {
        let up = self.program(&["up"]).with("PORT", "0").with("ADMIN_PORT", "0").with("LOG_FORMAT", "json");
        let up = up.with("SEED", "catalogue");
        let system = up.start();
        system.line("Waybill is up").await.unwrap();
        system
    }

    fn program(&self, arguments: &[&str]) -> Program {
        let program = Program::new(env!("CARGO_BIN_EXE_waybill"), arguments);
        self.0.iter().fold(program, |program, (variable, value)| program.with(variable, value))
    }
}

/// A connection to the broker of the test's own.
pub(crate) async fn raw_publisher(url: &str, namespace: &str) -> SharedTransport {
    let transport =
        AmqpTransport::connect(AmqpConfig::new(url, "raw-publisher.1", topology(namespace))).unwrap();
    transport.wait_until_up(PUBLISH_LIMIT).await.unwrap();
    Arc::new(transport)
}

/// Publishes messages into the embedded broker's file while no process runs.
pub(crate) async fn publish_into_file(folder: &Path, messages: Vec<(Target, Message)>) {
    let lock = std::fs::File::create(folder.join("lock")).unwrap();
    lock.try_lock().unwrap();
    let storage = Storage::File(folder.join("broker.sqlite"));
    let broker = EmbeddedBroker::open(storage, topology("waybill"), Arc::new(SystemClock)).await.unwrap();
    publish(&broker.transport("raw-publisher.1"), messages).await;
    broker.close().await;
}

/// Publishes messages, all confirmed.
pub(crate) async fn publish(transport: &SharedTransport, messages: Vec<(Target, Message)>) {
    for published in transport.publish(messages, PUBLISH_LIMIT).await {
        published.unwrap();
    }
}

/// The topology of the default retry delays.
pub(crate) fn topology(namespace: &str) -> Topology {
    Topology::new(namespace, RetryDelays::default())
}

/// To order-service's commands.
pub(crate) fn to_commands(namespace: &str) -> Target {
    Target::Queue(topology(namespace).work(WorkQueue::OrderCommands))
}

/// Straight to the dead letters of order-service's commands.
pub(crate) fn to_dead_commands(namespace: &str) -> Target {
    Target::DeadLetter(topology(namespace).dead(WorkQueue::OrderCommands))
}

/// A message that isn't JSON.
pub(crate) fn poison(id: &str) -> Message {
    let mut message = Message {
        body: "no \u{1b}json".into(),
        message_id: Some(id.to_owned()),
        persistent: true,
        ..Message::default()
    };
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    message.set_header(header::TRACEPARENT, trace.into());
    message
}

/// A demo customer's order of two mugs under a key, and the command that places it.
pub(crate) fn order(key: &str) -> (OrderId, Message) {
    order_of(key, "PROD01", 2)
}

/// Like [`order`], of another product.
pub(crate) fn order_of(key: &str, product_id: &str, quantity: u32) -> (OrderId, Message) {
    let customer_id: CustomerId = "CUST01".parse().unwrap();
    let order_id = OrderId::for_idempotency_key(&customer_id, key);
    let placement = CreateOrder {
        order_id,
        customer_id,
        items: vec![Item { product_id: product_id.parse().unwrap(), quantity }],
        shipping_address: None,
        idempotency_key: Some(key.to_owned()),
        placed_at: SystemClock.now(),
    };
    let message = Message {
        body: envelope::write(ORDER_CREATE, &placement, None),
        message_id: Some(uuid::Uuid::now_v7().to_string()),
        kind: Some(ORDER_CREATE.to_owned()),
        persistent: true,
        ..Message::default()
    };
    (order_id, message)
}

/// The message as it lies among the dead letters after its last attempt.
pub(crate) fn given_up(mut message: Message, attempts: i64, code: &str) -> Message {
    message.set_header(header::ATTEMPT, attempts.into());
    message.set_header(header::FAILURE_CODE, code.into());
    message.set_header(header::FAILURE_MESSAGE, "a defect".into());
    message
}
