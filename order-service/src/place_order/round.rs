use std::collections::{BTreeMap, HashMap, HashSet};

use bus::deadline::Deadline;
use schema::ids::OrderId;
use schema::order::OrderStatus;
use schema::time::Timestamp;
use store::failpoint::Failpoint;
use store::{StoreError, retrying};

use super::command::Command;
use crate::backends::{Answer, Hurdle, Question, find_out};
use crate::context::Context;
use crate::domain::place::decide;
use crate::orders::{NewOrder, Stored, find, keep};

/// How often an id is looked at again because somebody else had it in hand, or had fenced it.
const ROUNDS: u32 = 4;
/// The attempt that stock is reserved under where nothing is known of an order.
const FIRST_ATTEMPT: u32 = 1;

/// Places a batch, looking again at what others did to its orders in the meantime.
pub(super) struct Rounds<'a> {
    context: &'a Context,
    deadline: Deadline,
    outcomes: HashMap<OrderId, Result<Stored, StoreError>>,
}

/// An order to be placed in this round.
struct Draft<'a> {
    command: &'a Command<'a>,
    order: schema::order::Order,
    attempt: u32,
    over_fence: bool,
}

impl<'a> Rounds<'a> {
    /// All rounds share one budget for asking others.
    pub(super) fn new(context: &'a Context) -> Self {
        let deadline = Deadline::after(context.timeouts.place_timeout);
        Self { context, deadline, outcomes: HashMap::new() }
    }

    /// The committed row of each id, whoever stored it, or why there is none. An id that others kept in
    /// motion through all rounds is left out.
    pub(super) async fn place(
        mut self,
        mut open: BTreeMap<OrderId, &'a Command<'a>>,
    ) -> HashMap<OrderId, Result<Stored, StoreError>> {
        for round in 1..=ROUNDS {
            if open.is_empty() {
                break;
            }
            let tried = self.round(&open, round == ROUNDS).await;
            if let Err(error) = tried {
                self.outcomes.extend(open.keys().map(|&id| (id, Err(error.clone()))));
            }
            open.retain(|id, _| !self.outcomes.contains_key(id));
        }
        self.outcomes
    }

    async fn round(
        &mut self,
        open: &BTreeMap<OrderId, &'a Command<'a>>,
        last: bool,
    ) -> Result<(), StoreError> {
        let drafts = self.drafts(open).await?;
        if drafts.is_empty() {
            return Ok(());
        }
        let questions: Vec<Question<'_>> =
            drafts.iter().map(|draft| Question { order: &draft.order, attempt: draft.attempt }).collect();
        let answers = find_out(&*self.context.rpc, &questions, self.deadline).await;
        if answers.iter().any(Answer::holds_stock) {
            self.context.failpoints.hit(Failpoint::AfterReserveBeforeCommit).await;
        }
        let now = self.context.database.now().await?;
        let new_orders: Vec<NewOrder> = drafts
            .into_iter()
            .zip(answers)
            // Its stock is settled, so its row has changed: look again, unless there is no time for it.
            .filter(|(_, answer)| last || answer.hurdle != Some(Hurdle::Closed))
            .map(|(draft, answer)| self.new_order(draft, &answer, now))
            .collect();
        self.keep(new_orders).await;
        Ok(())
    }

    /// The orders that are not stored yet. Those that are have their outcome.
    async fn drafts(
        &mut self,
        open: &BTreeMap<OrderId, &'a Command<'a>>,
    ) -> Result<Vec<Draft<'a>>, StoreError> {
        let database = &self.context.database;
        let mut rows = retrying(|| find(database.read(), open.keys().copied())).await?;
        let now = self.context.clock.now();
        let mut drafts = Vec::new();
        for (&id, &command) in open {
            let fenced_attempt = match rows.remove(&id) {
                Some(stored) if !stored.is_fence() => {
                    self.outcomes.insert(id, Ok(stored));
                    continue;
                }
                fence => fence.map(|fence| fence.attempt),
            };
            drafts.push(Draft {
                command,
                order: command.placement.pending_order(1, now),
                attempt: fenced_attempt.map_or(FIRST_ATTEMPT, |attempt| attempt + 1),
                over_fence: fenced_attempt.is_some(),
            });
        }
        Ok(drafts)
    }

    fn new_order(&self, draft: Draft<'_>, answer: &Answer, now: Timestamp) -> NewOrder {
        let order = decide(draft.order, &answer.finding);
        if order.status == OrderStatus::Pending {
            tracing::info!(order_id = %order.id, "stored as PENDING, to be tried again");
        }
        NewOrder {
            order,
            attempt: draft.attempt,
            created_by: draft.command.message_id,
            idempotency_key: draft.command.placement.idempotency_key.clone(),
            traceparent: draft.command.traceparent(),
            event_id: self.context.ids.fresh(),
            over_fence: draft.over_fence,
            now,
        }
    }

    /// Stores them together, or one by one where something is wrong with the data of one.
    async fn keep(&mut self, new_orders: Vec<NewOrder>) {
        if new_orders.is_empty() {
            return;
        }
        match self.keep_some(&new_orders).await {
            Ok(()) => {}
            Err(error) if error.is_transient() || new_orders.len() == 1 => self.failed(&new_orders, &error),
            Err(_) => {
                for new_order in new_orders {
                    let alone = std::slice::from_ref(&new_order);
                    if let Err(error) = self.keep_some(alone).await {
                        self.failed(alone, &error);
                    }
                }
            }
        }
    }

    async fn keep_some(&mut self, new_orders: &[NewOrder]) -> Result<(), StoreError> {
        let database = &self.context.database;
        let kept: HashSet<OrderId> = retrying(|| keep(database, new_orders)).await?;
        self.context.committed.notify_one();
        self.context.failpoints.hit(Failpoint::AfterCommitBeforeAnswer).await;
        for new_order in new_orders.iter().filter(|new_order| kept.contains(&new_order.order.id)) {
            metrics::counter!("waybill_orders_placed_total", "status" => new_order.order.status.as_str())
                .increment(1);
            self.outcomes.insert(new_order.order.id, Ok(new_order.stored()));
        }
        Ok(())
    }

    fn failed(&mut self, new_orders: &[NewOrder], error: &StoreError) {
        let failed = new_orders.iter().map(|new_order| (new_order.order.id, Err(error.clone())));
        self.outcomes.extend(failed);
    }
}
