use async_graphql::SimpleObject;
use schema::cursor::UpdateCursor;
use schema::ids::OrderId;
use schema::order_messages::HistoryEntry;

use super::{OrderStatus, OrderUpdateKind};
use crate::graphql::scalars::{DateTime, int};

#[derive(SimpleObject)]
pub(crate) struct OrderHistoryEntry {
    cursor: String,
    kind: OrderUpdateKind,
    version: i32,
    status: OrderStatus,
    previous_status: Option<OrderStatus>,
    occurred_at: DateTime,
}

impl OrderHistoryEntry {
    /// The entries of one order.
    pub(crate) fn all_of(order_id: OrderId, entries: &[HistoryEntry]) -> Vec<Self> {
        let entry = |entry: &HistoryEntry| Self {
            cursor: UpdateCursor { order_id, version: entry.version }.encode(),
            kind: entry.kind.into(),
            version: int(entry.version),
            status: entry.status.into(),
            previous_status: entry.previous_status.map(OrderStatus::from),
            occurred_at: DateTime(entry.occurred_at),
        };
        entries.iter().map(entry).collect()
    }
}
