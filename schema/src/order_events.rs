//! The events that order-service publishes.

use serde::{Deserialize, Serialize};

use crate::ids::{CustomerId, OrderId};
use crate::order::{Order, OrderStatus};
use crate::time::Timestamp;

/// What happened to an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(prefix = "order.", serialize_all = "snake_case")]
pub enum EventKind {
    /// It was stored, in whichever status.
    Created,
    /// Its status moved.
    StatusChanged,
    /// Address or tracking changed, its status did not.
    DetailsChanged,
    /// It was deleted.
    Deleted,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Created, Self::StatusChanged, Self::DetailsChanged, Self::Deleted];

    /// The pattern, and type, of the event's message.
    pub fn pattern(self) -> &'static str {
        self.into()
    }

    /// The kind that a pattern names.
    pub fn from_pattern(pattern: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.pattern() == pattern)
    }
}

/// One change of one order, with the whole order as it stood right after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderEvent {
    /// Its place in the one sequence of all events: from 1, without holes.
    pub position: i64,
    /// What happened. The message's pattern names it too, and counts if a service in another language left this out.
    pub kind: EventKind,
    /// Which order.
    pub order_id: OrderId,
    /// Whose.
    pub customer_id: CustomerId,
    /// The version that it made.
    pub version: u32,
    /// The status before, if the event changed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_status: Option<OrderStatus>,
    /// When, by order-service's clock.
    pub occurred_at: Timestamp,
    /// The order right after the event; a deleted order as it last was.
    pub order: Order,
}

/// The routing key of an order's event: `order.<shard>.<pattern's last word>`. The shard is a stable hash of the customer
/// id, 00 to 63, so that a consumer can take a part of all customers without missing any update of those.
pub fn routing_key(customer_id: &CustomerId, kind: EventKind) -> String {
    let shard = blake3::hash(customer_id.as_str().as_bytes()).as_bytes()[0] % 64;
    let word = kind.pattern().trim_start_matches("order.");
    format!("order.{shard:02}.{word}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_reads_back_from_its_pattern() {
        for kind in EventKind::ALL {
            assert_eq!(EventKind::from_pattern(kind.pattern()), Some(kind));
        }
        assert_eq!(EventKind::from_pattern("order.status_changed"), Some(EventKind::StatusChanged));
        assert_eq!(EventKind::from_pattern("order.create"), None);
    }

    #[test]
    fn a_customers_events_share_a_shard() {
        let customer: CustomerId = "CUST01".parse().unwrap();
        let created = routing_key(&customer, EventKind::Created);
        let deleted = routing_key(&customer, EventKind::Deleted);
        assert_eq!(created.split('.').nth(1), deleted.split('.').nth(1));
        assert!(deleted.ends_with(".deleted"), "{deleted}");
        assert_eq!(created, routing_key(&customer, EventKind::Created));
    }
}
