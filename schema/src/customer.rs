//! A customer.

use serde::{Deserialize, Serialize};

use crate::domain_error::DomainError;
use crate::ids::CustomerId;
use crate::limits::{SHIPPING_ADDRESS_MAX_CHARS, first_text_error};

/// Characters of a customer's name, email address and phone number.
const CONTACT_MAX_CHARS: usize = 200;

/// A customer as customer-service has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Customer {
    /// The customer's id, the `sub` of the customer's token.
    pub id: CustomerId,
    /// The customer's name.
    pub name: String,
    /// The customer's email address.
    pub email: String,
    /// The customer's phone number.
    #[serde(default)]
    pub phone: Option<String>,
    /// Where orders go that name no address.
    pub shipping_address: String,
}

impl Customer {
    /// Returns the first error of a text out of bounds, if any.
    pub fn validate(&self) -> Option<DomainError> {
        let phone = self.phone.as_deref().unwrap_or("none");
        first_text_error([
            (self.name.as_str(), CONTACT_MAX_CHARS, false, "name"),
            (&self.email, CONTACT_MAX_CHARS, false, "email"),
            (phone, CONTACT_MAX_CHARS, false, "phone"),
            (&self.shipping_address, SHIPPING_ADDRESS_MAX_CHARS, true, "shippingAddress"),
        ])
    }
}
