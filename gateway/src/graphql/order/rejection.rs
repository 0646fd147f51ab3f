use async_graphql::{Enum, ID, SimpleObject};
use schema::order as wire;

use crate::graphql::scalars::int;

#[derive(SimpleObject)]
pub(crate) struct OrderRejection {
    code: OrderRejectionCode,
    message: String,
    shortfalls: Vec<StockShortfall>,
}

#[derive(Enum, Copy, Clone, PartialEq, Eq)]
#[graphql(remote = "schema::order::RejectionCode")]
pub(crate) enum OrderRejectionCode {
    OutOfStock,
    UnknownProduct,
    UnknownCustomer,
    Expired,
}

#[derive(SimpleObject)]
pub(crate) struct StockShortfall {
    product_id: ID,
    requested: i32,
    available: i32,
}

impl From<&wire::Rejection> for OrderRejection {
    fn from(rejection: &wire::Rejection) -> Self {
        Self {
            code: rejection.code.into(),
            message: rejection.message.clone(),
            shortfalls: rejection.shortfalls.iter().map(StockShortfall::from).collect(),
        }
    }
}

impl From<&wire::Shortfall> for StockShortfall {
    fn from(shortfall: &wire::Shortfall) -> Self {
        Self {
            product_id: ID::from(&shortfall.product_id),
            requested: int(shortfall.requested),
            available: int(shortfall.available),
        }
    }
}
