//! What the judge finds, and how the command prints it.

use std::fmt;

use schema::ids::{OrderId, ProductId};
use serde::Serialize;

use crate::output::{columns, counted, printable};

/// What the system promises of an accepted order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum Invariant {
    /// Every success that a client was answered is exactly one order, and there is no other order.
    I1,
    /// Every definite error that a client was answered left nothing, neither of an order nor of a change.
    I2,
    /// Every unknown outcome, retried under its key, is exactly one order.
    I3,
    /// Stock agrees with the orders and with its ledger, and was never oversold.
    I4,
    /// Each order's history is a legal path with versions from 1 without gaps, and holds every answered change.
    I5,
    /// Every committed event was published, under consecutive positions.
    I6,
    /// Each subscriber received every update of its orders once, in order.
    I7,
    /// Dead letters are the undecodable messages that a test published.
    I8,
    /// The system comes to rest, and then the API lists what the tables hold.
    Rest,
}

impl Invariant {
    /// Those that the command reports, with their claims; the first three need a client log.
    const REPORTED: [(Self, &str); 6] = [
        (Self::I1, "every answered success is one order"),
        (Self::I2, "every definite error left nothing"),
        (Self::I3, "every unknown outcome is one order"),
        (Self::I4, "stock agrees with the orders"),
        (Self::I5, "histories are legal and without gaps"),
        (Self::I6, "every event is published"),
    ];
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Violation {
    pub invariant: Invariant,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_id: Option<OrderId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product_id: Option<ProductId>,
    pub message: String,
}

impl Violation {
    /// A violation that is about neither an order nor a product.
    pub fn new(invariant: Invariant, message: impl Into<String>) -> Self {
        Self { invariant, order_id: None, product_id: None, message: message.into() }
    }

    pub(super) fn of_order(invariant: Invariant, order_id: OrderId, message: impl Into<String>) -> Self {
        Self { order_id: Some(order_id), ..Self::new(invariant, message) }
    }

    pub(super) fn of_product(product_id: &ProductId, message: impl Into<String>) -> Self {
        Self { product_id: Some(product_id.clone()), ..Self::new(Invariant::I4, message) }
    }

    /// Whether both are about the same invariant and the same order or product; their figures may differ.
    pub(super) fn has_subject_of(&self, other: &Self) -> bool {
        (self.invariant, self.order_id, &self.product_id)
            == (other.invariant, other.order_id, &other.product_id)
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

/// What was read, and which invariants it breaks.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    orders: usize,
    reservations: usize,
    /// Orders in the client log, if there is one.
    #[serde(rename = "told", skip_serializing_if = "Option::is_none")]
    logged: Option<usize>,
    promises: Vec<Promise>,
    pub(super) violations: Vec<Violation>,
}

#[derive(Debug, Serialize)]
struct Promise {
    invariant: Invariant,
    claim: &'static str,
    violations: usize,
}

impl Report {
    pub(super) fn new(
        orders: usize,
        reservations: usize,
        logged: Option<usize>,
        mut violations: Vec<Violation>,
    ) -> Self {
        violations.sort_by_key(|violation| (violation.invariant, violation.order_id));
        let promises = Invariant::REPORTED.into_iter().filter_map(|(invariant, claim)| {
            let broken = violations.iter().filter(|violation| violation.invariant == invariant).count();
            // Without a client log nothing shows that its invariants hold; that one is broken may show all the same.
            let is_known = logged.is_some() || broken > 0 || invariant >= Invariant::I4;
            is_known.then_some(Promise { invariant, claim, violations: broken })
        });
        Self { orders, reservations, logged, promises: promises.collect(), violations }
    }

    pub(super) fn text(&self) -> String {
        let row = |promise: &Promise| {
            let kept = match promise.violations {
                0 => "kept".to_owned(),
                broken => counted(broken, "violation"),
            };
            vec![format!("{:?}", promise.invariant), promise.claim.to_owned(), kept]
        };
        let rows: Vec<Vec<String>> = self.promises.iter().map(row).collect();
        let logged = self.logged.map(|logged| format!(", {} in the client log", counted(logged, "order")));
        let line = |violation: &Violation| {
            format!("{:?}  {}", violation.invariant, printable(&violation.to_string()))
        };
        let violations: Vec<String> = self.violations.iter().map(line).collect();
        format!(
            "{} orders and {} reservations read{}\n\n{}\n\n{}",
            self.orders,
            self.reservations,
            logged.unwrap_or_default(),
            columns(&["", "PROMISE", ""], &rows),
            violations.join("\n")
        )
    }
}
