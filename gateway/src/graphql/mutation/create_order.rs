use async_graphql::{ID, InputObject, SimpleObject};
use schema::domain_error::{DomainError, DomainErrorCode};
use schema::ids::{CustomerId, ProductId};
use schema::limits::ORDER_MAX_ITEMS;
use schema::order_messages::{CreateOrder, Item, OrderCreated};

use super::{UserError, user_errors};
use crate::graphql::order::Order;
use crate::orders::{Placing, Progress};
use crate::query::GraphqlError;

#[derive(InputObject)]
pub(crate) struct CreateOrderInput {
    /// 1 to 100 items, each product once.
    items: Vec<OrderItemInput>,
    /// 1 to 500 characters; the customer's own address where left out.
    shipping_address: Option<String>,
    /// 1 to 255 characters. The same key with the same input answers with the first order (replayed: true), also when it was
    /// REJECTED; with another input it is refused, which an answer given before the order service's can't say yet.
    idempotency_key: Option<String>,
}

#[derive(InputObject)]
pub(crate) struct OrderItemInput {
    product_id: ID,
    /// 1 to 10000
    quantity: i32,
}

#[derive(SimpleObject)]
pub(crate) struct CreateOrderPayload {
    order: Option<Order>,
    /// Whether the idempotencyKey had been used with this input before; null in an answer given before the order service's.
    replayed: Option<bool>,
    user_errors: Vec<UserError>,
}

impl CreateOrderInput {
    /// The order to place, or everything that is wrong with it.
    pub(super) fn placement(
        self,
        customer_id: CustomerId,
        placing: &Placing,
    ) -> Result<CreateOrder, Vec<DomainError>> {
        let (items, mut faults) = read_items(&self.items);
        let placement = placing.placement(customer_id, items, self.shipping_address, self.idempotency_key);
        faults.extend(placement.validate());
        if faults.is_empty() { Ok(placement) } else { Err(faults) }
    }
}

/// The items as far as they can be read. Each product id that can't be is a fault, and something that no other item
/// names stands in for it, so that the remaining checks see every item in its place.
fn read_items(inputs: &[OrderItemInput]) -> (Vec<Item>, Vec<DomainError>) {
    let mut faults = Vec::new();
    // One more than allowed is enough to be refused.
    let items = inputs.iter().take(ORDER_MAX_ITEMS + 1).enumerate().map(|(index, input)| {
        let product_id = input.product_id.parse().unwrap_or_else(|error| {
            let field = ["input", "items", &index.to_string(), "productId"].map(str::to_owned);
            faults.push(DomainError::at(DomainErrorCode::InvalidInput, format!("{error}"), field));
            stand_in(index)
        });
        Item { product_id, quantity: u32::try_from(input.quantity).unwrap_or(0) }
    });
    (items.collect(), faults)
}

fn stand_in(index: usize) -> ProductId {
    let text = format!("unreadable product id of item {index}");
    text.parse().expect("the text has fewer than 64 characters")
}

impl CreateOrderPayload {
    pub(super) fn refused(refusals: Vec<DomainError>) -> Result<Self, GraphqlError> {
        Ok(Self { order: None, replayed: None, user_errors: user_errors(refusals)? })
    }

    pub(super) fn of(progress: Progress) -> Result<Self, GraphqlError> {
        let (order, replayed) = match progress {
            Progress::OrderCreated(OrderCreated { order: Some(order), replayed }) => (order, Some(replayed)),
            Progress::Accepted(order) => (order, None),
            Progress::Stored { order, replayed } => (order, replayed),
            Progress::Refused(refusal) => return Self::refused(vec![refusal]),
            Progress::OrderCreated(OrderCreated { order: None, replayed }) => {
                let deleted = DomainError::at(
                    DomainErrorCode::OrderNotFound,
                    "the order of this idempotency key has been deleted",
                    ["input", "idempotencyKey"],
                );
                return Ok(Self { replayed: Some(replayed), ..Self::refused(vec![deleted])? });
            }
        };
        Ok(Self { order: Some(order.into()), replayed, user_errors: Vec::new() })
    }
}
