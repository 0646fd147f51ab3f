//! Private RabbitMQ servers and namespaces for the tests.

use async_trait::async_trait;
use std::sync::Arc;

use bus::amqp::{AmqpConfig, AmqpTransport};
use bus::conformance::{Broker, retry_delays};
use bus::topology::Topology;
use bus::transport::{Deliveries, Delivery, SharedTransport};
use testkit::{RabbitMq, WAIT_LIMIT, rabbitmq_url, unique};

/// A namespace on a RabbitMQ server, which is private to the test if the test kills or blocks it.
pub(crate) struct Rabbit {
    pub(crate) url: String,
    pub(crate) topology: Topology,
    server: Option<RabbitMq>,
}

impl Rabbit {
    /// A namespace on a server that other tests use too.
    pub(crate) async fn shared() -> Self {
        Self { url: rabbitmq_url().await, topology: topology(), server: None }
    }

    /// A namespace on a private server.
    pub(crate) async fn of_its_own() -> Self {
        let server = RabbitMq::start().await.unwrap();
        Self { url: server.url(), topology: topology(), server: Some(server) }
    }

    pub(crate) fn server(&self) -> &RabbitMq {
        self.server.as_ref().expect("the server is private")
    }

    /// A transport that may not be connected yet.
    pub(crate) fn connect(&self, owner: &str) -> AmqpTransport {
        AmqpTransport::connect(AmqpConfig::new(&self.url, owner, self.topology.clone())).unwrap()
    }

    /// A channel of another client.
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

/// The port in a broker's URL.
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
