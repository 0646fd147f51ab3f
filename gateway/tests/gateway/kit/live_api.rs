//! The API with live events, and subscriptions to it.

use bus::events::EventSignal;
use bus::heartbeat::Heartbeat;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use gateway::auth::Viewer;
use gateway::subscriptions::SubscriptionSettings;
use schema::cursor::UpdateCursor;
use schema::ids::OrderId;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::WAIT_LIMIT;
use super::api::{TestApi, quick_backoff, test_api_with};

/// An API that receives only the live events that a test publishes.
pub(crate) struct LiveApi {
    pub(crate) test: TestApi,
    pub(crate) signals: mpsc::Sender<EventSignal>,
    _running: DropGuard,
}

/// An API that receives live events already, and requests the head only if a test says so.
pub(crate) async fn live_api_with(settings: SubscriptionSettings) -> LiveApi {
    listening(test_api_with(settings)).await
}

pub(crate) async fn listening(test: TestApi) -> LiveApi {
    let live = not_listening(test);
    live.signals.send(EventSignal::Listening).await.unwrap();
    live.until_subscriptions_are_available().await;
    live
}

pub(crate) async fn live_api() -> LiveApi {
    live_api_with(SubscriptionSettings {
        head_interval: WAIT_LIMIT,
        backoff: quick_backoff(),
        ..SubscriptionSettings::default()
    })
    .await
}

pub(crate) fn not_listening(test: TestApi) -> LiveApi {
    let (signals, mut receiver) = mpsc::channel(1_000);
    let stop = CancellationToken::new();
    let (api, running) = (test.api.clone(), stop.clone());
    let source = stream::poll_fn(move |cx| receiver.poll_recv(cx));
    tokio::spawn(async move { api.run_subscription(source, Heartbeat::new(), running).await });
    LiveApi { test, signals, _running: stop.drop_guard() }
}

pub(crate) fn after(order_id: OrderId, version: u32) -> String {
    format!("(after: \"{}\")", UpdateCursor { order_id, version }.encode())
}

pub(crate) type Updates = BoxStream<'static, Value>;

impl LiveApi {
    pub(crate) async fn until_subscriptions_are_available(&self) {
        let knows = async {
            while !self.test.api.subscriptions_are_available() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(WAIT_LIMIT, knows).await.unwrap();
    }

    /// Publishes a stored event live.
    pub(crate) async fn publish(&self, position: i64) {
        let event = self.test.services.data.lock().unwrap().events[position as usize - 1].clone();
        self.signals.send(EventSignal::Event(Box::new(event))).await.unwrap();
    }

    /// Publishes every event that is stored after a position live.
    pub(crate) async fn publish_after(&self, position: i64) {
        for position in position + 1..=self.head() {
            self.publish(position).await;
        }
    }

    pub(crate) fn head(&self) -> i64 {
        self.test.services.data.lock().unwrap().events.len() as i64
    }

    /// Changes an order; answers the event's position.
    pub(crate) fn touch(&self, id: OrderId) -> i64 {
        let number = self.head();
        let change = |order: &mut schema::order::Order| order.tracking_number = Some(number.to_string());
        self.test.services.data.lock().unwrap().change(id, change).position
    }

    pub(crate) fn touch_times(&self, id: OrderId, times: usize) {
        for _ in 0..times {
            self.touch(id);
        }
    }

    /// A subscription that has begun: whatever happens from here on is an update.
    pub(crate) async fn watch(&self, caller: Option<Viewer>, arguments: &str) -> Updates {
        let query = format!("subscription {{ orderUpdated{arguments} {{ orderId version kind cursor }} }}");
        started(self.test.subscribe(caller, &query)).await
    }
}

/// A stream does nothing before it is polled.
pub(crate) async fn started(mut updates: Updates) -> Updates {
    let first = futures::poll!(updates.next());
    match first {
        std::task::Poll::Pending => updates,
        std::task::Poll::Ready(first) => futures::stream::iter(first).chain(updates).boxed(),
    }
}

pub(crate) async fn next(updates: &mut Updates) -> Value {
    tokio::time::timeout(WAIT_LIMIT, updates.next()).await.unwrap().unwrap()
}

pub(crate) async fn next_version(updates: &mut Updates) -> i64 {
    let update = next(updates).await;
    update["data"]["orderUpdated"]["version"].as_i64().unwrap_or_else(|| panic!("{update}"))
}

pub(crate) async fn versions(updates: &mut Updates, count: usize) -> Vec<i64> {
    let mut versions = Vec::new();
    for _ in 0..count {
        versions.push(next_version(updates).await);
    }
    versions
}

/// The subscription's only result is this error.
pub(crate) async fn refused(mut updates: Updates) -> Value {
    let result = next(&mut updates).await;
    assert_eq!(result["data"], Value::Null);
    assert!(updates.next().await.is_none());
    assert_eq!(result["errors"][0]["path"], json!(["orderUpdated"]));
    result["errors"][0]["extensions"].clone()
}
