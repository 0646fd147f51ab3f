use schema::ids::{OrderId, ProductId};
use schema::inventory_messages::{ReservationState, ReservedItem};
use schema::money::Money;
use schema::product::Product;
use schema::time::Timestamp;
use uuid::Uuid;

/// A row, and what has to be done to store it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row<T> {
    /// The row as it is to be.
    pub value: T,
    /// Whether the database has a row of this key.
    pub stored: bool,
    /// Whether it differs from the database's.
    pub changed: bool,
}

impl<T> Row<T> {
    /// A row as it was read.
    pub fn stored(value: T) -> Self {
        Self { value, stored: true, changed: false }
    }

    /// A row to be inserted.
    pub fn new(value: T) -> Self {
        Self { value, stored: false, changed: true }
    }

    /// The row, to be changed.
    pub fn change(&mut self) -> &mut T {
        self.changed = true;
        &mut self.value
    }
}

/// A product with what is on the shelf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StockedProduct {
    /// Which.
    pub id: ProductId,
    /// What it is called.
    pub name: String,
    /// What it is.
    pub description: String,
    /// What one unit costs.
    pub unit_price: Money,
    /// Units in the warehouse, never negative.
    pub on_hand: i64,
    /// Units of those that are held for orders, never more than on hand.
    pub reserved: i64,
    /// When it came into the catalogue.
    pub created_at: Timestamp,
    /// When its row last changed.
    pub updated_at: Timestamp,
}

impl StockedProduct {
    /// Units that can be ordered.
    pub fn available(&self) -> u32 {
        u32::try_from(self.on_hand - self.reserved).unwrap_or_default()
    }

    /// As others see it.
    pub fn to_product(&self) -> Product {
        Product {
            id: self.id.clone(),
            name: self.name.clone(),
            description: self.description.clone(),
            unit_price: self.unit_price,
            available_quantity: self.available(),
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }
}

/// What became of one order's stock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// For which order.
    pub order_id: OrderId,
    /// Where it stands.
    pub state: ReservationState,
    /// Of the order's input, as whoever reserved gave it.
    pub fingerprint: String,
    /// The attempt that it was held under; 0 where an order event made the row.
    pub attempt: u32,
    /// The highest order version applied; 0 before any.
    pub version: u32,
    /// Whether order-service has told of an order that stands on this hold.
    pub confirmed: bool,
    /// When the row was made.
    pub created_at: Timestamp,
    /// When the order was last heard of.
    pub heard_at: Timestamp,
    /// When to ask order-service what became of the order; set exactly while stock is held.
    pub ask_at: Option<Timestamp>,
    /// What is held, or was last.
    pub lines: Vec<Line>,
    /// Whether `lines` differ from the database's.
    pub lines_changed: bool,
}

/// One product of a reservation, priced when it was reserved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Which product.
    pub product_id: ProductId,
    /// Units.
    pub quantity: u32,
    /// Its name then.
    pub product_name: String,
    /// Its price then.
    pub unit_price: Money,
}

impl Line {
    /// As it is answered.
    pub fn to_item(&self) -> ReservedItem {
        ReservedItem {
            product_id: self.product_id.clone(),
            quantity: self.quantity,
            name: self.product_name.clone(),
            unit_price: self.unit_price,
        }
    }
}

/// One row of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Movement {
    /// Of which product.
    pub product_id: ProductId,
    /// What happened.
    pub kind: MovementKind,
    /// On whose account.
    pub cause: Cause,
    /// Units that came, or went where negative.
    pub on_hand_delta: i64,
    /// Units that were set aside, or freed where negative.
    pub reserved_delta: i64,
    /// On hand right after.
    pub on_hand_after: i64,
    /// Reserved right after.
    pub reserved_after: i64,
    /// When.
    pub at: Timestamp,
}

/// On whose account stock moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// An order's.
    Order(OrderId),
    /// Somebody's who adjusts stock, once per id.
    Adjustment {
        /// Which adjustment.
        id: Uuid,
        /// Why.
        reason: String,
    },
}

/// What happens to stock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MovementKind {
    /// It came in.
    Receive,
    /// It was lost, broken or miscounted.
    WriteOff,
    /// It was set aside for an order.
    Reserve,
    /// It was given back.
    Release,
    /// It went out with a shipment.
    Deduct,
}

impl MovementKind {
    /// The name in the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Receive => "receive",
            Self::WriteOff => "write_off",
            Self::Reserve => "reserve",
            Self::Release => "release",
            Self::Deduct => "deduct",
        }
    }
}
