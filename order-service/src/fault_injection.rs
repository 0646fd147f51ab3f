//! This service with a safeguard disabled, for tests of the checks. Only builds with the feature `fault-injection` contain
//! this module.

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
use store::failpoint::Failpoints;
use store::relay::{OutboxSource, Publication, Relay};
use store::{Database, StoreError};

use crate::context::Context;
use crate::orders::find;
use crate::tables::order_event;

/// More events than any test leaves unpublished.
const EVENTS_MAX: u64 = 10_000;
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(10);

/// Connects the failpoints of `context` to the faults that a test injects.
pub(crate) fn failpoints(context: Context) -> Context {
    Context { failpoints: Failpoints::by_name(service_kit::fault_injection::hit), ..context }
}

/// The relay, without its outbox if [`Safeguard::Outbox`] is disabled.
pub(crate) fn outbox(relay: Relay) -> Relay {
    if !is_disabled(Safeguard::Outbox) {
        return relay;
    }
    let (database, transport) = (relay.database.clone(), Arc::clone(&relay.transport));
    let events = Arc::clone(&relay.events);
    Relay {
        events: Arc::new(WithoutOutbox { events, database, transport, last_position: AtomicI64::new(-1) }),
        ..relay
    }
}

/// Publishes each event once, right after its commit, and leaves nothing to the relay. It never publishes an event that
/// was committed but unpublished when the process died, or whose publishing failed.
struct WithoutOutbox {
    events: Arc<dyn OutboxSource>,
    database: Database,
    transport: SharedTransport,
    /// The last position that it has handled; negative before the first call.
    last_position: AtomicI64,
}

#[async_trait]
impl OutboxSource for WithoutOutbox {
    async fn unpublished(&self, _: u64) -> Result<Vec<Publication>, StoreError> {
        let waiting = self.events.unpublished(EVENTS_MAX).await?;
        let head = waiting.last().map_or(0, |last| last.position);
        let last = self.last_position.fetch_max(head, Ordering::SeqCst);
        if last < 0 {
            return Ok(Vec::new());
        }
        let fresh = waiting.into_iter().filter(|event| event.position > last);
        let (positions, messages): (Vec<i64>, Vec<_>) =
            fresh.map(|event| (event.position, (event.target, event.message))).unzip();
        let published = self.transport.publish(messages, CONFIRM_TIMEOUT).await;
        let confirmed = positions.into_iter().zip(published).filter(|(_, result)| result.is_ok());
        self.mark(confirmed.map(|(position, _)| position).collect()).await?;
        Ok(Vec::new())
    }
}

impl WithoutOutbox {
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

/// The handler of commands, which does not recognise existing orders if [`Safeguard::Deduplication`] is disabled.
pub(crate) fn deduplication(orders: Arc<dyn MessageHandler>, context: &Context) -> Arc<dyn MessageHandler> {
    if is_disabled(Safeguard::Deduplication) {
        Arc::new(WithoutDeduplication { orders, context: context.clone() })
    } else {
        orders
    }
}

/// Turns a command for an existing order into one for another order.
struct WithoutDeduplication {
    orders: Arc<dyn MessageHandler>,
    context: Context,
}

#[async_trait]
impl MessageHandler for WithoutDeduplication {
    async fn handle(&self, batch: &[Job]) -> Vec<Disposition> {
        let mut batch = batch.to_vec();
        for job in &mut batch {
            let Ok(mut placement) = job.envelope.data::<CreateOrder>() else { continue };
            let stored = find(self.context.database.read(), [placement.order_id]).await;
            if stored.is_ok_and(|stored| !stored.is_empty()) {
                placement.order_id = OrderId(self.context.ids.fresh());
                // The key would name the first order.
                placement.idempotency_key = None;
                job.envelope.data = to_raw_value(&placement).expect("a parsed command serialises");
            }
        }
        self.orders.handle(&batch).await
    }
}
