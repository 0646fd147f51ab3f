//! Products as files name them.

use schema::ids::ProductId;
use schema::inventory_messages::PutProduct;
use schema::money::{Currency, Money};

use super::table::{FromRecord, Record};

/// A product to put into the catalogue, and the units that came in with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProductRecord {
    pub(crate) product: PutProduct,
    pub(crate) quantity: u32,
}

impl FromRecord for ProductRecord {
    const FIELDS: &'static [&'static str] = &["id", "name", "description", "price", "quantity"];
    type Context = Currency;

    fn from_record(record: &Record, currency: &Currency) -> Result<Self, String> {
        let id: ProductId = record.required("id")?.parse().map_err(|fault| format!("id {fault}"))?;
        let price = record.required("price")?;
        let unit_price = Money::from_decimal(price, *currency)
            .ok_or_else(|| format!("price {price:?} is not an amount in {currency}, such as 14.50"))?;
        let quantity = match record.text("quantity") {
            Some(text) => {
                text.parse().map_err(|_| format!("quantity {text:?} is not a whole number of units"))?
            }
            None => 0,
        };
        let product = PutProduct {
            id,
            name: record.required("name")?.to_owned(),
            description: record.required("description")?.to_owned(),
            unit_price,
        };
        match product.validate() {
            Some(refusal) => Err(refusal.message),
            None => Ok(Self { product, quantity }),
        }
    }
}
