use schema::domain_error::DomainError;
use schema::domain_error::DomainErrorCode::{InvalidInput, ProductNotFound, StockTooLow};
use schema::ids::ProductId;
use schema::inventory_messages::{Adjust, Adjusted, PutProduct};
use schema::limits::validate_text;
use schema::money::Currency;
use schema::product::Product;

use super::{Cause, MovementKind, Row, StockedProduct, UnitOfWork};

/// Units on hand that one product may have: the public API's integers hold no more.
const ON_HAND_MAX: i64 = i32::MAX as i64;
/// Characters of the reason for an adjustment.
const REASON_MAX_CHARS: usize = 200;

impl UnitOfWork {
    /// Adds or writes off stock, once per adjustment id; never below what is held for orders.
    pub fn adjust(&mut self, adjust: &Adjust) -> Result<Adjusted, DomainError> {
        let refused = |code, message: String, field: &str| Err(DomainError::at(code, message, [field]));
        if let Some(message) = validate_text(&adjust.reason, REASON_MAX_CHARS, false) {
            return refused(InvalidInput, format!("reason {message}"), "reason");
        }
        if adjust.by == 0 {
            return refused(InvalidInput, "by must not be 0".to_owned(), "by");
        }
        let Some(product) = self.product(&adjust.product_id) else {
            return Err(no_product(&adjust.product_id));
        };
        if self.adjustments.contains(&adjust.adjustment_id) {
            return Ok(Adjusted { product: product.to_product(), repeated: true });
        }
        let on_hand = product.on_hand.saturating_add(adjust.by);
        if on_hand > ON_HAND_MAX {
            let message = format!("by must leave at most {ON_HAND_MAX} units on hand");
            return refused(InvalidInput, message, "by");
        }
        if on_hand < product.reserved {
            let message =
                format!("{} on hand, {} of them held for orders", product.on_hand, product.reserved);
            return refused(StockTooLow, message, "by");
        }
        let kind = if adjust.by > 0 { MovementKind::Receive } else { MovementKind::WriteOff };
        let cause = Cause::Adjustment { id: adjust.adjustment_id, reason: adjust.reason.clone() };
        self.adjustments.insert(adjust.adjustment_id);
        self.shift(&adjust.product_id, kind, cause, adjust.by, 0);
        let product = self.products[&adjust.product_id].value.to_product();
        Ok(Adjusted { product, repeated: false })
    }

    /// Takes a product out of the catalogue: it can't be ordered any more. Its stock, and the orders that have it, stay.
    pub fn withdraw(&mut self, product_id: &ProductId) -> Result<Product, DomainError> {
        let now = self.now;
        let row = self.products.get_mut(product_id).ok_or_else(|| no_product(product_id))?;
        if !row.value.withdrawn {
            let product = row.change();
            product.withdrawn = true;
            product.updated_at = now;
            self.details_changed = true;
        }
        Ok(row.value.to_product())
    }

    /// Inserts a product without stock, or changes its name, description and price. A withdrawn product can be ordered again.
    pub fn put(&mut self, put: &PutProduct, currency: Currency) -> Result<Product, DomainError> {
        if let Some(refusal) = put.validate() {
            return Err(refusal);
        }
        if put.unit_price.currency != currency {
            let message = format!("unitPrice must be in {currency}");
            return Err(DomainError::at(InvalidInput, message, ["unitPrice"]));
        }
        let now = self.now;
        let row = self.products.entry(put.id.clone()).or_insert_with(|| {
            Row::new(StockedProduct {
                id: put.id.clone(),
                name: String::new(),
                description: String::new(),
                unit_price: put.unit_price,
                on_hand: 0,
                reserved: 0,
                withdrawn: false,
                created_at: now,
                updated_at: now,
            })
        });
        let same = row.value.name == put.name
            && row.value.description == put.description
            && row.value.unit_price == put.unit_price
            && !row.value.withdrawn;
        if !same {
            let product = row.change();
            product.name.clone_from(&put.name);
            product.description.clone_from(&put.description);
            product.unit_price = put.unit_price;
            product.withdrawn = false;
            product.updated_at = now;
            self.details_changed = true;
        }
        Ok(row.value.to_product())
    }
}

fn no_product(product_id: &ProductId) -> DomainError {
    DomainError::at(ProductNotFound, format!("there is no product {product_id}"), ["productId"])
}
