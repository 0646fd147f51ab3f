//! This service without what keeps its promises, for tests that must find them broken. Debug builds alone contain it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bus::consumer::{Disposition, Job, MessageHandler};
use bus::transport::SharedTransport;
use schema::ids::OrderId;
use schema::order_messages::CreateOrder;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _};
use serde_json::value::to_raw_value;
use service_kit::fault_injection::{Safeguard, is_disabled};
use store::relay::{OutboxSource, Publication, Relay};
use store::{Database, StoreError};

use crate::context::Context;
use crate::orders::find;
use crate::tables::order_event;

/// Events looked at together: more than any test leaves unpublished.
const MANY: u64 = 10_000;
const CONFIRM_LIMIT: Duration = Duration::from_secs(10);

/// The relay, which may have to do without its outbox.
pub(crate) fn outbox(relay: Relay) -> Relay {
    if !is_disabled(Safeguard::Outbox) {
        return relay;
    }
    let (database, transport) = (relay.database.clone(), Arc::clone(&relay.transport));
    let events = Arc::clone(&relay.events);
    Relay {
        events: Arc::new(Unremembered { events, database, transport, told: AtomicI64::new(-1) }),
        ..relay
    }
}

/// Publishes each event once, right after its commit, and leaves nothing to the relay: what was committed and not
/// published when the process died, or could not be published, nobody thinks of again.
struct Unremembered {
    events: Arc<dyn OutboxSource>,
    database: Database,
    transport: SharedTransport,
    /// The last position that it is done with; negative until it has begun.
    told: AtomicI64,
}

#[async_trait]
impl OutboxSource for Unremembered {
    async fn unpublished(&self, _: u64) -> Result<Vec<Publication>, StoreError> {
        let waiting = self.events.unpublished(MANY).await?;
        let head = waiting.last().map_or(0, |last| last.position);
        let told = self.told.fetch_max(head, Ordering::SeqCst);
        if told < 0 {
            return Ok(Vec::new());
        }
        let fresh = waiting.into_iter().filter(|event| event.position > told);
        let (positions, messages): (Vec<i64>, Vec<_>) =
            fresh.map(|event| (event.position, (event.target, event.message))).unzip();
        let published = self.transport.publish(messages, CONFIRM_LIMIT).await;
        let confirmed = positions.into_iter().zip(published).filter(|(_, result)| result.is_ok());
        self.mark(confirmed.map(|(position, _)| position).collect()).await?;
        Ok(Vec::new())
    }
}

impl Unremembered {
    async fn mark(&self, positions: Vec<i64>) -> Result<(), StoreError> {
        if positions.is_empty() {
            return Ok(());
        }
        let now = self.database.now().await?;
        order_event::Entity::update_many()
            .col_expr(order_event::Column::PublishedAt, Expr::value(now.to_utc()))
            .filter(order_event::Column::Position.is_in(positions))
            .exec(self.database.write())
            .await?;
        Ok(())
    }
}

/// Whoever places orders, who may have to do without knowing those that are placed already.
pub(crate) fn deduplication(orders: Arc<dyn MessageHandler>, context: &Context) -> Arc<dyn MessageHandler> {
    if is_disabled(Safeguard::Deduplication) {
        Arc::new(Forgetful { orders, context: context.clone() })
    } else {
        orders
    }
}

/// Places what comes again as another order.
struct Forgetful {
    orders: Arc<dyn MessageHandler>,
    context: Context,
}

#[async_trait]
impl MessageHandler for Forgetful {
    async fn handle(&self, batch: &[Job]) -> Vec<Disposition> {
        let mut batch = batch.to_vec();
        for work in &mut batch {
            let Ok(mut placement) = work.envelope.data::<CreateOrder>() else { continue };
            let stored = find(self.context.database.read(), [placement.order_id]).await;
            if stored.is_ok_and(|stored| !stored.is_empty()) {
                placement.order_id = OrderId(self.context.ids.fresh());
                // It would name the first.
                placement.idempotency_key = None;
                work.envelope.data = to_raw_value(&placement).expect("what was read can be written");
            }
        }
        self.orders.handle(&batch).await
    }
}
