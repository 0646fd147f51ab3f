//! A product of the catalogue.

use serde::{Deserialize, Serialize};

use crate::ids::ProductId;
use crate::money::Money;
use crate::time::Timestamp;

/// A product with its price and stock as they are now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Product {
    /// Its id.
    pub id: ProductId,
    /// What it is called.
    pub name: String,
    /// What it is.
    pub description: String,
    /// What one unit costs.
    pub unit_price: Money,
    /// Units that can be ordered: on hand less reserved, never negative.
    pub available_quantity: u32,
    /// When it came into the catalogue.
    pub created_at: Timestamp,
    /// When its row last changed.
    pub updated_at: Timestamp,
}
