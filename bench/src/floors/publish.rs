//! P: messages published to a quorum queue with confirmation, with lapin alone.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection};
use testkit::{RabbitMq, unique};

use super::request_reply::connect;
use crate::figures::Figures;

/// A connection that publishes messages of one length.
pub(crate) struct PublishFloor {
    _connection: Connection,
    channel: Channel,
    body: Vec<u8>,
}

impl PublishFloor {
    pub(crate) async fn start(rabbitmq: &RabbitMq, bytes: usize) -> Result<Self> {
        let (connection, channel) = connect(&rabbitmq.url()).await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(Self { _connection: connection, channel, body: vec![b'x'; bytes] })
    }

    /// Publishes persistent messages, so many of them unconfirmed at any time, to a queue of its own.
    pub(crate) async fn run(&self, in_flight: usize, time: Duration) -> Result<Figures> {
        let queue = unique("floor.publish");
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        self.channel.queue_declare(queue.as_str().into(), durable, arguments).await?;
        let begin = Instant::now();
        let tasks = (0..in_flight).map(async |_| {
            let mut latencies = Vec::new();
            while begin.elapsed() < time {
                let sent = Instant::now();
                let persistent = BasicProperties::default().with_delivery_mode(2);
                let options = BasicPublishOptions::default();
                let key = queue.as_str().into();
                let published = self.channel.basic_publish("".into(), key, options, &self.body, persistent);
                let confirmation = published.await?.await?;
                ensure!(matches!(confirmation, Confirmation::Ack(_)), "the broker refused a message");
                latencies.push(sent.elapsed().as_secs_f64() * 1e3);
            }
            anyhow::Ok(latencies)
        });
        let latencies = futures::future::try_join_all(tasks).await?.concat();
        let seconds = begin.elapsed().as_secs_f64();
        self.channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await?;
        Ok(Figures::default().with_rate(latencies.len(), seconds).with_latencies(latencies))
    }
}
