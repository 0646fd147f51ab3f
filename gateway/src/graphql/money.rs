use async_graphql::SimpleObject;
use schema::money;

use super::scalars::Decimal;

#[derive(SimpleObject)]
pub(crate) struct Money {
    amount: Decimal,
    /// ISO 4217
    currency_code: String,
}

impl From<money::Money> for Money {
    fn from(money: money::Money) -> Self {
        Self { amount: money.into(), currency_code: money.currency.to_string() }
    }
}
