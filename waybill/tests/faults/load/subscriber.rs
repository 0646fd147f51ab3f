//! A subscriber that drops its connection now and then, resumes from its last cursor, and records what it receives.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Result, bail};
use schema::ids::OrderId;
use schema::order_messages::OrderScope;
use serde_json::{Value, json};
use testkit::Received;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use waybill::audit::OrderVersion;

use super::Api;

const UPDATES: &str = "subscription ($after: String, $allCustomers: Boolean!) {
    orderUpdated(after: $after, allCustomers: $allCustomers) { cursor kind orderId version status previousStatus } }";

/// How long one connection is used.
const LIFETIME_MS: std::ops::Range<u64> = 2_000..10_000;
/// How long opening and initialising a connection may take before the subscriber tries another one.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(5);

/// What a subscriber records.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notes {
    pub(crate) received: Vec<OrderVersion>,
    /// Errors that connecting again can't help, such as a cursor that is refused.
    pub(crate) errors: Vec<String>,
    pub(crate) connections: u64,
}

/// Follows all orders of one customer, or of all customers, until dropped.
pub(crate) struct Subscriber {
    pub(crate) scope: OrderScope,
    /// It receives what comes after this version of this order.
    pub(crate) after: (OrderId, u32),
    notes: Arc<Mutex<Notes>>,
    task: AbortHandle,
}

impl Subscriber {
    pub(super) fn start(api: Api, scope: OrderScope, after: (OrderId, u32), cursor: String) -> Self {
        let notes = Arc::new(Mutex::new(Notes::default()));
        let all_customers = scope == OrderScope::Any;
        let task = tokio::spawn(follow(api, all_customers, cursor, Arc::clone(&notes))).abort_handle();
        Self { scope, after, notes, task }
    }

    pub(crate) fn notes(&self) -> Notes {
        self.notes.lock().unwrap().clone()
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(api: Api, all_customers: bool, mut cursor: String, notes: Arc<Mutex<Notes>>) {
    loop {
        // The next connection resumes from the last cursor, for whichever reason this one ended.
        drop(connection(&api, all_customers, &mut cursor, &notes).await);
        sleep(Duration::from_millis(rand::random_range(20..200))).await;
    }
}

async fn connection(api: &Api, all_customers: bool, cursor: &mut String, notes: &Mutex<Notes>) -> Result<()> {
    let mut socket = timeout(HANDSHAKE_LIMIT, api.gateway().connect()).await??;
    socket
        .try_subscribe("updates", UPDATES, &json!({ "after": cursor, "allCustomers": all_customers }))
        .await?;
    notes.lock().unwrap().connections += 1;

    let end = Instant::now() + Duration::from_millis(rand::random_range(LIFETIME_MS));
    while let Ok(received) = timeout_at(end, socket.try_receive()).await {
        let Received::Message(message) = received? else { return Ok(()) };
        match message["type"].as_str() {
            Some("next") => note(&message["payload"], cursor, notes)?,
            Some("error") => return record_error(&message["payload"][0], notes),
            Some("complete") => return Ok(()),
            _ => {}
        }
    }
    Ok(())
}

fn note(payload: &Value, cursor: &mut String, notes: &Mutex<Notes>) -> Result<()> {
    if let Some(error) = payload["errors"].get(0) {
        return record_error(error, notes);
    }
    let update = &payload["data"]["orderUpdated"];
    let received = OrderVersion {
        order_id: serde_json::from_value(update["orderId"].clone())?,
        version: serde_json::from_value(update["version"].clone())?,
        status: serde_json::from_value(update["status"].clone())?,
    };
    *cursor = serde_json::from_value(update["cursor"].clone())?;
    notes.lock().unwrap().received.push(received);
    Ok(())
}

/// Records an error unless it is retryable, which connecting again resolves.
fn record_error(error: &Value, notes: &Mutex<Notes>) -> Result<()> {
    if error["extensions"]["retryable"] != json!(true) {
        let mut notes = notes.lock().unwrap();
        // An error that repeats at each connection adds nothing after a few times.
        if notes.errors.len() < 10 {
            notes.errors.push(error.to_string());
        }
    }
    bail!("the subscription ended: {error}")
}
