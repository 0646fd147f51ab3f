//! A shop, its operator, and whoever sends it messages past the gateway.

use std::path::Path;
use std::process::Command;
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
use serde_json::Value;
use testkit::Process;

/// How long a tool may take before the test gives it up.
const TOOL_LIMIT: Duration = Duration::from_secs(120);
const PUBLISH_LIMIT: Duration = Duration::from_secs(30);

/// What every program of one shop is told.
#[derive(Debug, Clone)]
pub(crate) struct Operator(pub(crate) Vec<(&'static str, String)>);

/// What a tool did.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl std::fmt::Debug for Ran {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "exit code {}\n{}\n{}", self.code, self.stdout, self.stderr)
    }
}

impl Operator {
    /// Of the shop in this folder.
    pub(crate) fn of_folder(folder: &Path) -> Self {
        Self(vec![("DATA_DIR", folder.display().to_string())])
    }

    /// Of the shop behind this broker.
    pub(crate) fn of_broker(url: &str, namespace: &str) -> Self {
        let nowhere = "/nowhere/at/all".to_owned();
        Self(vec![
            ("RABBITMQ_URL", url.to_owned()),
            ("BUS_NAMESPACE", namespace.to_owned()),
            ("DATA_DIR", nowhere),
        ])
    }

    /// Knowing one thing more.
    pub(crate) fn with(&self, variable: &'static str, value: &str) -> Self {
        let mut known = self.clone();
        known.0.push((variable, value.to_owned()));
        known
    }

    /// Runs a tool to its end.
    pub(crate) async fn runs(&self, arguments: &[&str]) -> Ran {
        let mut command = tokio::process::Command::from(self.command(arguments));
        let running = tokio::time::timeout(TOOL_LIMIT, command.kill_on_drop(true).output());
        let output = running.await.unwrap_or_else(|_| panic!("{arguments:?} didn't end")).unwrap();
        Ran {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Starts the shop, and waits until it is ready.
    pub(crate) async fn opens_shop(&self) -> Process {
        let told = self.with("PORT", "0").with("ADMIN_PORT", "0").with("LOG_FORMAT", "json");
        let shop = Process::spawn(&mut told.command(&["up"])).unwrap();
        shop.line("Waybill is up").await.unwrap();
        shop
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waybill"));
        command.args(arguments).env_clear().envs(self.0.iter().cloned());
        command
    }
}

/// A connection to the broker past everybody.
pub(crate) async fn raw_publisher(url: &str, namespace: &str) -> SharedTransport {
    let transport =
        AmqpTransport::connect(AmqpConfig::new(url, "raw-publisher.1", topology(namespace))).unwrap();
    transport.wait_until_up(PUBLISH_LIMIT).await.unwrap();
    Arc::new(transport)
}

/// Puts messages into the broker's file of a shop that isn't running.
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

/// The queues that services have where nobody says otherwise.
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

/// A message that nobody can read.
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
    let customer_id: CustomerId = "CUST01".parse().unwrap();
    let order_id = OrderId::for_idempotency_key(&customer_id, key);
    let placement = CreateOrder {
        order_id,
        customer_id,
        items: vec![Item { product_id: "PROD01".parse().unwrap(), quantity: 2 }],
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
