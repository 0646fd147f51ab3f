//! Ids of orders, line items, products and customers.

use serde::{Deserialize, Serialize};
use std::str::FromStr;
use uuid::Uuid;

use crate::limits::{ID_MAX_CHARS, has_control_character};

/// The space of all ids that are derived from names rather than drawn.
const NAMESPACE: Uuid = Uuid::from_u128(0x6f0b_1f52_9c7e_4c1b_8d3a_57a1_6b11_0001);

/// Why a text is no id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// Not a hyphenated UUID.
    #[error("not a UUID")]
    NotAUuid,
    /// Empty, longer than 64 characters, or with control characters.
    #[error("must have 1 to 64 characters and no control characters")]
    NotAnOpaqueId,
}

/// An order's id: a UUIDv7, or for an order with an idempotency key a UUIDv5 of customer and key.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, derive_more::Display,
)]
#[serde(transparent)]
pub struct OrderId(pub Uuid);

impl OrderId {
    /// The one order that `key` can ever name for this customer. Parts are length-prefixed, so that no two pairs of
    /// customer and key read as the same name.
    pub fn for_idempotency_key(customer_id: &CustomerId, key: &str) -> Self {
        Self(derived("order", &[customer_id.as_str(), key]))
    }
}

impl FromStr for OrderId {
    type Err = InvalidId;

    /// Takes the hyphenated form alone, so that an order has one spelling in caches and logs.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let hyphenated = text.len() == uuid::fmt::Hyphenated::LENGTH;
        Uuid::try_parse(text).ok().filter(|_| hyphenated).map(Self).ok_or(InvalidId::NotAUuid)
    }
}

/// A line item's id, derived from its order and product: it never changes.
pub fn line_item_id(order_id: OrderId, product_id: &ProductId) -> Uuid {
    derived("line", &[&order_id.to_string(), product_id.as_str()])
}

fn derived(kind: &str, parts: &[&str]) -> Uuid {
    let mut name = String::from(kind);
    for part in parts {
        name.push_str(&format!("|{}:{part}", part.len()));
    }
    Uuid::new_v5(&NAMESPACE, name.as_bytes())
}

macro_rules! opaque_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[derive(derive_more::AsRef, derive_more::Display, derive_more::Into)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(#[as_ref(str)] String);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                let chars = text.chars().take(ID_MAX_CHARS + 1).count();
                if chars == 0 || chars > ID_MAX_CHARS || has_control_character(&text) {
                    return Err(InvalidId::NotAnOpaqueId);
                }
                Ok(Self(text))
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::try_from(text.to_owned())
            }
        }
    };
}

opaque_id!(
    /// A customer's id: opaque, 1 to 64 characters, the `sub` of their token.
    CustomerId
);
opaque_id!(
    /// A product's id: opaque, 1 to 64 characters.
    ProductId
);

#[cfg(test)]
mod tests {
    use super::*;

    fn customer(id: &str) -> CustomerId {
        id.parse().unwrap()
    }

    #[test]
    fn one_customer_and_key_always_name_one_order() {
        let first = OrderId::for_idempotency_key(&customer("CUST01"), "x");
        assert_eq!(first, OrderId::for_idempotency_key(&customer("CUST01"), "x"));
        assert_ne!(first, OrderId::for_idempotency_key(&customer("CUST0"), "1x"));
        assert_ne!(first, OrderId::for_idempotency_key(&customer("CUST02"), "x"));
    }

    #[test]
    fn line_item_ids_differ_by_order_and_product() {
        let order = OrderId::for_idempotency_key(&customer("CUST01"), "x");
        let [mug, tray] = ["PROD01", "PROD02"].map(|id| id.parse::<ProductId>().unwrap());
        assert_eq!(line_item_id(order, &mug), line_item_id(order, &mug));
        assert_ne!(line_item_id(order, &mug), line_item_id(order, &tray));
    }

    #[test]
    fn an_order_id_has_one_spelling() {
        let id = OrderId::for_idempotency_key(&customer("CUST01"), "x");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.0.simple().to_string().parse::<OrderId>(), Err(InvalidId::NotAUuid));
        assert_eq!("".parse::<OrderId>(), Err(InvalidId::NotAUuid));
    }

    #[test]
    fn opaque_ids_have_1_to_64_characters_and_no_control_characters() {
        assert!("é".repeat(64).parse::<ProductId>().is_ok());
        for bad in [String::new(), "a".repeat(65), "a\0b".to_owned(), "a\nb".to_owned()] {
            assert_eq!(bad.parse::<ProductId>(), Err(InvalidId::NotAnOpaqueId), "{bad:?}");
        }
    }
}
