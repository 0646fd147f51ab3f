//! Asks order-service about orders whose holds have gone without a report for too long. No clock releases stock: only
//! order-service's answer does.

use std::sync::Arc;
use std::time::Duration;

use bus::clock::Deadline;
use bus::heartbeat::Heartbeat;
use bus::rpc_client::{RequestError, RpcClient, request};
use schema::ids::OrderId;
use schema::order_messages::{Settle, Settled};
use schema::pattern::ORDER_SETTLE;
use schema::time::Timestamp;
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait as _, Condition, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};
use store::failpoint::Failpoint;
use store::{StoreError, retrying};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::inventory::Inventory;
use crate::stock::HoldTime;
use crate::tables::reservation::{Column, Entity, Model};

/// Holds of one request.
const BATCH: u64 = 100;
/// The pause between two looks for expired holds is a quarter of the hold time, within these limits.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Settles holds that have gone without a report for too long.
#[derive(Clone)]
pub struct SettleExpiredHolds {
    pub inventory: Inventory,
    /// Calls order-service.
    pub rpc: Arc<dyn RpcClient>,
    /// How long order-service may take to answer.
    pub timeout: Duration,
}

/// Why holds could not be settled. They stay as they are and are settled later.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettleError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("order-service gave {answers} answers about {holds} holds")]
    Mismatch { holds: usize, answers: usize },
}

/// The pause between two looks.
pub(crate) fn pause(hold_time: HoldTime) -> Duration {
    (hold_time.0 / 4).clamp(PAUSE_MIN, PAUSE_MAX)
}

impl SettleExpiredHolds {
    /// Asks about a bounded number of expired holds and applies the answers; returns the number of holds.
    ///
    /// Each hold is first postponed by one hold time, so that no other copy asks about it, and a hold without an answer
    /// is asked about again then. No transaction is open during the request.
    pub async fn tick(&self, now: Timestamp) -> Result<usize, SettleError> {
        let holds = self.claim(now).await?;
        if holds.is_empty() {
            return Ok(0);
        }
        let deadline = Deadline::after(self.timeout);
        let answers: Vec<Settled> = request(&*self.rpc, ORDER_SETTLE, &holds, deadline).await?;
        let settled = holds.len();
        if answers.len() != settled {
            return Err(SettleError::Mismatch { holds: settled, answers: answers.len() });
        }
        let voided = answers.iter().filter(|answer| **answer == Settled::Void).count();
        if voided > 0 {
            self.inventory.failpoints.hit(Failpoint::AfterVoidBeforeRelease).await;
        }
        self.inventory.settle(&holds.into_iter().zip(answers).collect::<Vec<_>>()).await?;
        metrics::counter!("waybill_holds_settled_total").increment(settled as u64);
        if voided > 0 {
            tracing::info!(settled, voided, "released holds that no order came of");
        }
        Ok(settled)
    }

    /// Ticks by the database's clock until `stop`.
    pub async fn run(self, heartbeat: Heartbeat, stop: CancellationToken) {
        let pause = pause(self.inventory.hold_time);
        while !stop.is_cancelled() {
            heartbeat.beat();
            let settled = match self.inventory.database.now().await {
                Ok(now) => self.tick(now).await,
                Err(error) => Err(error.into()),
            };
            match settled {
                // There may be more.
                Ok(settled) if settled as u64 == BATCH => continue,
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "cannot settle expired holds"),
            }
            stop.run_until_cancelled(tokio::time::sleep(pause)).await;
        }
    }

    async fn claim(&self, now: Timestamp) -> Result<Vec<Settle>, StoreError> {
        let database = &self.inventory.database;
        let due = || Condition::all().add(Column::State.eq("held")).add(Column::AskAt.lte(now.to_utc()));
        let ids: Vec<Uuid> = Entity::find()
            .select_only()
            .column(Column::OrderId)
            .filter(due())
            .order_by_asc(Column::AskAt)
            .limit(BATCH)
            .into_tuple()
            .all(database.read())
            .await?;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let again = self.inventory.hold_time.ask_at(now, false).to_utc();
        let claimed = retrying(|| async {
            let update = Entity::update_many()
                .col_expr(Column::AskAt, Expr::value(again))
                .filter(due().add(Column::OrderId.is_in(ids.iter().copied())));
            Ok(update.exec_with_returning(database.write()).await?)
        })
        .await?;
        let settle = |row: Model| Settle {
            order_id: OrderId(row.order_id),
            attempt: u32::try_from(row.attempt).unwrap_or(u32::MAX),
        };
        Ok(claimed.into_iter().map(settle).collect())
    }
}
