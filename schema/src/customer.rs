//! A customer.

use serde::{Deserialize, Serialize};

use crate::ids::CustomerId;

/// A customer as customer-service knows them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Customer {
    /// Their id, the `sub` of their token.
    pub id: CustomerId,
    /// What they are called.
    pub name: String,
    /// Where they can be written to.
    pub email: String,
    /// Where they can be called.
    #[serde(default)]
    pub phone: Option<String>,
    /// Where orders go that name no address.
    pub shipping_address: String,
}
