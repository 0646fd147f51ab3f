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

impl Order {
    /// An upper bound of the bytes that it takes as JSON, without writing it.
    pub fn json_bytes_max(&self) -> usize {
        let text = |text: &Option<String>| text.as_deref().map_or(0, json_text_bytes_max);
        let line = |line: &LineItem| {
            LINE_JSON_BYTES + json_text_bytes_max(line.product_id.as_str()) + text(&line.product_name)
        };
        let rejection = |rejection: &Rejection| {
            let shortfall = |shortfall: &Shortfall| {
                SHORTFALL_JSON_BYTES + json_text_bytes_max(shortfall.product_id.as_str())
            };
            json_text_bytes_max(&rejection.message)
                + rejection.shortfalls.iter().map(shortfall).sum::<usize>()
        };
        ORDER_JSON_BYTES
            + json_text_bytes_max(self.customer_id.as_str())
            + json_text_bytes_max(&self.fingerprint)
            + text(&self.shipping_address)
            + text(&self.tracking_company)
            + text(&self.tracking_number)
            + self.line_items.iter().map(line).sum::<usize>()
            + self.rejection.as_ref().map_or(0, rejection)
    }
}

/// The bytes that everything of an order takes as JSON but its texts and lines.
const ORDER_JSON_BYTES: usize = 700;
/// The bytes that everything of a line takes as JSON but its texts.
const LINE_JSON_BYTES: usize = 220;
/// The bytes that everything of a shortfall takes as JSON but its product.
const SHORTFALL_JSON_BYTES: usize = 80;

/// An upper bound of a text's bytes in JSON: quotes, backslashes and line breaks are written as two.
pub fn json_text_bytes_max(text: &str) -> usize {
    2 * text.len()
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

    use crate::money::Currency;

    #[test]
    fn no_order_takes_more_bytes_than_its_bound() {
        let text = |characters: usize| "\"\\\n🏠".chars().cycle().take(characters).collect::<String>();
        let (price, at) =
            (Money { amount_minor: i64::MIN, currency: Currency::USD }, Timestamp::from_unix_ms(0).unwrap());
        let line = |number: usize| LineItem {
            id: Uuid::from_u128(number as u128),
            product_id: format!("{number}{}", "\"".repeat(60)).parse().unwrap(),
            product_name: Some(text(200)),
            quantity: u32::MAX,
            unit_price: Some(price),
        };
        let shortfall = |number: usize| Shortfall {
            product_id: line(number).product_id,
            requested: u32::MAX,
            available: u32::MAX,
        };
        let mut order = Order {
            id: "019ab1f0-7b2a-7c3d-8e4f-5a6b7c8d9e0f".parse().unwrap(),
            customer_id: "\\".repeat(64).parse().unwrap(),
            status: OrderStatus::Processing,
            version: u32::MAX,
            fingerprint: "b3:".to_owned() + &"f".repeat(64),
            line_items: (0..100).map(line).collect(),
            total_amount: Some(price),
            shipping_address: Some(text(500)),
            tracking_company: Some(text(100)),
            tracking_number: Some(text(100)),
            rejection: None,
            created_at: at,
            updated_at: at,
        };
        let fits = |order: &Order| serde_json::to_string(order).unwrap().len() <= order.json_bytes_max();
        assert!(fits(&order));
        let shortfalls = (0..100).map(shortfall).collect();
        order.rejection =
            Some(Rejection { code: RejectionCode::UnknownCustomer, message: text(300), shortfalls });
        assert!(fits(&order));
        order.line_items.clear();
        assert!(fits(&order));
    }
}
