//! Mutations: who may, what is wrong with the input, one message, its answer as a payload.

mod change_order;
mod create_order;
mod user_error;

use async_graphql::{Context, Object};
use schema::domain_error::{DomainError, DomainResult};
use schema::order::Order as WireOrder;
use schema::order_messages::Change;
use schema::pattern::{ORDER_CANCEL, ORDER_DELETE, ORDER_UPDATE};

use self::change_order::{
    CancelOrderInput, CancelOrderPayload, ChangePayload, DeleteOrderInput, DeleteOrderPayload,
    UpdateOrderInput, UpdateOrderPayload,
};
use self::create_order::{CreateOrderInput, CreateOrderPayload};
use self::user_error::UserError;
use super::fault::{change_fault, placing_fault};
use super::loading::Loaders;
use super::nullable::{Nullable, nullable};
use crate::auth::Scope;
use crate::auth::Viewer;
use crate::orders::Placing;
use crate::query::GraphqlError;

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
            let placing = ctx.data_unchecked::<Placing>();
            let placement = match input.placement(viewer.customer_id.clone(), placing) {
                Ok(placement) => placement,
                Err(faults) => return CreateOrderPayload::refused(faults).map(Some),
            };
            let backend = ctx.data_unchecked::<Loaders>().backend();
            let progress = placing.place(&placement, wait, backend).await;
            let has_key = placement.idempotency_key.is_some();
            CreateOrderPayload::of(progress.map_err(|error| placing_fault(&error, has_key))?).map(Some)
        })
        .await
    }

    /// One call is one change, one version and one update. status (other than CANCELLED) and tracking need orders:fulfil;
    /// shippingAddress and CANCELLED need orders:write. An input that changes nothing answers the order as it is.
    /// SHIPPED needs a tracking company and number, in the input or stored.
    async fn update_order(&self, ctx: &Context<'_>, input: UpdateOrderInput) -> Nullable<UpdateOrderPayload> {
        nullable(async {
            let viewer = Viewer::from_context(ctx)?;
            input.check_scopes(viewer)?;
            let change = input.change(viewer, ctx.data_unchecked::<Placing>().ids.fresh());
            send_change(ctx, ORDER_UPDATE, change).await
        })
        .await
    }

    async fn cancel_order(&self, ctx: &Context<'_>, input: CancelOrderInput) -> Nullable<CancelOrderPayload> {
        nullable(async {
            let viewer = Viewer::from_context(ctx)?;
            viewer.require(Scope::OrdersWrite)?;
            let change = input.change(viewer, ctx.data_unchecked::<Placing>().ids.fresh());
            send_change(ctx, ORDER_CANCEL, change).await
        })
        .await
    }

    async fn delete_order(&self, ctx: &Context<'_>, input: DeleteOrderInput) -> Nullable<DeleteOrderPayload> {
        nullable(async {
            let viewer = Viewer::from_context(ctx)?;
            viewer.require(Scope::OrdersWrite)?;
            let change = input.change(viewer, ctx.data_unchecked::<Placing>().ids.fresh());
            send_change(ctx, ORDER_DELETE, change).await
        })
        .await
    }
}

/// Sends a change that is fit to be sent, and makes a payload of what comes of it.
async fn send_change<P: ChangePayload>(
    ctx: &Context<'_>,
    pattern: &str,
    change: Result<Change, Vec<DomainError>>,
) -> Result<Option<P>, GraphqlError> {
    let change = match change {
        Ok(change) => change,
        Err(faults) => return P::of(Err(faults)).map(Some),
    };
    let backend = ctx.data_unchecked::<Loaders>().backend();
    let answer: DomainResult<WireOrder> =
        backend.ask_one(pattern, &change).await.map_err(|error| change_fault(&error))?;
    P::of(answer.into_result().map_err(|refusal| vec![refusal])).map(Some)
}

fn user_errors(refusals: Vec<DomainError>) -> Result<Vec<UserError>, GraphqlError> {
    refusals.into_iter().map(UserError::try_from).collect()
}
