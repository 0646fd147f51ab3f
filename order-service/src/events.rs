//! Telling: numbered events, read for the relay.

use async_trait::async_trait;
use bus::events::event_message;
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _};
use store::relay::{OutboxSource, Publication};
use store::{Database, StoreError};

use crate::orders::event_of_row;
use crate::tables::order_event;

/// The outbox of orders.
pub(crate) struct OrderEvents {
    pub(crate) database: Database,
}

#[async_trait]
impl OutboxSource for OrderEvents {
    async fn unpublished(&self, limit: u64) -> Result<Vec<Publication>, StoreError> {
        let rows = order_event::Entity::find()
            .filter(order_event::Column::PublishedAt.is_null())
            .filter(Expr::col(order_event::Column::Position).gt(0))
            .order_by_asc(order_event::Column::Position)
            .limit(limit)
            .all(self.database.read())
            .await?;
        rows.into_iter().map(publication).collect()
    }
}

fn publication(row: order_event::Model) -> Result<Publication, StoreError> {
    let (id, traceparent) = (row.id, row.traceparent.clone());
    let event = event_of_row(row)?;
    let (target, message) = event_message(id, &event, traceparent.as_deref());
    Ok(Publication { position: event.position, target, message })
}
