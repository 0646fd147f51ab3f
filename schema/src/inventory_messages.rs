//! The requests to inventory-service, and its answers.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::cursor::ProductCursor;
use crate::domain_error::{DomainError, DomainErrorCode};
use crate::ids::{OrderId, ProductId};
use crate::limits::{
    PRICE_MAX_MINOR, PRODUCT_DESCRIPTION_MAX_CHARS, PRODUCT_NAME_MAX_CHARS, SEARCH_MAX_CHARS,
    first_text_error,
};
use crate::money::Money;
use crate::order::Shortfall;
use crate::order_messages::Item;
use crate::page::{Page, PageBounds};
use crate::product::Product;

/// Asks for a page of the catalogue, by id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListProducts {
    /// Only products whose name or description contain it, case-insensitively.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<String>,
    /// Which page, by [`crate::cursor::ProductCursor`]s.
    #[serde(default)]
    pub page: Page,
}

impl ListProducts {
    /// Reads what to list; INVALID_INPUT also for a search that is blank or too long.
    pub fn bounds(&self) -> Result<PageBounds<ProductCursor>, DomainError> {
        let bounds = self.page.bounds(|text| ProductCursor::decode(text).ok())?;
        let search = self.search.as_deref().map(|search| (search, SEARCH_MAX_CHARS, false, "search"));
        first_text_error(search).map_or(Ok(bounds), Err)
    }
}

/// A page of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProductPage {
    /// The products, by id.
    pub products: Vec<Product>,
    /// Whether more follow.
    pub has_next_page: bool,
    /// Whether some precede.
    pub has_previous_page: bool,
}

/// Asks to hold stock for one order: everything or nothing, once per order id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reserve {
    /// For which order.
    pub order_id: OrderId,
    /// What the order's input was: another one under the same attempt is a conflict.
    pub fingerprint: String,
    /// Grows when an order has to reserve afresh; a greater one supersedes a lesser one's hold.
    pub attempt: u32,
    /// What to hold.
    pub items: Vec<Item>,
}

/// What became of a [`Reserve`]; as a string, the outcome that metrics count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
#[serde(tag = "outcome", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Reserved {
    /// Held, at these names and prices.
    Reserved {
        /// One for each requested product.
        items: Vec<ReservedItem>,
    },
    /// Too little of at least one product; nothing is held. Still priced, so that the order can be.
    OutOfStock {
        /// What was missing.
        shortfalls: Vec<Shortfall>,
        /// Names and prices of all requested products.
        items: Vec<ReservedItem>,
    },
    /// Products that the catalogue doesn't have; nothing is held.
    UnknownProducts {
        /// Which.
        product_ids: Vec<ProductId>,
    },
    /// The order's stock is settled, or a later attempt holds it; nothing was taken. Read the order again.
    Closed,
    /// Another input under the same order id and attempt holds stock; nothing was taken.
    Conflict,
}

/// A product as it was priced for an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReservedItem {
    /// Which.
    pub product_id: ProductId,
    /// Units held, or requested.
    pub quantity: u32,
    /// Its name now.
    pub name: String,
    /// Its price now.
    pub unit_price: Money,
}

/// Brings stock in, or writes it off; once per adjustment id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Adjust {
    /// A repeat under one id answers the product and changes nothing.
    pub adjustment_id: Uuid,
    /// Of which product.
    pub product_id: ProductId,
    /// Units to add; negative to remove.
    pub by: i64,
    /// Why, for the ledger.
    pub reason: String,
}

/// The answer to an [`Adjust`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Adjusted {
    /// The product as it is now.
    #[serde(flatten)]
    pub product: Product,
    /// Whether the adjustment had been made before, and this request changed nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub repeated: bool,
}

/// Puts a product into the catalogue, or changes its name, description or price. Stock comes by [`Adjust`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PutProduct {
    /// Its id.
    pub id: ProductId,
    /// What it is called.
    pub name: String,
    /// What it is.
    pub description: String,
    /// What one unit costs, in the service's currency.
    pub unit_price: Money,
}

impl PutProduct {
    /// Returns the first error of a field out of bounds, if any. inventory-service checks the currency.
    pub fn validate(&self) -> Option<DomainError> {
        let text = first_text_error([
            (self.name.as_str(), PRODUCT_NAME_MAX_CHARS, false, "name"),
            (&self.description, PRODUCT_DESCRIPTION_MAX_CHARS, true, "description"),
        ]);
        let unpriceable = || {
            let dearest = Money { amount_minor: PRICE_MAX_MINOR, ..self.unit_price };
            let message = format!("unitPrice must be 0 to {}", dearest.to_decimal());
            DomainError::at(DomainErrorCode::InvalidInput, message, ["unitPrice"])
        };
        let fits = (0..=PRICE_MAX_MINOR).contains(&self.unit_price.amount_minor);
        text.or_else(|| (!fits).then(unpriceable))
    }
}

/// The facts that an audit compares: every product whose stock is inconsistent, and a page of reservations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StockAudited {
    /// Products whose row, ledger and held reservations disagree, at most 500.
    pub mismatches: Vec<StockMismatch>,
    /// A page of reservations, by order id.
    pub reservations: Vec<AuditedReservation>,
    /// Whether more follow.
    pub has_more: bool,
}

/// Asks for the units of a product that could be ordered at some time, by the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StockLevels {
    /// Which product.
    pub product_id: ProductId,
    /// How many milliseconds ago: clocks may differ, durations don't.
    pub ago_ms: u64,
    /// So many milliseconds more and less.
    pub within_ms: u64,
}

/// A product whose row, ledger and held reservations disagree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StockMismatch {
    /// Which.
    pub product_id: ProductId,
    /// On hand by its row.
    pub on_hand: i64,
    /// Reserved by its row.
    pub reserved: i64,
    /// On hand by the ledger.
    pub ledger_on_hand: i64,
    /// Reserved by the ledger.
    pub ledger_reserved: i64,
    /// Units in held reservations.
    pub held: i64,
}

/// One order's reservation as an audit sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditedReservation {
    /// For which order.
    pub order_id: OrderId,
    /// Where it stands.
    pub state: ReservationState,
    /// The highest order version applied.
    pub version: u32,
    /// What it holds, held or has deducted.
    pub items: Vec<Item>,
}

/// Where an order's stock stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[derive(strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "camelCase")]
pub enum ReservationState {
    /// Set aside.
    Held,
    /// Gone out with the shipment.
    Deducted,
    /// Given back by an order event; nothing can be held for this order any more.
    Released,
    /// Given back because no order came of it; a later attempt may hold again.
    Void,
}

impl ReservationState {
    /// The name in the database and on the wire.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
