//! Applies order events that never came: their queue may have been deleted or emptied with them in it. Events are kept in
//! the orders' database, so that each is looked at again some time after it was published.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bus::clock::Deadline;
use bus::heartbeat::Heartbeat;
use bus::rpc_client::{RpcClient, request};
use schema::domain_error::DomainResult;
use schema::ids::OrderId;
use schema::limits::REPLAY_MAX;
use schema::order::OrderStatus;
use schema::order_events::OrderEvent;
use schema::order_messages::{OrderScope, Replay, ReplayFrom, Replayed};
use schema::pattern::ORDER_REPLAY;
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QuerySelect as _};
use store::StoreError;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::expired_holds::{SettleError, pause};
use crate::inventory::Inventory;
use crate::stock::ReportedState;
use crate::tables::{checked_order_events, reservation};

/// The row of the table that holds the position.
const ROW: i32 = 1;

/// Compares order events with the reservations, one pause after they were published.
///
/// Any number of copies may run: each event is looked at once at least, and applying it again changes nothing.
pub struct ApplyMissedEvents {
    pub inventory: Inventory,
    /// Calls order-service.
    pub rpc: Arc<dyn RpcClient>,
    /// How long order-service may take to answer.
    pub timeout: Duration,
    /// The last position at the end of the previous tick: what came later may still be on its way.
    pub aged: i64,
}

/// What a tick found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compared {
    /// Events that had not been applied, and now are.
    pub missed: usize,
    /// Whether older events are still to be looked at.
    pub more: bool,
}

impl ApplyMissedEvents {
    /// Looks at a bounded number of events. No transaction is open during the request.
    pub async fn tick(&mut self) -> Result<Compared, SettleError> {
        let Some(position) = self.position().await? else {
            // What was before is settled by asking about holds.
            let head = self.replay(None, 0).await?.head;
            self.advance(None, head).await?;
            self.aged = head;
            return Ok(Compared { missed: 0, more: false });
        };
        let waiting = u32::try_from(self.aged.saturating_sub(position)).unwrap_or_default();
        let Replayed { mut events, next, head } =
            self.replay(Some(position), waiting.min(REPLAY_MAX)).await?;
        events.retain(|event| event.position <= self.aged);
        let missed = self.apply(&events).await?;
        // Beyond the head is a position of a database that has been restored since.
        let reached = if head < position { head } else { next.min(self.aged).max(position) };
        if reached != position {
            self.advance(Some(position), reached).await?;
        }
        let more = reached < self.aged.min(head);
        if !more {
            self.aged = head;
        }
        Ok(Compared { missed, more })
    }

    /// Ticks until `stop`.
    pub async fn run(mut self, heartbeat: Heartbeat, stop: CancellationToken) {
        let pause = pause(self.inventory.hold_time);
        while !stop.is_cancelled() {
            heartbeat.beat();
            match self.tick().await {
                Ok(Compared { more: true, .. }) => continue,
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, "cannot compare order events"),
            }
            stop.run_until_cancelled(tokio::time::sleep(pause)).await;
        }
    }

    /// Applies those of the events that are newer than what is known of their orders, and returns how many orders that
    /// concerned.
    async fn apply(&self, events: &[OrderEvent]) -> Result<usize, SettleError> {
        let mut newest: HashMap<OrderId, &OrderEvent> = HashMap::new();
        for event in events {
            newest.insert(event.order_id, event);
        }
        if newest.is_empty() {
            return Ok(0);
        }
        let known: Vec<(Uuid, i64)> = reservation::Entity::find()
            .select_only()
            .columns([reservation::Column::OrderId, reservation::Column::Version])
            .filter(reservation::Column::OrderId.is_in(newest.keys().map(|order_id| order_id.0)))
            .into_tuple()
            .all(self.inventory.database.read())
            .await
            .map_err(StoreError::from)?;
        let known: HashMap<Uuid, i64> = known.into_iter().collect();
        let is_missed = |event: &&OrderEvent| match known.get(&event.order_id.0) {
            Some(version) => *version < i64::from(event.version),
            // An order that was never decided holds nothing, and has no row.
            None => event.order.status != OrderStatus::Pending,
        };
        let missed: Vec<ReportedState> =
            newest.into_values().filter(is_missed).map(ReportedState::from).collect();
        if missed.is_empty() {
            return Ok(0);
        }
        match self.inventory.reconcile(&missed).await {
            Ok(_) => {}
            Err(error) if error.is_transient() => return Err(error.into()),
            // The data of one are at fault: it must not keep the others.
            Err(_) => {
                for state in &missed {
                    if let Err(error) = self.inventory.reconcile(std::slice::from_ref(state)).await {
                        tracing::error!(order_id = %state.order_id, %error, "cannot apply an order event that had not come");
                    }
                }
            }
        }
        metrics::counter!("waybill_missed_events_total").increment(missed.len() as u64);
        tracing::warn!(orders = missed.len(), "order events had not come, and are applied now");
        Ok(missed.len())
    }

    async fn replay(&self, after: Option<i64>, limit: u32) -> Result<Replayed, SettleError> {
        let after = after.map(ReplayFrom::Position);
        let replay = Replay { owner: OrderScope::Any, order_id: None, after, limit };
        let deadline = Deadline::after(self.timeout);
        let mut answers: Vec<DomainResult<Replayed>> =
            request(&*self.rpc, ORDER_REPLAY, &[&replay], deadline).await?;
        match answers.pop() {
            Some(DomainResult::Done(replayed)) => Ok(replayed),
            // The position is from before what is kept: the comparison goes on from the end.
            Some(DomainResult::Refused { .. }) if replay.after.is_some() => {
                let Replayed { head, .. } = Box::pin(self.replay(None, 0)).await?;
                Ok(Replayed { events: Vec::new(), next: head, head })
            }
            Some(DomainResult::Refused { .. }) | None => {
                Err(SettleError::Mismatch { holds: 1, answers: answers.len() })
            }
        }
    }

    /// The position up to which events were looked at; none if they never were.
    async fn position(&self) -> Result<Option<i64>, StoreError> {
        let row = checked_order_events::Entity::find_by_id(ROW).one(self.inventory.database.read()).await?;
        Ok(row.map(|row| row.position))
    }

    /// Moves the position, unless another copy has.
    async fn advance(&self, from: Option<i64>, to: i64) -> Result<(), StoreError> {
        let writer = self.inventory.database.write();
        let row = checked_order_events::ActiveModel { id: Set(ROW), position: Set(to) };
        match from {
            None => {
                let once = OnConflict::column(checked_order_events::Column::Id).do_nothing().to_owned();
                checked_order_events::Entity::insert(row)
                    .on_conflict(once)
                    .exec_without_returning(writer)
                    .await?;
            }
            Some(from) => {
                let still = checked_order_events::Column::Position.eq(from);
                checked_order_events::Entity::update_many().set(row).filter(still).exec(writer).await?;
            }
        }
        Ok(())
    }
}
