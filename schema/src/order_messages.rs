//! What order-service is asked and told, and what it answers.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain_error::{DomainError, DomainErrorCode};
use crate::ids::{CustomerId, OrderId, ProductId};
use crate::limits::{
    IDEMPOTENCY_KEY_MAX_CHARS, ORDER_MAX_ITEMS, QUANTITY_MAX, SHIPPING_ADDRESS_MAX_CHARS, validate_text,
};
use crate::order::{Order, OrderStatus};
use crate::order_events::{EventKind, OrderEvent};
use crate::page::Page;
use crate::time::Timestamp;

/// Whose orders are in reach. A message without it is refused, so that nobody forgets to ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OrderScope {
    /// `"any"`: only where the caller's scopes allow it.
    #[serde(rename = "any")]
    Any,
    /// `{"customerId": "CUST01"}`: that customer's alone.
    #[serde(untagged)]
    Customer {
        /// The customer.
        #[serde(rename = "customerId")]
        customer_id: CustomerId,
    },
}

impl OrderScope {
    /// Whether this customer's orders are in reach.
    pub fn includes(&self, customer: &CustomerId) -> bool {
        match self {
            Self::Any => true,
            Self::Customer { customer_id } => customer_id == customer,
        }
    }
}

/// One product of an order to be placed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// Which.
    pub product_id: ProductId,
    /// How many, 1 to 10000.
    pub quantity: u32,
}

/// The command `order.create`: place this order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateOrder {
    /// The order's id, chosen by the sender: sending again under one id makes one order.
    pub order_id: OrderId,
    /// Whose order it is.
    pub customer_id: CustomerId,
    /// What is ordered.
    pub items: Vec<Item>,
    /// Where it goes; the customer's own address where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipping_address: Option<String>,
    /// The key that the id was derived from, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// When it was placed, by the sender's clock.
    pub placed_at: Timestamp,
}

impl CreateOrder {
    /// Everything that is out of bounds, each with the path of the public input's field.
    pub fn validate(&self) -> Vec<DomainError> {
        let mut faults = Vec::new();
        let mut fault = |code, message: String, field: &[&str]| {
            let field = ["input"].iter().chain(field).copied();
            faults.push(DomainError::at(code, message, field));
        };
        if self.items.is_empty() || self.items.len() > ORDER_MAX_ITEMS {
            let message = format!("an order has 1 to {ORDER_MAX_ITEMS} items");
            fault(DomainErrorCode::InvalidInput, message, &["items"]);
        }
        let mut seen = std::collections::HashSet::new();
        for (index, item) in self.items.iter().take(ORDER_MAX_ITEMS).enumerate() {
            let index = index.to_string();
            if item.quantity < 1 || item.quantity > QUANTITY_MAX {
                let message = format!("must be 1 to {QUANTITY_MAX}");
                fault(DomainErrorCode::InvalidInput, message, &["items", &index, "quantity"]);
            }
            if !seen.insert(&item.product_id) {
                let message = format!("product {} appears more than once", item.product_id);
                fault(DomainErrorCode::DuplicateProduct, message, &["items", &index, "productId"]);
            }
        }
        let texts = [
            (&self.shipping_address, SHIPPING_ADDRESS_MAX_CHARS, true, "shippingAddress"),
            (&self.idempotency_key, IDEMPOTENCY_KEY_MAX_CHARS, false, "idempotencyKey"),
        ];
        for (text, max_chars, multiline, name) in texts {
            let found = text.as_deref().and_then(|text| validate_text(text, max_chars, multiline));
            if let Some(message) = found {
                fault(DomainErrorCode::InvalidInput, message, &[name]);
            }
        }
        faults
    }
}

/// The answer to `order.create`, once its effect is committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderCreated {
    /// The order; null where the key names one that has been deleted.
    pub order: Option<Order>,
    /// Whether an earlier command had placed it.
    pub replayed: bool,
}

/// Names an order within somebody's reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderRef {
    /// Which order.
    pub order_id: OrderId,
    /// Within whose reach.
    pub owner: OrderScope,
}

/// Asks for a page of orders, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListOrders {
    /// Whose.
    pub owner: OrderScope,
    /// Only in these; an empty list matches nothing, none at all matches everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statuses: Option<Vec<OrderStatus>>,
    /// Which page, by [`crate::cursor::OrderCursor`]s.
    #[serde(default)]
    pub page: Page,
}

/// A page of orders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderPage {
    /// The orders, newest first.
    pub orders: Vec<Order>,
    /// Whether older ones follow.
    pub has_next_page: bool,
    /// Whether newer ones precede.
    pub has_previous_page: bool,
}

/// One change to one order: the body of `order.update`, `order.cancel` and `order.delete`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// Made once per mutation; a repeat under one id answers the first result.
    pub request_id: Uuid,
    /// Which order.
    pub order_id: OrderId,
    /// Within whose reach.
    pub owner: OrderScope,
    /// What to change; ignored by cancel and delete.
    #[serde(default)]
    pub changes: Changes,
    /// Refused with VERSION_CONFLICT where the order has moved on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_version: Option<u32>,
}

/// The fields that an update sets; what is left out stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Changes {
    /// The status to move to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<OrderStatus>,
    /// Where the order goes, until SHIPPED.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipping_address: Option<String>,
    /// Who carries it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracking_company: Option<String>,
    /// Under which number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracking_number: Option<String>,
}

/// One step in an order's life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    /// What happened.
    pub kind: EventKind,
    /// The version that it made.
    pub version: u32,
    /// The status after it.
    pub status: OrderStatus,
    /// The status before it, where it changed the status.
    pub previous_status: Option<OrderStatus>,
    /// When.
    pub occurred_at: Timestamp,
}

/// Where a replay starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ReplayFrom {
    /// Just past this position of the event sequence.
    Position(i64),
    /// Just past what an [`crate::cursor::UpdateCursor`] names.
    Cursor(String),
}

/// Asks for the events that follow a point, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Replay {
    /// Whose orders' events.
    pub owner: OrderScope,
    /// Only this order's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_id: Option<OrderId>,
    /// Past which point; from the head where left out, which answers no events and where the head is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<ReplayFrom>,
    /// Events at the most, up to [`crate::limits::REPLAY_MAX`].
    pub limit: u32,
}

/// Events that follow a point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replayed {
    /// What matched, in order of position, each with its position.
    pub events: Vec<OrderEvent>,
    /// Ask on from here: the last position scanned, whether it matched or not.
    pub next: i64,
    /// The last position there is. All is told once `next` equals it.
    pub head: i64,
}

/// Asks what became of an order that stock is held for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Settle {
    /// Which order.
    pub order_id: OrderId,
    /// The attempt that the hold was taken under.
    pub attempt: u32,
}

/// What became of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Settled {
    /// `"void"`: there is no such order, and none will come of this attempt.
    #[serde(rename = "void")]
    Void,
    /// The order's state.
    #[serde(untagged)]
    Order {
        /// Where it stands, or stood when it was deleted.
        status: OrderStatus,
        /// Which version that is.
        version: u32,
        /// Whether it was deleted.
        #[serde(default)]
        deleted: bool,
    },
}

/// Asks order-service for the facts that an audit compares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderAudit {
    /// Orders with an id greater than this one; from the beginning where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<OrderId>,
    /// Orders at the most, up to [`crate::limits::REQUEST_MAX_ITEMS`].
    pub limit: u32,
}

/// The facts that an audit compares, for a page of orders by id, deleted ones included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderAudited {
    /// The page.
    pub orders: Vec<AuditedOrder>,
    /// Whether more follow.
    pub has_more: bool,
    /// Events not yet published.
    pub outbox: u64,
    /// The last position.
    pub head: i64,
    /// What waits, and since when; on the first page alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backlog: Option<Backlog>,
}

/// What order-service has yet to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Backlog {
    /// The time by order-service's clock.
    pub now: Timestamp,
    /// When the oldest event happened that is not yet published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unpublished_since: Option<Timestamp>,
    /// Orders that are PENDING.
    pub pending: u64,
    /// Since when the oldest of them is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_since: Option<Timestamp>,
}

/// One order as an audit sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditedOrder {
    /// Which order.
    pub order_id: OrderId,
    /// Whose.
    pub customer_id: CustomerId,
    /// The key that named it, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// Where it stands, or stood when it was deleted.
    pub status: OrderStatus,
    /// Its version.
    pub version: u32,
    /// Whether it was deleted.
    pub deleted: bool,
    /// What it asked for.
    pub items: Vec<Item>,
    /// Its events: version and status each, oldest first.
    pub steps: Vec<HistoryEntry>,
}
