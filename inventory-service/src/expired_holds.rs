//! Asking order-service what became of the orders that stock is held for. No clock releases stock; it only asks.

use std::sync::Arc;
use std::time::Duration;

use bus::deadline::Deadline;
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
use crate::storage::tables::reservation::{Column, Entity};

/// Holds asked about in one request.
const BATCH: u64 = 100;
/// The longest pause between two looks for holds to ask about.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);

/// Asks about holds that have been unheard of for too long.
#[derive(Clone)]
pub struct SettleExpiredHolds {
    /// Whose holds.
    pub inventory: Inventory,
    /// Asks order-service.
    pub rpc: Arc<dyn RpcClient>,
    /// How long an answer is waited for.
    pub timeout: Duration,
}

/// Why holds could not be settled now. They stay as they are and are asked about again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettleError {
    /// Our own database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Order-service gave no answer.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// Order-service gave no answer for each question.
    #[error("order-service gave {answers} answers to {questions} questions")]
    Mismatch {
        /// Holds asked about.
        questions: usize,
        /// Answers.
        answers: usize,
    },
}

impl SettleExpiredHolds {
    /// Asks about the holds that are due, a bounded number, and applies the answers. Says how many were asked about.
    ///
    /// A hold is put off for one hold time before it is asked about: several copies don't ask the same, and what is
    /// not answered is asked again then. No transaction is open while the answer is awaited.
    pub async fn tick(&self, now: Timestamp) -> Result<usize, SettleError> {
        let questions = self.claim(now).await?;
        if questions.is_empty() {
            return Ok(0);
        }
        let deadline = Deadline::after(self.timeout);
        let answers: Vec<Settled> = request(&*self.rpc, ORDER_SETTLE, &questions, deadline).await?;
        if answers.len() != questions.len() {
            return Err(SettleError::Mismatch { questions: questions.len(), answers: answers.len() });
        }
        let voided = answers.iter().filter(|answer| **answer == Settled::Void).count();
        let asked = questions.len();
        if voided > 0 {
            self.inventory.failpoints.hit(Failpoint::AfterVoidBeforeRelease).await;
        }
        self.inventory.settle(&questions.into_iter().zip(answers).collect::<Vec<_>>()).await?;
        metrics::counter!("waybill_holds_settled_total").increment(asked as u64);
        if voided > 0 {
            tracing::info!(asked, voided, "stock that no order came for is free again");
        }
        Ok(asked)
    }

    /// Ticks by the database's clock until `stop`.
    pub async fn run(self, heartbeat: Heartbeat, stop: CancellationToken) {
        let pause = (self.inventory.hold_time.0 / 4).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        while !stop.is_cancelled() {
            heartbeat.beat();
            let asked = match self.inventory.database.now().await {
                Ok(now) => self.tick(now).await,
                Err(error) => Err(error.into()),
            };
            match asked {
                // There may be more.
                Ok(asked) if asked as u64 == BATCH => continue,
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "holds could not be settled"),
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
        let settle = |row: crate::storage::tables::reservation::Model| Settle {
            order_id: OrderId(row.order_id),
            attempt: u32::try_from(row.attempt).unwrap_or(u32::MAX),
        };
        Ok(claimed.into_iter().map(settle).collect())
    }
}
