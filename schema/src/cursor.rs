//! Cursors: opaque to clients, encoded and decoded here alone.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::ids::{CustomerId, OrderId, ProductId};
use crate::time::Timestamp;

/// The text is not a cursor of this kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of this list or subscription")]
pub struct InvalidCursor;

/// A point in an order's life: everything after this version of this order follows it. It names a version rather than a
/// position in the event log, because the version is known when the change commits (0 even before), and the position is
/// not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpdateCursor {
    /// The order.
    pub order_id: OrderId,
    /// The last version seen.
    pub version: u32,
}

impl UpdateCursor {
    /// The opaque form.
    pub fn encode(&self) -> String {
        encode(&["u1", &self.order_id.to_string(), &self.version.to_string()])
    }

    /// Reads the opaque form.
    pub fn decode(text: &str) -> Result<Self, InvalidCursor> {
        let [order_id, version] = decode(text, "u1")?;
        Ok(Self {
            order_id: order_id.parse().map_err(|_| InvalidCursor)?,
            version: version.parse().map_err(|_| InvalidCursor)?,
        })
    }
}

/// A place in a list of orders, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderCursor {
    /// When the order was placed.
    pub created_at: Timestamp,
    /// The order.
    pub order_id: OrderId,
    /// The order's customer, so that a list of one customer's orders refuses another's cursor.
    pub customer_id: CustomerId,
}

impl OrderCursor {
    /// The opaque form.
    pub fn encode(&self) -> String {
        let created_at = self.created_at.unix_ms().to_string();
        encode(&["o1", &created_at, &self.order_id.to_string(), self.customer_id.as_str()])
    }

    /// Reads the opaque form.
    pub fn decode(text: &str) -> Result<Self, InvalidCursor> {
        let [created_at, order_id, customer_id] = decode(text, "o1")?;
        let created_at = created_at.parse().ok().and_then(Timestamp::from_unix_ms);
        Ok(Self {
            created_at: created_at.ok_or(InvalidCursor)?,
            order_id: order_id.parse().map_err(|_| InvalidCursor)?,
            customer_id: customer_id.parse().map_err(|_| InvalidCursor)?,
        })
    }
}

/// A place in the catalogue, by product id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProductCursor {
    /// The product.
    pub product_id: ProductId,
}

impl ProductCursor {
    /// The opaque form.
    pub fn encode(&self) -> String {
        encode(&["p1", self.product_id.as_str()])
    }

    /// Reads the opaque form.
    pub fn decode(text: &str) -> Result<Self, InvalidCursor> {
        let [product_id] = decode(text, "p1")?;
        Ok(Self { product_id: product_id.parse().map_err(|_| InvalidCursor)? })
    }
}

/// Longer than any encoded cursor: three ids of 64 characters of four bytes, in base64.
const CURSOR_MAX_BYTES: usize = 1_024;

fn encode(parts: &[&str]) -> String {
    URL_SAFE_NO_PAD.encode(parts.join("\n"))
}

/// The parts behind the kind. No part holds a line break: ids refuse control characters.
fn decode<const N: usize>(text: &str, kind: &str) -> Result<[String; N], InvalidCursor> {
    if text.len() > CURSOR_MAX_BYTES {
        return Err(InvalidCursor);
    }
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidCursor)?;
    let text = String::from_utf8(bytes).map_err(|_| InvalidCursor)?;
    let parts = text.strip_prefix(kind).and_then(|parts| parts.strip_prefix('\n')).ok_or(InvalidCursor)?;
    let parts: Vec<String> = parts.split('\n').map(str::to_owned).collect();
    parts.try_into().map_err(|_| InvalidCursor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order_id() -> OrderId {
        "019ab1f0-7b2a-7c3d-8e4f-5a6b7c8d9e0f".parse().unwrap()
    }

    #[test]
    fn cursors_read_back() {
        let update = UpdateCursor { order_id: order_id(), version: 3 };
        assert_eq!(UpdateCursor::decode(&update.encode()), Ok(update));
        let order = OrderCursor {
            created_at: "2026-11-23T19:10:51.371Z".parse().unwrap(),
            order_id: order_id(),
            customer_id: "CUST|01:é".parse().unwrap(),
        };
        assert_eq!(OrderCursor::decode(&order.encode()), Ok(order));
        let product = ProductCursor { product_id: "PROD01".parse().unwrap() };
        assert_eq!(ProductCursor::decode(&product.encode()), Ok(product));
    }

    #[test]
    fn a_text_that_is_not_a_cursor_of_the_kind_is_refused() {
        let update = UpdateCursor { order_id: order_id(), version: 3 }.encode();
        assert_eq!(OrderCursor::decode(&update), Err(InvalidCursor));
        let negative = encode(&["u1", &order_id().to_string(), "-1"]);
        let long = "A".repeat(CURSOR_MAX_BYTES + 1);
        for bad in ["", "!", "AAAA", &negative, &long] {
            assert_eq!(UpdateCursor::decode(bad), Err(InvalidCursor), "{bad}");
        }
    }
}
