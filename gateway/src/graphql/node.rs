//! Relay's `Node`: objects that are found by their id alone.

use async_graphql::{Context, ID, Interface};
use futures::FutureExt as _;
use futures::future::{BoxFuture, join_all};
use schema::ids::OrderId;

use super::customer::Customer;
use super::order::Order;
use super::product::Product;
use crate::query::{ErrorCode, GraphqlError};

/// An object that node(id) finds by its id.
#[derive(Interface)]
#[graphql(field(name = "id", method = "node_id", ty = "ID"))]
pub(crate) enum Node {
    Order(Order),
    Product(Product),
    Customer(Customer),
}

impl Node {
    /// Asks for each type that may have the id, in one round of requests. A type that fails is no matter if another has it.
    pub(crate) async fn find(ctx: &Context<'_>, id: &ID) -> Result<Option<Self>, GraphqlError> {
        type Finding<'a> = BoxFuture<'a, Result<Option<Node>, GraphqlError>>;
        let product: Finding<'_> = async { Ok(Product::find(ctx, id).await?.map(Self::Product)) }.boxed();
        let customer = async {
            match Customer::find(ctx, id).await {
                // The id may as well be one of no customer.
                Err(error) if error.code() == ErrorCode::Forbidden => Ok(None),
                found => Ok(found?.map(Self::Customer)),
            }
        };
        let mut findings = vec![product, customer.boxed()];
        if id.parse::<OrderId>().is_ok() {
            findings.push(async { Ok(Order::find(ctx, id).await?.map(Self::Order)) }.boxed());
        }
        let (mut nodes, mut failed) = (Vec::new(), None);
        for finding in join_all(findings).await {
            match finding {
                Ok(found) => nodes.extend(found),
                // The last is the order's, about which an id of this form most likely is.
                Err(error) => failed = Some(error),
            }
        }
        match (nodes.pop(), nodes.is_empty(), failed) {
            (Some(node), true, _) => Ok(Some(node)),
            (Some(_), false, _) => {
                let message = "several objects have this id: ask by order(id), product(id) or customer(id)";
                Err(ErrorCode::BadUserInput.error(message))
            }
            (None, _, failed) => failed.map_or(Ok(None), Err),
        }
    }
}

// The derived interface calls methods that are async and fallible, which the fields themselves are not.
macro_rules! node_ids {
    ($($type:ident: $id:expr;)+) => {
        $(
            impl $type {
                async fn node_id(&self, _: &Context<'_>) -> Result<ID, GraphqlError> {
                    let id: fn(&Self) -> ID = $id;
                    Ok(id(self))
                }
            }
        )+
    };
}

node_ids! {
    Order: |order| ID::from(order.0.id);
    Product: |product| ID::from(&product.0.id);
    Customer: |customer| customer.id.clone();
}
