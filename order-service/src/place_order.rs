//! The command `order.create`: places orders in batches, one order per id.

use std::collections::{BTreeMap, HashMap, HashSet};

use async_trait::async_trait;
use bus::clock::Deadline;
use bus::consumer::{Disposition, Job, MessageHandler};
use bus::message::header;
use bus::rpc_server::{no_handler, respond};
use schema::domain_error::DomainResult;
use schema::ids::OrderId;
use schema::order::{Order, OrderStatus};
use schema::order_messages::{CreateOrder, OrderCreated};
use schema::pattern::ORDER_CREATE;
use schema::time::Timestamp;
use store::failpoint::Failpoint;
use store::{StoreError, retrying};
use uuid::Uuid;

use crate::checks::{Blocker, Check, CheckResult, run_checks};
use crate::context::Context;
use crate::domain::place::decide;
use crate::orders::{NewOrder, OrderRow, find, insert};

/// How often an id is looked up again because another copy is placing it, or has fenced it.
const ROUNDS: u32 = 4;
/// The attempt that stock is reserved under if nothing is known of an order.
const FIRST_ATTEMPT: u32 = 1;

/// Handles `order.create`.
///
/// If customer-service or inventory-service does not answer, an order is stored as PENDING. If the own database is
/// unavailable, the batch is retried in place.
pub struct PlaceOrders(pub Context);

#[async_trait]
impl MessageHandler for PlaceOrders {
    async fn handle(&self, batch: &[Job]) -> Vec<Disposition> {
        let commands: Vec<_> = batch.iter().map(Command::read).collect();
        // The first command of an id places the order; the others are answered from the row.
        let mut open = BTreeMap::new();
        for command in commands.iter().filter_map(|command| command.as_ref().ok()) {
            open.entry(command.create.order_id).or_insert(command);
        }
        let deadline = Deadline::after(self.0.timeouts.place_timeout);
        let placed = Placement { context: &self.0, deadline, placed: HashMap::new() }.place(open).await;
        let disposition = |command: Result<Command<'_>, Disposition>| match command {
            Err(disposition) => disposition,
            Ok(command) => match placed.get(&command.create.order_id) {
                Some(Ok(row)) => command.answer(row),
                Some(Err(error)) if !error.is_transient() => Disposition::Retry(error.clone().into()),
                Some(Err(error)) => Disposition::RetryInPlace(error.clone().into()),
                None => Disposition::RetryInPlace(
                    StoreError::Contention("other copies are placing this order".to_owned()).into(),
                ),
            },
        };
        commands.into_iter().map(disposition).collect()
    }
}

#[derive(Debug)]
struct Command<'a> {
    job: &'a Job,
    create: CreateOrder,
    /// Identifies the command, also when it is sent again; the order's id if the sender named none.
    message_id: Uuid,
}

impl<'a> Command<'a> {
    /// Returns the command, or the disposition on a message that is not a valid one.
    fn read(job: &'a Job) -> Result<Self, Disposition> {
        if job.envelope.pattern != ORDER_CREATE {
            return Err(Disposition::Dead(no_handler(&job.envelope.pattern)));
        }
        let create: CreateOrder = job.envelope.data().map_err(Disposition::Dead)?;
        if let Some(refused) = create.validate().into_iter().next() {
            return Err(done(job, || DomainResult::Refused { refused }));
        }
        let message_id = job.message.message_id.as_deref().and_then(|id| Uuid::parse_str(id).ok());
        Ok(Self { job, message_id: message_id.unwrap_or(create.order_id.0), create })
    }

    /// Answers with the committed row of its id, stored by this command or by another one.
    fn answer(&self, row: &OrderRow) -> Disposition {
        done(self.job, || match (self.create.check_same_input(&row.order), row.deleted) {
            (Err(refused), _) => DomainResult::Refused { refused },
            (Ok(()), true) => DomainResult::Done(OrderCreated { order: None, replayed: true }),
            (Ok(()), false) => DomainResult::Done(OrderCreated {
                order: Some(row.order.clone()),
                replayed: row.created_by != self.message_id,
            }),
        })
    }
}

/// The disposition of a handled command; `answer` is made only if the sender waits for one.
fn done(job: &Job, answer: impl FnOnce() -> DomainResult<OrderCreated>) -> Disposition {
    if job.message.reply_to.is_none() {
        return Disposition::Done(None);
    }
    respond(&answer()).map_or_else(Disposition::Dead, |answer| Disposition::Done(Some(answer)))
}

/// Places a batch in rounds, looking up again what other copies did to its orders in the meantime.
struct Placement<'a> {
    context: &'a Context,
    /// All rounds share one deadline for their checks.
    deadline: Deadline,
    placed: HashMap<OrderId, Result<OrderRow, StoreError>>,
}

/// An order to be placed in this round.
struct Draft<'a> {
    command: &'a Command<'a>,
    order: Order,
    attempt: u32,
    over_fence: bool,
}

impl<'a> Placement<'a> {
    /// Returns the committed row of each id, or why there is none. An id that other copies changed in every round is
    /// left out.
    async fn place(
        mut self,
        mut open: BTreeMap<OrderId, &'a Command<'a>>,
    ) -> HashMap<OrderId, Result<OrderRow, StoreError>> {
        for round in 1..=ROUNDS {
            if open.is_empty() {
                break;
            }
            if let Err(error) = self.place_once(&open, round == ROUNDS).await {
                self.placed.extend(open.keys().map(|&id| (id, Err(error.clone()))));
            }
            open.retain(|id, _| !self.placed.contains_key(id));
        }
        self.placed
    }

    async fn place_once(
        &mut self,
        open: &BTreeMap<OrderId, &'a Command<'a>>,
        is_last: bool,
    ) -> Result<(), StoreError> {
        let drafts = self.drafts(open).await?;
        if drafts.is_empty() {
            return Ok(());
        }
        let checks: Vec<Check<'_>> =
            drafts.iter().map(|draft| Check { order: &draft.order, attempt: draft.attempt }).collect();
        let results =
            run_checks(&*self.context.rpc, &self.context.known_customers, &checks, self.deadline).await;
        if results.iter().any(CheckResult::holds_stock) {
            self.context.failpoints.hit(Failpoint::AfterReserveBeforeCommit).await;
        }
        // Only what makes an order PENDING needs the database's time.
        let now = if results.iter().any(|result| result.blocker.is_some()) {
            self.context.database.now().await?
        } else {
            self.context.clock.now()
        };
        let new_orders: Vec<NewOrder> = drafts
            .into_iter()
            .zip(results)
            // A settled order's row has changed: look it up again, unless there is no time for it.
            .filter(|(_, result)| is_last || result.blocker != Some(Blocker::Closed))
            .map(|(draft, result)| self.new_order(draft, &result, now))
            .collect();
        self.insert_all(&new_orders).await;
        Ok(())
    }

    /// Returns drafts of the orders that are not stored yet; stored ones are placed.
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
                Some(row) if !row.is_fence() => {
                    self.placed.insert(id, Ok(row));
                    continue;
                }
                fence => fence.map(|fence| fence.attempt),
            };
            drafts.push(Draft {
                command,
                order: command.create.pending_order(1, now),
                attempt: fenced_attempt.map_or(FIRST_ATTEMPT, |attempt| attempt + 1),
                over_fence: fenced_attempt.is_some(),
            });
        }
        Ok(drafts)
    }

    fn new_order(&self, draft: Draft<'_>, result: &CheckResult, now: Timestamp) -> NewOrder {
        let order = decide(draft.order, &result.facts);
        if order.status == OrderStatus::Pending {
            tracing::info!(order_id = %order.id, "order stored as PENDING");
        }
        NewOrder {
            order,
            attempt: draft.attempt,
            created_by: draft.command.message_id,
            idempotency_key: draft.command.create.idempotency_key.clone(),
            // The order's first event continues the command's trace.
            traceparent: draft.command.job.message.header_text(header::TRACEPARENT).map(str::to_owned),
            event_id: self.context.ids.fresh(),
            over_fence: draft.over_fence,
            now,
        }
    }

    /// Inserts the orders together, or one by one if something is wrong with the data of one.
    async fn insert_all(&mut self, new_orders: &[NewOrder]) {
        if new_orders.is_empty() {
            return;
        }
        match self.insert_batch(new_orders).await {
            Ok(()) => {}
            Err(error) if error.is_transient() || new_orders.len() == 1 => {
                let failed = new_orders.iter().map(|new_order| (new_order.order.id, Err(error.clone())));
                self.placed.extend(failed);
            }
            Err(_) => {
                for new_order in new_orders {
                    if let Err(error) = self.insert_batch(std::slice::from_ref(new_order)).await {
                        self.placed.insert(new_order.order.id, Err(error));
                    }
                }
            }
        }
    }

    async fn insert_batch(&mut self, new_orders: &[NewOrder]) -> Result<(), StoreError> {
        let database = &self.context.database;
        let inserted: HashSet<OrderId> = retrying(|| insert(database, new_orders)).await?;
        self.context.committed.notify_one();
        self.context.failpoints.hit(Failpoint::AfterCommitBeforeAnswer).await;
        for new_order in new_orders.iter().filter(|new_order| inserted.contains(&new_order.order.id)) {
            metrics::counter!("waybill_orders_placed_total", "status" => new_order.order.status.as_str())
                .increment(1);
            self.placed.insert(new_order.order.id, Ok(new_order.to_row()));
        }
        Ok(())
    }
}
