//! What an audit finds.

use std::fmt;

use schema::ids::{OrderId, ProductId};
use serde::Serialize;

/// What an accepted order is promised, as far as the services' own facts can show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub(crate) enum Invariant {
    /// Every success that a client was told of is exactly one order.
    I1,
    /// Every definite error that a client was told of left nothing.
    I2,
    /// Every unknown outcome, asked again under its key, is exactly one order.
    I3,
    /// Stock agrees with the orders, and each product's books add up.
    I4,
    /// Each order's history is a legal path with versions from 1 without gaps.
    I5,
    /// Every committed event was published.
    I6,
}

impl Invariant {
    /// What it says, in a few words.
    pub(crate) fn claim(self) -> &'static str {
        match self {
            Self::I1 => "every success told is one order",
            Self::I2 => "every definite error left nothing",
            Self::I3 => "every unknown outcome is one order",
            Self::I4 => "stock agrees with the orders",
            Self::I5 => "histories are legal and without gaps",
            Self::I6 => "every event is published",
        }
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self:?}")
    }
}

/// One broken promise.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Violation {
    /// Which promise.
    pub(crate) invariant: Invariant,
    /// To which order, if to one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) order_id: Option<OrderId>,
    /// About which product, if about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) product_id: Option<ProductId>,
    /// How it is broken.
    pub(crate) message: String,
}

impl Violation {
    /// Whether two readings found the same promise to the same order, or about the same product, broken; the figures may
    /// have moved in between.
    pub(crate) fn is_about_the_same_as(&self, other: &Self) -> bool {
        let matter =
            |violation: &Self| (violation.invariant, violation.order_id, violation.product_id.clone());
        matter(self) == matter(other)
    }

    pub(crate) fn of_order(invariant: Invariant, order_id: OrderId, message: impl Into<String>) -> Self {
        Self { invariant, order_id: Some(order_id), product_id: None, message: message.into() }
    }

    pub(crate) fn of_product(product_id: ProductId, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { invariant: Invariant::I4, order_id: None, product_id: Some(product_id), message }
    }

    pub(crate) fn of_outbox(message: impl Into<String>) -> Self {
        Self { invariant: Invariant::I6, order_id: None, product_id: None, message: message.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.order_id, &self.product_id) {
            (Some(order_id), _) => write!(formatter, "order {order_id}: {}", self.message),
            (None, Some(product_id)) => write!(formatter, "product {product_id}: {}", self.message),
            (None, None) => formatter.write_str(&self.message),
        }
    }
}
