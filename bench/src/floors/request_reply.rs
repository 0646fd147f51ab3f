//! R: a request and its reply over RabbitMQ with lapin alone: queues, properties and lengths of messages as Waybill's, and
//! a process that replies without doing anything.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures::StreamExt as _;
use lapin::options::{BasicConsumeOptions, BasicPublishOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use testkit::{Process, RabbitMq, unique};
use tokio::sync::{Mutex, oneshot};

use crate::figures::Figures;
use crate::system::own_program;
use crate::usage::Watched;

/// Connects and opens a channel, which lasts as long as the connection.
pub(super) async fn connect(url: &str) -> Result<(Connection, Channel)> {
    let runtime = lapin::runtime::default_runtime()?;
    let connection = Connection::connect_with_runtime(url, ConnectionProperties::default(), runtime).await?;
    let channel = connection.create_channel().await?;
    Ok((connection, channel))
}

const NO_ACK: BasicConsumeOptions =
    BasicConsumeOptions { no_local: false, no_ack: true, exclusive: false, nowait: false };

/// Replies to every request in the queue with so many bytes, until the process is ended.
pub(crate) async fn serve_requests(url: &str, queue: &str, reply_bytes: usize) -> Result<()> {
    let (_connection, channel) = connect(url).await?;
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(queue.into(), durable, FieldTable::default()).await?;
    let mut requests = channel.basic_consume(queue.into(), "".into(), NO_ACK, FieldTable::default()).await?;
    let reply = vec![b'x'; reply_bytes];
    while let Some(request) = requests.next().await {
        let properties = request?.properties;
        let reply_to = properties.reply_to().clone().context("a request without a queue for its reply")?;
        let correlation_id = properties.correlation_id().clone().context("a request without an id")?;
        let properties = BasicProperties::default().with_correlation_id(correlation_id);
        channel
            .basic_publish("".into(), reply_to, BasicPublishOptions::default(), &reply, properties)
            .await?;
    }
    Ok(())
}

/// A process that replies, and a connection that sends requests to it.
pub(crate) struct RequestFloor {
    process: Process,
    _connection: Connection,
    channel: Channel,
    queue: String,
    reply_queue: String,
    /// The request that waits in each place; a correlation id is the number of a place.
    waiting: Arc<Vec<Mutex<Option<oneshot::Sender<()>>>>>,
    request: Vec<u8>,
}

/// Requests at once, at the most.
const PLACES: usize = 512;

impl RequestFloor {
    /// Starts the process, and consumes its replies.
    pub(crate) async fn start(rabbitmq: &RabbitMq, request_bytes: usize, reply_bytes: usize) -> Result<Self> {
        let (url, queue) = (rabbitmq.url(), unique("floor.requests"));
        let arguments =
            ["serve-requests", "--url", &url, "--queue", &queue, "--reply-bytes", &reply_bytes.to_string()];
        let process = own_program(&arguments)?.start();
        let (connection, channel) = connect(&url).await?;
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(queue.as_str().into(), durable, FieldTable::default()).await?;
        let exclusive = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
        let reply_queue = unique("floor.replies");
        channel.queue_declare(reply_queue.as_str().into(), exclusive, FieldTable::default()).await?;
        let mut replies = channel
            .basic_consume(reply_queue.as_str().into(), "".into(), NO_ACK, FieldTable::default())
            .await?;
        let waiting: Arc<Vec<Mutex<Option<oneshot::Sender<()>>>>> =
            Arc::new((0..PLACES).map(|_| Mutex::default()).collect());
        let places = Arc::clone(&waiting);
        tokio::spawn(async move {
            while let Some(Ok(reply)) = replies.next().await {
                let place = reply.properties.correlation_id().as_ref();
                let place = place.and_then(|id| id.as_str().parse::<usize>().ok());
                let Some(place) = place.and_then(|place| places.get(place)) else { continue };
                if let Some(sender) = place.lock().await.take() {
                    let _ = sender.send(());
                }
            }
        });
        let request = vec![b'x'; request_bytes];
        Ok(Self { process, _connection: connection, channel, queue, reply_queue, waiting, request })
    }

    /// The process that replies. Requests are sent by this process.
    pub(crate) fn watched(&self, rabbitmq: &RabbitMq) -> Result<Watched> {
        let rabbitmq = rabbitmq.id().context("RabbitMQ has ended")?;
        Ok(vec![("floor", self.process.id()), ("client", std::process::id()), ("RabbitMQ", rabbitmq)])
    }

    /// Sends requests one after the other from so many tasks, for a while; returns how many there were too.
    pub(crate) async fn run(&self, concurrency: usize, time: Duration) -> Result<(Figures, usize)> {
        let begin = Instant::now();
        let tasks = (0..concurrency.min(PLACES)).map(async |place| {
            let mut latencies = Vec::new();
            while begin.elapsed() < time {
                let sent = Instant::now();
                self.call(place).await?;
                latencies.push(sent.elapsed().as_secs_f64() * 1e3);
            }
            anyhow::Ok(latencies)
        });
        let latencies = futures::future::try_join_all(tasks).await?.concat();
        let seconds = begin.elapsed().as_secs_f64();
        let operations = latencies.len();
        Ok((Figures::default().with_rate(operations, seconds).with_latencies(latencies), operations))
    }

    async fn call(&self, place: usize) -> Result<()> {
        let (sender, replied) = oneshot::channel();
        *self.waiting[place].lock().await = Some(sender);
        let properties = BasicProperties::default()
            .with_reply_to(self.reply_queue.as_str().into())
            .with_correlation_id(place.to_string().into());
        let options = BasicPublishOptions::default();
        let queue = self.queue.as_str().into();
        self.channel.basic_publish("".into(), queue, options, &self.request, properties).await?;
        Ok(tokio::time::timeout(Duration::from_secs(30), replied).await.context("no reply in 30 s")??)
    }
}
