//! What was seen, before anybody judges it.

use schema::order_messages::Backlog;
use serde::{Deserialize, Serialize};

/// A system as it was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Examined {
    pub(super) broker: Broker,
    pub(super) queues: Vec<Queue>,
    /// None where the system isn't running.
    pub(super) services: Option<Vec<Service>>,
    /// As order-service tells it.
    pub(super) backlog: Option<SeenBacklog>,
    pub(super) databases: Vec<Database>,
}

impl Examined {
    /// Nothing is known but why.
    pub(super) fn unreachable(reason: String) -> Self {
        Self { broker: Broker { unreachable: Some(reason), ..Broker::default() }, ..Self::default() }
    }
}

/// The broker.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Broker {
    /// Why it could not be connected to; nothing behind it is known then.
    pub(super) unreachable: Option<String>,
    /// What it refuses to declare, naming each queue and what differs.
    pub(super) refused: Option<String>,
    /// Why it takes no publishing now.
    pub(super) blocked: Option<String>,
    /// What else went wrong with it.
    pub(super) fault: Option<String>,
}

impl Broker {
    /// Whether nothing is wrong with it.
    pub(super) fn is_well(&self) -> bool {
        *self == Self::default()
    }
}

/// A shared queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Queue {
    pub(super) name: String,
    pub(super) role: Role,
    /// None where there is no such queue.
    pub(super) depth: Option<Depth>,
}

impl Queue {
    /// Whether somebody should consume it, and nobody does.
    pub(super) fn lacks_consumers(&self) -> bool {
        let unconsumed = self.depth.is_some_and(|depth| depth.consumers == 0);
        unconsumed && matches!(self.role, Role::Requests | Role::Work)
    }
}

/// What a queue is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Role {
    Requests,
    Work,
    Retry,
    Dead,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Depth {
    pub(super) ready: u64,
    pub(super) consumers: u32,
}

/// A service that was asked something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Service {
    pub(super) name: String,
    /// How long its answer took.
    pub(super) answered_in_ms: u64,
    /// Why there is no answer.
    pub(super) fault: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SeenBacklog {
    /// Events not yet published.
    pub(super) outbox: u64,
    pub(super) backlog: Backlog,
    /// How far order-service's clock is ahead of the asker's; what half the answer's journey took is in it.
    pub(super) clock_ahead_ms: i64,
}

/// A database, under the name that the operator knows it by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Database {
    pub(super) name: String,
    /// Why it doesn't answer.
    pub(super) fault: Option<String>,
    /// The services whose tables are in it, and those of their migrations that are not applied.
    pub(super) tables: Vec<Tables>,
    /// How far its clock is ahead of the asker's.
    pub(super) clock_ahead_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Tables {
    pub(super) of: String,
    pub(super) pending_migrations: Vec<String>,
}
