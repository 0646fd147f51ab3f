//! Sockets that follow orders and record when each update reaches them.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail, ensure};
use chrono::DateTime;
use futures::{SinkExt as _, StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::system::{Gateway, OrderRef};

const UPDATES: &str = "subscription ($id: ID!) { orderUpdated(orderId: $id) { \
    cursor kind orderId version occurredAt order { id status version shippingAddress } } }";
const CHANGE: &str = "mutation ($input: UpdateOrderInput!) { updateOrder(input: $input) { \
    order { version } userErrors { code message } } }";
/// Sockets that are opened at once.
const OPENING: usize = 64;
/// By default each socket has a buffer of 128 KiB, which is much for ten thousand.
const BUFFER_BYTES: usize = 2 * 1024;
/// How long the updates of a change may take to reach every socket.
const LATEST: Duration = Duration::from_secs(60);

type Socket = WebSocketStream<TcpStream>;

/// An update that reached a socket.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Delivery {
    /// When the change was made, by its own account, in milliseconds since 1970.
    pub(crate) occurred_at: i64,
    /// From then until the socket had it, in milliseconds.
    pub(crate) after_ms: f64,
}

/// Open sockets, each with one subscription to one order.
pub(crate) struct Subscribers {
    tasks: Vec<JoinHandle<Result<()>>>,
    deliveries: Arc<Mutex<Vec<Delivery>>>,
}

impl Subscribers {
    /// Opens one socket for each of the orders, which may repeat. Subscriptions begin soon after.
    pub(crate) async fn open(gateway: &Gateway, orders: &[OrderRef]) -> Result<Self> {
        let deliveries: Arc<Mutex<Vec<Delivery>>> = Arc::default();
        let open = |order: &OrderRef| open(gateway.clone(), order.clone());
        let sockets: Vec<Socket> =
            stream::iter(orders.iter().map(open)).buffer_unordered(OPENING).try_collect().await?;
        let follow = |socket| tokio::spawn(follow(socket, Arc::clone(&deliveries)));
        Ok(Self { tasks: sockets.into_iter().map(follow).collect(), deliveries })
    }

    /// Makes changes until one of them has reached every socket: then every subscription has begun.
    pub(crate) async fn begun(&self, change: impl AsyncFn() -> Result<()>) -> Result<()> {
        const TRIES: usize = 30;
        for _ in 0..TRIES {
            let before = self.count();
            change().await?;
            if self.received(before + self.tasks.len(), Duration::from_secs(5)).await? {
                return Ok(());
            }
        }
        bail!("{} sockets don't receive every change", self.tasks.len());
    }

    /// How many updates there were.
    pub(crate) fn count(&self) -> usize {
        self.locked().len()
    }

    /// Waits until there are so many updates, or for so long; returns whether there are.
    pub(crate) async fn received(&self, updates: usize, limit: Duration) -> Result<bool> {
        let deadline = tokio::time::Instant::now() + limit.min(LATEST);
        while self.count() < updates {
            if self.tasks.iter().any(JoinHandle::is_finished) {
                bail!("a socket was closed");
            }
            if tokio::time::Instant::now() > deadline {
                return Ok(false);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(true)
    }

    /// The updates after the first ones.
    pub(crate) fn since(&self, first: usize) -> Vec<Delivery> {
        self.locked()[first..].to_vec()
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Vec<Delivery>> {
        self.deliveries.lock().expect("nothing panics while it holds this lock")
    }
}

impl Drop for Subscribers {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Changes the address of an order, for its subscribers to receive an update.
pub(crate) async fn change_address(gateway: &Gateway, order: &OrderRef, address: &str) -> Result<()> {
    let input = json!({ "id": order.id, "shippingAddress": address });
    let answer = gateway.execute(gateway.token(order.customer), CHANGE, &json!({ "input": input })).await?;
    ensure!(answer["data"]["updateOrder"]["order"]["version"].is_number(), "{answer}");
    Ok(())
}

async fn open(gateway: Gateway, order: OrderRef) -> Result<Socket> {
    let mut request = format!("ws://{}/graphql", gateway.address).into_client_request()?;
    request.headers_mut().insert("sec-websocket-protocol", "graphql-transport-ws".parse()?);
    let stream = TcpStream::connect(&gateway.address).await?;
    stream.set_nodelay(true)?;
    let config = WebSocketConfig::default().read_buffer_size(BUFFER_BYTES).write_buffer_size(0);
    let (mut socket, _) = tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await?;
    let token = format!("Bearer {}", gateway.token(order.customer));
    let init = json!({ "type": "connection_init", "payload": { "authorization": token } });
    socket.send(Message::text(init.to_string())).await?;
    let ack = socket.next().await.context("closed before connection_ack")??;
    ensure!(ack.to_text()?.contains("connection_ack"), "{ack:?}");
    let payload = json!({ "query": UPDATES, "variables": { "id": order.id } });
    let subscribe = json!({ "type": "subscribe", "id": "1", "payload": payload });
    socket.send(Message::text(subscribe.to_string())).await?;
    Ok(socket)
}

async fn follow(mut socket: Socket, deliveries: Arc<Mutex<Vec<Delivery>>>) -> Result<()> {
    while let Some(message) = socket.next().await {
        let Message::Text(text) = message? else { continue };
        let now = now_ms()?;
        let Some(occurred_at) = occurred_at(text.as_str()) else {
            ensure!(text.contains("\"ping\"") || text.contains("\"pong\""), "{text}");
            continue;
        };
        let occurred_at = DateTime::parse_from_rfc3339(occurred_at)?.timestamp_millis();
        let delivery = Delivery { occurred_at, after_ms: now - occurred_at as f64 };
        deliveries.lock().expect("nothing panics while it holds this lock").push(delivery);
    }
    bail!("the gateway closed a socket");
}

/// The time in an update, without parsing all of it.
fn occurred_at(update: &str) -> Option<&str> {
    update.split_once("\"occurredAt\":\"")?.1.split('"').next()
}

#[expect(clippy::disallowed_methods, reason = "compared with the times that the system's processes write")]
fn now_ms() -> Result<f64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64() * 1e3)
}
