//! An order as order-service shows it to other processes.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ids::{CustomerId, OrderId, ProductId};
use crate::money::Money;
use crate::time::Timestamp;

/// The state of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[derive(strum::Display, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum OrderStatus {
    /// Accepted and durable; not yet checked against inventory and customer.
    Pending,
    /// Stock reserved, priced, being prepared.
    Processing,
    /// On its way.
    Shipped,
    /// Arrived.
    Delivered,
    /// Withdrawn; its stock is released.
    Cancelled,
    /// Refused, with a [`Rejection`].
    Rejected,
}

impl OrderStatus {
    /// Every status, in the order of the public schema.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Processing, Self::Shipped, Self::Delivered, Self::Cancelled, Self::Rejected];

    /// The name on the wire, in the database and in the API.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A whole order, as the wire carries it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// Its id.
    pub id: OrderId,
    /// Whose it is.
    pub customer_id: CustomerId,
    /// Its state.
    pub status: OrderStatus,
    /// Counts its changes, from 1; 0 only in an answer given before order-service's.
    pub version: u32,
    /// The digest of the creating input, see [`crate::order_messages::request_fingerprint`].
    pub fingerprint: String,
    /// One line a product, in the order given.
    pub line_items: Vec<LineItem>,
    /// Null while PENDING, and if an unknown product made it impossible to price.
    pub total_amount: Option<Money>,
    /// Null only while PENDING with the customer's own address still to be looked up.
    pub shipping_address: Option<String>,
    /// Who carries it.
    pub tracking_company: Option<String>,
    /// Under which number.
    pub tracking_number: Option<String>,
    /// Set if and only if the status is REJECTED.
    pub rejection: Option<Rejection>,
    /// When it was placed, by the gateway's clock.
    pub created_at: Timestamp,
    /// When this version came to be, by order-service's clock.
    pub updated_at: Timestamp,
}

/// One product of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LineItem {
    /// Derived from order and product, see [`crate::ids::line_item_id`].
    pub id: Uuid,
    /// What was ordered.
    pub product_id: ProductId,
    /// The product's name when it was ordered; null until priced.
    pub product_name: Option<String>,
    /// 1 to 10000.
    pub quantity: u32,
    /// The price when it was ordered; null until priced.
    pub unit_price: Option<Money>,
}

/// Why an order was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rejection {
    /// The kind of reason.
    pub code: RejectionCode,
    /// The reason in words, for the customer to read.
    pub message: String,
    /// With OUT_OF_STOCK: what was missing. Empty otherwise.
    #[serde(default)]
    pub shortfalls: Vec<Shortfall>,
}

/// The kinds of reason an order is refused for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RejectionCode {
    /// Too little stock of at least one product.
    OutOfStock,
    /// The catalogue has no such product, or none with a price that the order can be totalled with.
    UnknownProduct,
    /// There is no such customer.
    UnknownCustomer,
    /// PENDING for longer than order-service allows.
    Expired,
}

/// How far stock fell short for one product of a refused order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shortfall {
    /// Which product.
    pub product_id: ProductId,
    /// Units requested.
    pub requested: u32,
    /// Units available when it was decided.
    pub available: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_reads_back_from_its_name() {
        for status in OrderStatus::ALL {
            assert_eq!(status.as_str().parse(), Ok(status));
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
        assert!("LOST".parse::<OrderStatus>().is_err());
    }
}
