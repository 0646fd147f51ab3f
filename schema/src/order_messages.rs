//! The commands and requests to order-service, and its answers.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::cursor::OrderCursor;
use crate::domain_error::{DomainError, DomainErrorCode};
use crate::ids::{CustomerId, OrderId, ProductId, line_item_id};
use crate::limits::{
    IDEMPOTENCY_KEY_MAX_CHARS, ORDER_MAX_ITEMS, PLACED_AGO_MAX, PLACED_AHEAD_MAX, QUANTITY_MAX,
    SHIPPING_ADDRESS_MAX_CHARS, TRACKING_MAX_CHARS, first_text_error, validate_text,
};
use crate::order::{LineItem, Order, OrderStatus, Rejection};
use crate::order_events::{EventKind, OrderEvent};
use crate::page::{Page, PageBounds};
use crate::time::Timestamp;

/// Whose orders a request may concern. A message without a scope is refused, so that no sender can forget it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OrderScope {
    /// `"any"`: every customer's; only if the caller's token allows it.
    #[serde(rename = "any")]
    Any,
    /// `{"customerId": "CUST01"}`: only that customer's.
    #[serde(untagged)]
    Customer {
        /// The customer.
        #[serde(rename = "customerId")]
        customer_id: CustomerId,
    },
}

impl OrderScope {
    /// Whether this customer's orders are in the scope.
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
    /// Where the order goes; the customer's own address if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipping_address: Option<String>,
    /// The key that the id was derived from, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// When it was placed, by the sender's clock.
    pub placed_at: Timestamp,
}

impl CreateOrder {
    /// Returns everything that is out of bounds, each with the path of the public input's field.
    pub fn validate(&self) -> Vec<DomainError> {
        let mut errors = Vec::new();
        let mut add = |code, message: String, field: &[&str]| {
            let field = ["input"].iter().chain(field).copied();
            errors.push(DomainError::at(code, message, field));
        };
        if self.items.is_empty() || self.items.len() > ORDER_MAX_ITEMS {
            let message = format!("an order has 1 to {ORDER_MAX_ITEMS} items");
            add(DomainErrorCode::InvalidInput, message, &["items"]);
        }
        let mut seen = std::collections::HashSet::new();
        for (index, item) in self.items.iter().take(ORDER_MAX_ITEMS).enumerate() {
            let index = index.to_string();
            if item.quantity < 1 || item.quantity > QUANTITY_MAX {
                let message = format!("must be 1 to {QUANTITY_MAX}");
                add(DomainErrorCode::InvalidInput, message, &["items", &index, "quantity"]);
            }
            if !seen.insert(&item.product_id) {
                let message = format!("product {} appears more than once", item.product_id);
                add(DomainErrorCode::DuplicateProduct, message, &["items", &index, "productId"]);
            }
        }
        errors.extend(input_texts([
            (&self.shipping_address, SHIPPING_ADDRESS_MAX_CHARS, true, "shippingAddress"),
            (&self.idempotency_key, IDEMPOTENCY_KEY_MAX_CHARS, false, "idempotencyKey"),
        ]));
        if let Some(key) = &self.idempotency_key
            && OrderId::for_idempotency_key(&self.customer_id, key) != self.order_id
        {
            let message = "the key does not name this order";
            errors.push(DomainError::at(DomainErrorCode::InvalidInput, message, ["input", "idempotencyKey"]));
        }
        errors
    }

    /// The order as it is until order-service has checked customer and stock: PENDING, without prices.
    ///
    /// It is as old as its sender says, as far as that can be by the clock of `now`; and no change is older than the order.
    pub fn pending_order(&self, version: u32, now: Timestamp) -> Order {
        let believed = now.minus(PLACED_AGO_MAX)..=now.plus(PLACED_AHEAD_MAX);
        let created_at = if believed.contains(&self.placed_at) { self.placed_at } else { now };
        let line_item = |item: &Item| LineItem {
            id: line_item_id(self.order_id, &item.product_id),
            product_id: item.product_id.clone(),
            product_name: None,
            quantity: item.quantity,
            unit_price: None,
        };
        Order {
            id: self.order_id,
            customer_id: self.customer_id.clone(),
            status: OrderStatus::Pending,
            version,
            fingerprint: request_fingerprint(&self.items, self.shipping_address.as_deref()),
            line_items: self.items.iter().map(line_item).collect(),
            total_amount: None,
            shipping_address: self.shipping_address.clone(),
            tracking_company: None,
            tracking_number: None,
            rejection: None,
            created_at,
            updated_at: now.max(created_at),
        }
    }

    /// Fails with IDEMPOTENCY_KEY_REUSED unless the stored order of this id came of the same input.
    pub fn check_same_input(&self, stored: &Order) -> Result<(), DomainError> {
        let fingerprint = request_fingerprint(&self.items, self.shipping_address.as_deref());
        if stored.fingerprint == fingerprint && stored.customer_id == self.customer_id {
            return Ok(());
        }
        let (code, field) = (DomainErrorCode::IdempotencyKeyReused, ["input", "idempotencyKey"]);
        Err(DomainError::at(code, "the key was used with another input", field))
    }
}

/// A digest of an order's input: the items, sorted by product, and the address as given. An address that was left out
/// differs from any address that was given, the customer's own included. Parts are length-prefixed, so that no two inputs
/// read as the same bytes.
pub fn request_fingerprint(items: &[Item], shipping_address: Option<&str>) -> String {
    let mut sorted: Vec<&Item> = items.iter().collect();
    sorted.sort_by(|a, b| a.product_id.cmp(&b.product_id));
    let mut hasher = blake3::Hasher::new();
    let mut part = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_be_bytes());
        hasher.update(bytes);
    };
    part(&(sorted.len() as u64).to_be_bytes());
    for item in sorted {
        part(item.product_id.as_str().as_bytes());
        part(&item.quantity.to_be_bytes());
    }
    if let Some(address) = shipping_address {
        part(address.as_bytes());
    }
    format!("b3:{}", hasher.finalize().to_hex())
}

/// The answer to `order.create`, once its effect is committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderCreated {
    /// The order; null if the key names a deleted one.
    pub order: Option<Order>,
    /// Whether an earlier command had placed it.
    pub replayed: bool,
}

/// Names an order within a scope.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderRef {
    /// Which order.
    pub order_id: OrderId,
    /// The scope of the caller.
    pub owner: OrderScope,
}

/// The body of `order.get`: an order to look up.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderLookup {
    /// Which order, within which scope.
    #[serde(flatten)]
    pub order: OrderRef,
    /// Whether a deleted order is answered as well, and what each order was created by: for the sender of an `order.create`
    /// that was not answered.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub creation: bool,
}

/// An order that was looked up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FoundOrder {
    /// The order; a deleted one as it last was.
    #[serde(flatten)]
    pub order: Order,
    /// The id of the `order.create` message that created it, if that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<Uuid>,
    /// Whether it is deleted; only if that was asked for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
}

/// Asks for a page of orders, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListOrders {
    /// Whose.
    pub owner: OrderScope,
    /// Which of them.
    #[serde(flatten)]
    pub filter: OrderFilter,
    /// Which page, by [`crate::cursor::OrderCursor`]s. A cursor is a place among all orders: it holds in any list whose
    /// scope includes its order's customer, whatever the filter.
    #[serde(default)]
    pub page: Page,
}

/// Narrows a list of orders: an order is listed if everything that is given holds for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderFilter {
    /// In one of these; an empty list matches nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statuses: Option<Vec<OrderStatus>>,
    /// With a line item of this product. Not together with a tracking number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product_id: Option<ProductId>,
    /// Under exactly this tracking number, of any carrier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracking_number: Option<String>,
    /// Ordered at this time or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placed_from: Option<Timestamp>,
    /// Ordered before this time; nothing matches if that is no later than `placed_from`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placed_before: Option<Timestamp>,
}

impl ListOrders {
    /// Reads what to list. Fails with CURSOR_INVALID for a cursor of orders beyond the scope, and with INVALID_INPUT for
    /// a filter that is out of bounds or that no index answers.
    pub fn bounds(&self) -> Result<PageBounds<OrderCursor>, DomainError> {
        self.filter.validate()?;
        self.page.bounds(|text| {
            OrderCursor::decode(text).ok().filter(|cursor| self.owner.includes(&cursor.customer_id))
        })
    }
}

impl OrderFilter {
    fn validate(&self) -> Result<(), DomainError> {
        let number = self.tracking_number.as_deref();
        if let Some(error) =
            first_text_error(number.map(|text| (text, TRACKING_MAX_CHARS, false, "trackingNumber")))
        {
            return Err(error);
        }
        if self.product_id.is_some() && self.tracking_number.is_some() {
            let message = "give productId or trackingNumber, not both";
            return Err(DomainError::at(DomainErrorCode::InvalidInput, message, ["trackingNumber"]));
        }
        Ok(())
    }

    /// Whether the order passes, by the rule that lists keep to.
    pub fn includes(&self, order: &Order) -> bool {
        self.statuses.as_ref().is_none_or(|statuses| statuses.contains(&order.status))
            && self
                .product_id
                .as_ref()
                .is_none_or(|id| order.line_items.iter().any(|line| line.product_id == *id))
            && self
                .tracking_number
                .as_ref()
                .is_none_or(|number| order.tracking_number.as_ref() == Some(number))
            && self.placed_from.is_none_or(|from| order.created_at >= from)
            && self.placed_before.is_none_or(|before| order.created_at < before)
    }
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
    /// The scope of the caller.
    pub owner: OrderScope,
    /// What to change; ignored by cancel and delete.
    #[serde(default)]
    pub changes: Changes,
    /// Refused with VERSION_CONFLICT if the order has another version.
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

impl Changes {
    /// Returns everything that is out of bounds, whatever the order, each with the path of the public input's field.
    pub fn validate(&self) -> Vec<DomainError> {
        input_texts([
            (&self.shipping_address, SHIPPING_ADDRESS_MAX_CHARS, true, "shippingAddress"),
            (&self.tracking_company, TRACKING_MAX_CHARS, false, "trackingCompany"),
            (&self.tracking_number, TRACKING_MAX_CHARS, false, "trackingNumber"),
        ])
        .collect()
    }
}

/// The errors of an input's texts: each with its most characters, whether it may have line breaks, and its field.
fn input_texts<'a, const N: usize>(
    texts: [(&'a Option<String>, usize, bool, &'static str); N],
) -> impl Iterator<Item = DomainError> + use<'a, N> {
    texts.into_iter().filter_map(|(text, max_chars, multiline, field)| {
        let message = validate_text(text.as_deref()?, max_chars, multiline)?;
        Some(DomainError::at(DomainErrorCode::InvalidInput, message, ["input", field]))
    })
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
    /// The status before it, if it changed the status.
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
    /// Past which point; without one, the answer has no events and says where the head is.
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
    /// Where the next request starts: the last position scanned, whether it matched or not.
    pub next: i64,
    /// The last position there is. No event is left once `next` equals it.
    pub head: i64,
}

/// Requests what became of an order that stock is held for.
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

/// Asks order-service, or inventory-service, for the facts that an audit compares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditPage {
    /// Orders, or reservations of orders, with an id greater than this one; from the beginning if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<OrderId>,
    /// How many at the most, up to [`crate::limits::REQUEST_MAX_ITEMS`].
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

/// The work that order-service has yet to do.
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
    /// Its items.
    pub items: Vec<Item>,
    /// Why it is REJECTED, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejection: Option<Rejection>,
    /// Its events: version and status each, oldest first.
    pub steps: Vec<HistoryEntry>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(product_id: &str, quantity: u32) -> Item {
        Item { product_id: product_id.parse().unwrap(), quantity }
    }

    #[test]
    fn an_order_is_as_old_as_its_sender_says_if_that_can_be() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let now = at("2026-11-23T19:10:51.000Z");
        for (placed_at, created_at, updated_at) in [
            ("2026-11-23T19:10:50.900Z", "2026-11-23T19:10:50.900Z", "2026-11-23T19:10:51.000Z"),
            ("2026-11-20T00:00:00.000Z", "2026-11-20T00:00:00.000Z", "2026-11-23T19:10:51.000Z"),
            // A clock that is a little ahead: no change is older than the order.
            ("2026-11-23T19:10:52.500Z", "2026-11-23T19:10:52.500Z", "2026-11-23T19:10:52.500Z"),
            ("2026-11-23T20:10:51.000Z", "2026-11-23T19:10:51.000Z", "2026-11-23T19:10:51.000Z"),
            ("9999-12-31T23:59:59.999Z", "2026-11-23T19:10:51.000Z", "2026-11-23T19:10:51.000Z"),
            ("0001-01-01T00:00:00.000Z", "2026-11-23T19:10:51.000Z", "2026-11-23T19:10:51.000Z"),
        ] {
            let create = CreateOrder {
                order_id: OrderId(Uuid::from_u128(1)),
                customer_id: "CUST01".parse().unwrap(),
                items: vec![item("A", 1)],
                shipping_address: None,
                idempotency_key: None,
                placed_at: at(placed_at),
            };
            let order = create.pending_order(1, now);
            assert_eq!((order.created_at, order.updated_at), (at(created_at), at(updated_at)), "{placed_at}");
        }
    }

    #[test]
    fn the_order_of_items_does_not_matter_and_everything_else_does() {
        let first = request_fingerprint(&[item("A", 1), item("B", 2)], None);
        assert_eq!(first, request_fingerprint(&[item("B", 2), item("A", 1)], None));
        for other in [
            request_fingerprint(&[item("A", 2), item("B", 1)], None),
            request_fingerprint(&[item("A", 1)], None),
            request_fingerprint(&[item("A", 1), item("B", 2)], Some("")),
            request_fingerprint(&[item("A", 1), item("B", 2)], Some("1 Harbour Street")),
        ] {
            assert_ne!(first, other);
        }
    }
}
