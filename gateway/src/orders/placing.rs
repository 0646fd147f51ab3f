//! Placing an order: durable before anything is answered, and answered with as much as is known by then.

use async_trait::async_trait;
use bus::clock::Clock;
use bus::clock::Deadline;
use bus::clock::IdSource;
use bus::commands::{Accepted, Command, Commands};
use bus::failure::Failure;
use bus::transport::PublishError;
use schema::domain_error::{DomainError, DomainResult};
use schema::ids::{CustomerId, OrderId};
use schema::order::Order;
use schema::order_messages::{CreateOrder, Item, OrderCreated, OrderRef, OrderScope};
use schema::pattern::{ORDER_CREATE, ORDER_GET};
use std::sync::Arc;
use std::time::Duration;

use super::Backend;

/// How long a look at the stored order may hold up an answer that could be given without it.
const READ_BACK_LIMIT: Duration = Duration::from_millis(500);

/// Sends the command that places an order. See [`Commands::send`] for what it promises.
#[async_trait]
pub trait SendCommand: Send + Sync + 'static {
    /// Sends until confirmed or `deadline`; with `wait`, then awaits the answer for so long.
    async fn send(
        &self,
        command: &Command<'_, CreateOrder>,
        deadline: Deadline,
        wait: Option<Duration>,
    ) -> Result<Accepted, PublishError>;
}

#[async_trait]
impl SendCommand for Commands {
    async fn send(
        &self,
        command: &Command<'_, CreateOrder>,
        deadline: Deadline,
        wait: Option<Duration>,
    ) -> Result<Accepted, PublishError> {
        Self::send(self, command, deadline, wait).await
    }
}

/// What placing an order came to.
#[derive(Debug)]
pub(crate) enum Progress {
    /// order-service's own answer.
    OrderCreated(OrderCreated),
    /// Refused; the caller can put it right.
    Refused(DomainError),
    /// Accepted, and not taken yet as far as is known: PENDING at version 0.
    Accepted(Order),
    /// Accepted, and read back. Whether it was there before is not always known.
    Stored { order: Order, replayed: Option<bool> },
}

/// Why it is not known that the order was accepted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlacingError {
    /// The command was not, or not certainly, accepted.
    #[error(transparent)]
    Unsent(#[from] PublishError),
    /// The operation has taken too long already; nothing was sent.
    #[error("not sent, the operation has taken too long already")]
    TooLate,
    /// The command was given up on; an operator may still replay it.
    #[error("the command was given up on: {0}")]
    GivenUp(Failure),
}

/// Places orders.
#[derive(Clone)]
pub(crate) struct Placing {
    pub(crate) commands: Arc<dyn SendCommand>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn IdSource>,
    /// How long the outcome is waited for.
    pub(crate) wait: Duration,
}

impl Placing {
    /// A placement as of now, under the id that its key names, or else a fresh one. Not checked yet.
    pub(crate) fn placement(
        &self,
        customer_id: CustomerId,
        items: Vec<Item>,
        shipping_address: Option<String>,
        idempotency_key: Option<String>,
    ) -> CreateOrder {
        let order_id = match &idempotency_key {
            Some(key) => OrderId::for_idempotency_key(&customer_id, key),
            None => OrderId(self.ids.fresh()),
        };
        let placed_at = self.clock.now();
        CreateOrder { order_id, customer_id, items, shipping_address, idempotency_key, placed_at }
    }

    /// Sends the order on its way and, with `wait`, awaits what becomes of it for a while.
    pub(crate) async fn place(
        &self,
        placement: &CreateOrder,
        wait: bool,
        backend: &Backend,
    ) -> Result<Progress, PlacingError> {
        let command = Command {
            pattern: ORDER_CREATE,
            data: placement,
            message_id: self.ids.fresh(),
            timestamp: placement.placed_at,
        };
        let deadline = backend.deadline();
        if deadline.has_passed() {
            return Err(PlacingError::TooLate);
        }
        let wait = wait.then(|| self.wait.min(deadline.remaining()));
        match self.commands.send(&command, deadline, wait).await? {
            Accepted::Answered(Err(failure)) => Err(PlacingError::GivenUp(failure)),
            Accepted::Answered(Ok(answer)) => match serde_json::from_str(answer.get()) {
                Ok(DomainResult::Done(placed)) => Ok(Progress::OrderCreated(placed)),
                Ok(DomainResult::Refused { refused }) => Ok(Progress::Refused(refused)),
                Err(error) => {
                    tracing::error!(%error, "the answer to order.create could not be read");
                    Ok(accepted(placement, backend).await)
                }
            },
            Accepted::Unanswered => Ok(accepted(placement, backend).await),
        }
    }
}

/// What can be said of an order that was accepted and not answered for.
///
/// Only with a key may it have been there before; a fresh id has nothing to look up.
async fn accepted(placement: &CreateOrder, backend: &Backend) -> Progress {
    let pending = placement.pending_order(0, placement.placed_at);
    if placement.idempotency_key.is_none() {
        return Progress::Accepted(pending);
    }
    let owner = OrderScope::Customer { customer_id: placement.customer_id.clone() };
    let order = OrderRef { order_id: placement.order_id, owner };
    match backend.hurried(READ_BACK_LIMIT).ask_one(ORDER_GET, &order).await {
        Ok(Some::<Order>(stored)) => match placement.check_same_input(&stored) {
            Ok(()) => {
                // An order is as old as the command that made it.
                let replayed = (stored.created_at != placement.placed_at).then_some(true);
                Progress::Stored { order: stored, replayed }
            }
            Err(refusal) => Progress::Refused(refusal),
        },
        Ok(None) => Progress::Accepted(pending),
        Err(error) => {
            tracing::debug!(%error, "an accepted order could not be read back");
            Progress::Accepted(pending)
        }
    }
}
