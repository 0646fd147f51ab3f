//! A subscriber that drops its connection now and then, resumes from its last cursor, and records what it receives.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::{Value, json};
use testkit::Received;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use uuid::Uuid;

use super::Api;

const UPDATES: &str = "subscription ($after: String) {
    orderUpdated(after: $after) { cursor kind orderId version status previousStatus } }";

/// How long one connection is used.
const LIFETIME_MS: std::ops::Range<u64> = 2_000..10_000;
/// How long opening and initialising a connection may take before the subscriber tries another one.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(5);

/// One update, as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) order_id: Uuid,
    pub(crate) version: i64,
    pub(crate) status: String,
}

/// What a subscriber writes down.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notes {
    pub(crate) seen: Vec<Seen>,
    /// Errors that no reconnecting can help, such as a cursor that is refused.
    pub(crate) complaints: Vec<String>,
    pub(crate) connections: u64,
}

/// Follows all orders of one customer until dropped.
pub(crate) struct Subscriber {
    pub(crate) customer: String,
    /// It sees what comes after this version of this order.
    pub(crate) from: (Uuid, i64),
    notes: Arc<Mutex<Notes>>,
    task: AbortHandle,
}

impl Subscriber {
    pub(super) fn start(api: Api, from: (Uuid, i64), cursor: String) -> Self {
        let notes = Arc::new(Mutex::new(Notes::default()));
        let customer = api.customer().to_owned();
        let task = tokio::spawn(follow(api, cursor, Arc::clone(&notes))).abort_handle();
        Self { customer, from, notes, task }
    }

    /// What it has seen so far.
    pub(crate) fn notes(&self) -> Notes {
        self.notes.lock().unwrap().clone()
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(api: Api, mut cursor: String, notes: Arc<Mutex<Notes>>) {
    loop {
        // Whatever ends a connection, the next one goes on from the last cursor.
        drop(connection(&api, &mut cursor, &notes).await);
        sleep(Duration::from_millis(rand::random_range(20..200))).await;
    }
}

async fn connection(api: &Api, cursor: &mut String, notes: &Mutex<Notes>) -> Result<()> {
    let mut socket = timeout(HANDSHAKE_LIMIT, api.gateway().connect()).await??;
    socket.try_subscribe("updates", UPDATES, &json!({ "after": cursor })).await?;
    notes.lock().unwrap().connections += 1;

    let end = Instant::now() + Duration::from_millis(rand::random_range(LIFETIME_MS));
    while let Ok(received) = timeout_at(end, socket.try_receive()).await {
        let Received::Message(message) = received? else { return Ok(()) };
        match message["type"].as_str() {
            Some("next") => note(&message["payload"], cursor, notes)?,
            Some("error") => return complain(&message["payload"][0], notes),
            Some("complete") => return Ok(()),
            _ => {}
        }
    }
    Ok(())
}

fn note(payload: &Value, cursor: &mut String, notes: &Mutex<Notes>) -> Result<()> {
    if let Some(error) = payload["errors"].get(0) {
        return complain(error, notes);
    }
    let update = &payload["data"]["orderUpdated"];
    let seen = Seen {
        order_id: serde_json::from_value(update["orderId"].clone())?,
        version: serde_json::from_value(update["version"].clone())?,
        status: serde_json::from_value(update["status"].clone())?,
    };
    *cursor = serde_json::from_value(update["cursor"].clone())?;
    notes.lock().unwrap().seen.push(seen);
    Ok(())
}

/// An error that may pass is what reconnecting is for; any other is written down.
fn complain(error: &Value, notes: &Mutex<Notes>) -> Result<()> {
    if error["extensions"]["retryable"] != json!(true) {
        let mut notes = notes.lock().unwrap();
        // One that repeats at each connection says no more the second time.
        let complaint = error.to_string();
        if notes.complaints.len() < 10 {
            notes.complaints.push(complaint);
        }
    }
    bail!("the subscription ended: {error}")
}
