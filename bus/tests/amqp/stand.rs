//! What the tests stand on.

use async_trait::async_trait;
use std::sync::Arc;

use bus::amqp::{AmqpConfig, AmqpTransport};
use bus::conformance::{Broker, retry_delays};
use bus::topology::Topology;
use bus::transport::{Deliveries, Delivery, SharedTransport};
use testkit::{RabbitMq, WAIT_LIMIT, rabbitmq_url, unique};

/// A namespace on a RabbitMQ, which is the test's own where it is going to be hurt.
pub(crate) struct Rabbit {
    pub(crate) url: String,
    pub(crate) topology: Topology,
    server: Option<RabbitMq>,
}

impl Rabbit {
    /// On a server that other tests use too.
    pub(crate) async fn shared() -> Self {
        Self { url: rabbitmq_url().await, topology: topology(), server: None }
    }

    /// On a server of its own.
    pub(crate) async fn of_its_own() -> Self {
        let server = RabbitMq::start().await.unwrap();
        Self { url: server.url(), topology: topology(), server: Some(server) }
    }

    pub(crate) fn server(&self) -> &RabbitMq {
        self.server.as_ref().expect("the server is the test's own")
    }

    /// A transport that may not be up yet.
    pub(crate) fn connect(&self, owner: &str) -> AmqpTransport {
        AmqpTransport::connect(AmqpConfig::new(&self.url, owner, self.topology.clone())).unwrap()
    }

    /// A channel that knows nothing of the bus.
    pub(crate) async fn foreign_channel(&self) -> lapin::Channel {
        let properties = lapin::ConnectionProperties::default();
        let connection = lapin::Connection::connect(&self.url, properties).await.unwrap();
        connection.create_channel().await.unwrap()
    }

    pub(crate) async fn connected(&self, owner: &str) -> AmqpTransport {
        let transport = self.connect(owner);
        transport.wait_until_up(WAIT_LIMIT).await.unwrap();
        transport
    }
}

#[async_trait(?Send)]
impl Broker for Rabbit {
    async fn transport(&self, owner: &str) -> SharedTransport {
        Arc::new(self.connected(owner).await)
    }

    async fn restart(&self) {
        self.server().restart().await.unwrap();
    }
}

fn topology() -> Topology {
    Topology::new(unique("test"), retry_delays())
}

/// The port that a broker's URL names.
pub(crate) fn port_of(url: &str) -> u16 {
    let (authority, _) = url.rsplit_once('/').unwrap();
    authority.rsplit_once(':').unwrap().1.parse().unwrap()
}

pub(crate) async fn next(deliveries: &mut Deliveries) -> Delivery {
    tokio::time::timeout(WAIT_LIMIT, deliveries.recv())
        .await
        .expect("a delivery comes in time")
        .expect("the consumer lives")
}
