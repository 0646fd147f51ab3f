//! Mutations: the viewer's scope, the input's check, one message, its answer as a payload.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use schema::domain_error::{DomainError, DomainErrorCode, DomainResult};
use schema::order_messages::{Change, Changes, Item, OrderCreated};
use schema::pattern::{ORDER_CANCEL, ORDER_DELETE, ORDER_UPDATE};
use schema::{ids::ProductId, limits::ORDER_MAX_ITEMS, order as wire};

use super::errors::{Nullable, UserError, mutation_error, nullable, place_order_error, user_errors};
use super::loaders::Loaders;
use super::order::{Order, OrderStatus};
use crate::auth::{Scope, Viewer};
use crate::orders::{OrderPlacer, PlaceOrderOutcome};
use crate::query::{ErrorCode, GraphqlError};

pub(crate) struct Mutation;

#[Object]
impl Mutation {
    /// Accepts an order: it is durable before this answers, and is never lost afterwards.
    /// With wait (the default) the answer carries the outcome (PROCESSING or REJECTED) where it comes within the
    /// gateway's wait limit; otherwise, or with wait: false, the order is PENDING and orderUpdated(after: order.cursor) tells
    /// the rest. Until the order service has taken it, order(id) is null and changes to it answer ORDER_NOT_FOUND.
    async fn create_order(
        &self,
        ctx: &Context<'_>,
        input: CreateOrderInput,
        #[graphql(default = true)] wait: bool,
    ) -> Nullable<CreateOrderPayload> {
        nullable(async {
            let viewer = Viewer::from_context(ctx)?;
            viewer.require(Scope::OrdersWrite)?;
            let placer = ctx.data_unchecked::<OrderPlacer>();
            let CreateOrderInput { items, shipping_address, idempotency_key } = input;
            let (items, mut errors) = read_items(&items);
            let order = placer.command(viewer.customer_id.clone(), items, shipping_address, idempotency_key);
            errors.extend(order.validate());
            if !errors.is_empty() {
                return CreateOrderPayload::refused(errors).map(Some);
            }
            let outcome = placer.place(&order, wait, ctx.data_unchecked::<Loaders>().client()).await;
            let has_key = order.idempotency_key.is_some();
            CreateOrderPayload::new(outcome.map_err(|error| place_order_error(&error, has_key))?).map(Some)
        })
        .await
    }

    /// One call is one change, one version and one update. status (other than CANCELLED) and tracking need orders:fulfil;
    /// shippingAddress and CANCELLED need orders:write. An input that changes nothing answers the order as it is.
    /// SHIPPED needs a tracking company and number, in the input or stored.
    async fn update_order(&self, ctx: &Context<'_>, input: UpdateOrderInput) -> Nullable<UpdateOrderPayload> {
        nullable(async {
            let viewer = Viewer::from_context(ctx)?;
            input.check_scopes(&viewer)?;
            let UpdateOrderInput { shipping_address, tracking_company, tracking_number, .. } = input;
            let status = input.status.map(Into::into);
            let changes = Changes { status, shipping_address, tracking_company, tracking_number };
            let (order, user_errors) =
                change_order(ctx, ORDER_UPDATE, &input.id, input.expected_version, changes).await?;
            Ok(Some(UpdateOrderPayload { order: order.map(Order::from), user_errors }))
        })
        .await
    }

    async fn cancel_order(&self, ctx: &Context<'_>, input: CancelOrderInput) -> Nullable<CancelOrderPayload> {
        nullable(async {
            Viewer::from_context(ctx)?.require(Scope::OrdersWrite)?;
            let (order, user_errors) =
                change_order(ctx, ORDER_CANCEL, &input.id, input.expected_version, Changes::default())
                    .await?;
            Ok(Some(CancelOrderPayload { order: order.map(Order::from), user_errors }))
        })
        .await
    }

    async fn delete_order(&self, ctx: &Context<'_>, input: DeleteOrderInput) -> Nullable<DeleteOrderPayload> {
        nullable(async {
            Viewer::from_context(ctx)?.require(Scope::OrdersWrite)?;
            let (order, user_errors) =
                change_order(ctx, ORDER_DELETE, &input.id, input.expected_version, Changes::default())
                    .await?;
            let deleted_order_id = order.map(|order| ID::from(order.id));
            Ok(Some(DeleteOrderPayload { deleted_order_id, user_errors }))
        })
        .await
    }
}

/// Sends a change that passes its checks; returns the changed order, or the user errors.
async fn change_order(
    ctx: &Context<'_>,
    pattern: &str,
    id: &ID,
    expected_version: Option<i32>,
    changes: Changes,
) -> Result<(Option<wire::Order>, Vec<UserError>), GraphqlError> {
    let mut errors = changes.validate();
    // An id that can't be one names no order.
    let order_id = id.parse().map_err(|_| DomainError::order_not_found());
    let expected_version = expected_version.map(u32::try_from).transpose().map_err(|_| {
        let field = ["input", "expectedVersion"];
        DomainError::at(DomainErrorCode::InvalidInput, "must not be negative", field)
    });
    match (order_id, expected_version) {
        (Ok(order_id), Ok(expected_version)) if errors.is_empty() => {
            let request_id = ctx.data_unchecked::<OrderPlacer>().ids.fresh();
            let owner = Viewer::from_context(ctx)?.order_scope();
            let change = Change { request_id, order_id, owner, changes, expected_version };
            let client = ctx.data_unchecked::<Loaders>().client();
            let answer: DomainResult<wire::Order> =
                client.call(pattern, &change).await.map_err(|error| mutation_error(&error))?;
            match answer.into_result() {
                Ok(order) => return Ok((Some(order), Vec::new())),
                Err(error) => errors.push(error),
            }
        }
        (order_id, expected_version) => {
            errors.extend(order_id.err());
            errors.extend(expected_version.err());
        }
    }
    Ok((None, user_errors(errors)?))
}

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

/// The items as far as they can be read. An unreadable product id is an error, and an id that no other item has takes
/// its place, so that the remaining checks see every item at its index.
fn read_items(inputs: &[OrderItemInput]) -> (Vec<Item>, Vec<DomainError>) {
    let mut errors = Vec::new();
    // One more than allowed is enough to be refused.
    let items = inputs.iter().take(ORDER_MAX_ITEMS + 1).enumerate().map(|(index, input)| {
        let product_id = input.product_id.parse::<ProductId>().unwrap_or_else(|error| {
            let field = ["input", "items", &index.to_string(), "productId"];
            errors.push(DomainError::at(DomainErrorCode::InvalidInput, error.to_string(), field));
            let unused = format!("unreadable product id of item {index}");
            unused.parse().expect("the text has fewer than 64 characters")
        });
        Item { product_id, quantity: u32::try_from(input.quantity).unwrap_or(0) }
    });
    (items.collect(), errors)
}

impl CreateOrderPayload {
    fn refused(errors: Vec<DomainError>) -> Result<Self, GraphqlError> {
        Ok(Self { order: None, replayed: None, user_errors: user_errors(errors)? })
    }

    fn new(outcome: PlaceOrderOutcome) -> Result<Self, GraphqlError> {
        let (order, replayed) = match outcome {
            PlaceOrderOutcome::Answered(OrderCreated { order: Some(order), replayed }) => {
                (order, Some(replayed))
            }
            PlaceOrderOutcome::Unanswered { order, replayed } => (order, replayed),
            PlaceOrderOutcome::Refused(error) => return Self::refused(vec![error]),
            PlaceOrderOutcome::Answered(OrderCreated { order: None, replayed }) => {
                let message = "the order of this idempotency key has been deleted";
                let field = ["input", "idempotencyKey"];
                let deleted = DomainError::at(DomainErrorCode::OrderNotFound, message, field);
                return Ok(Self { replayed: Some(replayed), ..Self::refused(vec![deleted])? });
            }
        };
        Ok(Self { order: Some(order.into()), replayed, user_errors: Vec::new() })
    }
}

#[derive(InputObject)]
pub(crate) struct UpdateOrderInput {
    id: ID,
    status: Option<OrderStatus>,
    shipping_address: Option<String>,
    tracking_company: Option<String>,
    tracking_number: Option<String>,
    /// Refused with VERSION_CONFLICT where the order has moved on.
    expected_version: Option<i32>,
}

#[derive(InputObject)]
pub(crate) struct CancelOrderInput {
    id: ID,
    expected_version: Option<i32>,
}

#[derive(InputObject)]
pub(crate) struct DeleteOrderInput {
    id: ID,
    expected_version: Option<i32>,
}

#[derive(SimpleObject)]
pub(crate) struct UpdateOrderPayload {
    order: Option<Order>,
    user_errors: Vec<UserError>,
}

#[derive(SimpleObject)]
pub(crate) struct CancelOrderPayload {
    order: Option<Order>,
    user_errors: Vec<UserError>,
}

#[derive(SimpleObject)]
pub(crate) struct DeleteOrderPayload {
    deleted_order_id: Option<ID>,
    user_errors: Vec<UserError>,
}

impl UpdateOrderInput {
    /// FORBIDDEN if the token lacks a scope that a part of this change needs.
    fn check_scopes(&self, viewer: &Viewer) -> Result<(), GraphqlError> {
        let fulfils = self.status.is_some_and(|status| status != OrderStatus::Cancelled)
            || self.tracking_company.is_some()
            || self.tracking_number.is_some();
        let writes = self.status == Some(OrderStatus::Cancelled) || self.shipping_address.is_some();
        for (needed, scope) in [(fulfils, Scope::OrdersFulfil), (writes, Scope::OrdersWrite)] {
            if needed {
                viewer.require(scope)?;
            }
        }
        let may_change_something = viewer.can(Scope::OrdersWrite) || viewer.can(Scope::OrdersFulfil);
        let missing =
            || ErrorCode::Forbidden.error("the token needs the scope orders:write or orders:fulfil");
        may_change_something.then_some(()).ok_or_else(missing)
    }
}
