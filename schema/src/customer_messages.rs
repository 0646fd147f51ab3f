//! What customer-service is asked: `customer.get` takes [`CustomerId`]s and answers customers or
//! nulls, `customer.put` takes [`Customer`]s and answers them or refusals. Here is what it refuses.

use crate::customer::Customer;
use crate::domain_error::{DomainError, DomainErrorCode};
use crate::limits::{SHIPPING_ADDRESS_MAX_CHARS, validate_text};

#[cfg(doc)]
use crate::ids::CustomerId;

/// Characters of a customer's name, email address and phone number.
const CONTACT_MAX_CHARS: usize = 200;

impl Customer {
    /// The first thing that is out of bounds, if anything.
    pub fn validate(&self) -> Option<DomainError> {
        let phone = self.phone.as_deref().unwrap_or("none");
        let texts = [
            (self.name.as_str(), CONTACT_MAX_CHARS, false, "name"),
            (&self.email, CONTACT_MAX_CHARS, false, "email"),
            (phone, CONTACT_MAX_CHARS, false, "phone"),
            (&self.shipping_address, SHIPPING_ADDRESS_MAX_CHARS, true, "shippingAddress"),
        ];
        texts.into_iter().find_map(|(text, max_chars, multiline, name)| {
            let message = validate_text(text, max_chars, multiline)?;
            Some(DomainError::at(DomainErrorCode::InvalidInput, format!("{name} {message}"), [name]))
        })
    }
}
