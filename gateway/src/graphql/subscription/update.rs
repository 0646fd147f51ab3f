use async_graphql::{ID, Object};
use schema::cursor::UpdateCursor;
use schema::order_events::{EventKind, OrderEvent};
use std::sync::Arc;

use crate::graphql::order::{Order, OrderStatus, OrderUpdateKind};
use crate::graphql::scalars::{DateTime, int};

/// An event as its subscribers see it; they share it.
pub(crate) struct OrderUpdate(pub(super) Arc<OrderEvent>);

#[Object]
impl OrderUpdate {
    /// Pass it as `after` to resume just past this update.
    fn cursor(&self) -> String {
        UpdateCursor { order_id: self.0.order_id, version: self.0.version }.encode()
    }

    fn kind(&self) -> OrderUpdateKind {
        self.0.kind.into()
    }

    fn order_id(&self) -> ID {
        ID::from(self.0.order_id)
    }

    /// The order's version that this update made.
    fn version(&self) -> i32 {
        int(self.0.version)
    }

    /// The order as it stood right after this update (a snapshot: a cache keeps the greater version); null where it was deleted.
    fn order(&self) -> Option<Order> {
        match self.0.kind {
            EventKind::Deleted => None,
            EventKind::Created | EventKind::StatusChanged | EventKind::DetailsChanged => {
                Some(Order::from(self.0.order.clone()))
            }
        }
    }

    fn status(&self) -> OrderStatus {
        self.0.order.status.into()
    }

    fn previous_status(&self) -> Option<OrderStatus> {
        self.0.previous_status.map(OrderStatus::from)
    }

    fn occurred_at(&self) -> DateTime {
        DateTime(self.0.occurred_at)
    }
}
