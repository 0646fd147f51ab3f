//! Changing, cancelling and deleting an order: their inputs as messages, their answers as payloads.

use async_graphql::{ID, InputObject, SimpleObject};
use schema::domain_error::{DomainError, DomainErrorCode};
use schema::ids::OrderId;
use schema::order::Order as WireOrder;
use schema::order_messages::{Change, Changes};
use uuid::Uuid;

use super::{UserError, user_errors};
use crate::auth::Scope;
use crate::auth::Viewer;
use crate::graphql::order::{Order, OrderStatus};
use crate::query::{ErrorCode, GraphqlError};

#[derive(InputObject)]
pub(crate) struct UpdateOrderInput {
    pub(super) id: ID,
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
    /// FORBIDDEN where the token lacks a scope that a part of this change needs.
    pub(super) fn check_scopes(&self, viewer: &Viewer) -> Result<(), GraphqlError> {
        let fulfils = self.status.is_some_and(|status| status != OrderStatus::Cancelled)
            || self.tracking_company.is_some()
            || self.tracking_number.is_some();
        let writes = self.status == Some(OrderStatus::Cancelled) || self.shipping_address.is_some();
        if fulfils {
            viewer.require(Scope::OrdersFulfil)?;
        }
        if writes {
            viewer.require(Scope::OrdersWrite)?;
        }
        let may_change_something = viewer.can(Scope::OrdersWrite) || viewer.can(Scope::OrdersFulfil);
        if may_change_something {
            return Ok(());
        }
        Err(ErrorCode::Forbidden.error("this needs the scope orders:write or orders:fulfil"))
    }

    pub(super) fn change(self, viewer: &Viewer, request_id: Uuid) -> Result<Change, Vec<DomainError>> {
        let changes = Changes {
            status: self.status.map(Into::into),
            shipping_address: self.shipping_address,
            tracking_company: self.tracking_company,
            tracking_number: self.tracking_number,
        };
        let faults = changes.validate();
        change(&self.id, self.expected_version, changes, faults, viewer, request_id)
    }
}

impl CancelOrderInput {
    pub(super) fn change(self, viewer: &Viewer, request_id: Uuid) -> Result<Change, Vec<DomainError>> {
        change(&self.id, self.expected_version, Changes::default(), Vec::new(), viewer, request_id)
    }
}

impl DeleteOrderInput {
    pub(super) fn change(self, viewer: &Viewer, request_id: Uuid) -> Result<Change, Vec<DomainError>> {
        change(&self.id, self.expected_version, Changes::default(), Vec::new(), viewer, request_id)
    }
}

/// The change as a message, or everything that is wrong with it. An id that can't be one names no order.
fn change(
    id: &ID,
    expected_version: Option<i32>,
    changes: Changes,
    mut faults: Vec<DomainError>,
    viewer: &Viewer,
    request_id: Uuid,
) -> Result<Change, Vec<DomainError>> {
    let expected_version = expected_version.map(u32::try_from).transpose().map_err(|_| {
        DomainError::at(DomainErrorCode::InvalidInput, "must not be negative", ["input", "expectedVersion"])
    });
    let order_id = id.parse::<OrderId>().map_err(|_| {
        DomainError::at(DomainErrorCode::OrderNotFound, "there is no such order", ["input", "id"])
    });
    match (order_id, expected_version) {
        (Ok(order_id), Ok(expected_version)) if faults.is_empty() => {
            Ok(Change { request_id, order_id, owner: viewer.order_scope(), changes, expected_version })
        }
        (order_id, expected_version) => {
            faults.extend(order_id.err());
            faults.extend(expected_version.err());
            Err(faults)
        }
    }
}

/// What a changed order, or the refusals, come to.
pub(super) trait ChangePayload: Sized {
    fn changed(order: WireOrder) -> Self;
    fn refused(user_errors: Vec<UserError>) -> Self;

    fn of(result: Result<WireOrder, Vec<DomainError>>) -> Result<Self, GraphqlError> {
        match result {
            Ok(order) => Ok(Self::changed(order)),
            Err(refusals) => Ok(Self::refused(user_errors(refusals)?)),
        }
    }
}

impl ChangePayload for UpdateOrderPayload {
    fn changed(order: WireOrder) -> Self {
        Self { order: Some(order.into()), user_errors: Vec::new() }
    }

    fn refused(user_errors: Vec<UserError>) -> Self {
        Self { order: None, user_errors }
    }
}

impl ChangePayload for CancelOrderPayload {
    fn changed(order: WireOrder) -> Self {
        Self { order: Some(order.into()), user_errors: Vec::new() }
    }

    fn refused(user_errors: Vec<UserError>) -> Self {
        Self { order: None, user_errors }
    }
}

impl ChangePayload for DeleteOrderPayload {
    fn changed(order: WireOrder) -> Self {
        Self { deleted_order_id: Some(ID::from(order.id)), user_errors: Vec::new() }
    }

    fn refused(user_errors: Vec<UserError>) -> Self {
        Self { deleted_order_id: None, user_errors }
    }
}
