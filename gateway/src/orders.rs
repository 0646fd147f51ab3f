//! What the gateway does with orders, whatever the API in front: requests to the services, and placing an order.

pub mod unseen;

use async_trait::async_trait;
use bus::clock::{Clock, Deadline, IdSource};
use bus::commands::{Accepted, Command, Commands};
use bus::failure::{Failure, FailureCode};
use bus::rpc_client::{RequestError, RpcClient, request};
use bus::transport::PublishError;
use schema::domain_error::{DomainError, DomainResult};
use schema::ids::{CustomerId, OrderId};
use schema::order::Order;
use schema::order_messages::{CreateOrder, Item, OrderCreated, OrderRef, OrderScope};
use schema::pattern::{ORDER_CREATE, ORDER_GET};
use serde::{Serialize, de::DeserializeOwned};
use std::{sync::Arc, time::Duration};

use self::unseen::UnseenOrders;

/// How long reading the stored order back may hold up an answer that could be given without it.
const READ_BACK_LIMIT: Duration = Duration::from_millis(500);

/// How long answers are waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Timeout {
    /// All requests of one operation share this deadline.
    Shared(Deadline),
    /// Each request has so long: for a subscription, which goes on without end.
    Each(Duration),
}

/// Sends one operation's requests to the services.
#[derive(Clone)]
pub(crate) struct ServiceClient {
    pub(crate) rpc: Arc<dyn RpcClient>,
    pub(crate) timeout: Timeout,
}

impl ServiceClient {
    /// Until when an answer to a request sent now is of use.
    pub(crate) fn deadline(&self) -> Deadline {
        match self.timeout {
            Timeout::Shared(deadline) => deadline,
            Timeout::Each(limit) => Deadline::after(limit),
        }
    }

    /// Sends several requests of one pattern in one message; answers come in their order. Sends nothing past the deadline.
    pub(crate) async fn call_batch<R: DeserializeOwned>(
        &self,
        pattern: &str,
        requests: &[impl Serialize + Sync],
    ) -> Result<Vec<R>, RequestError> {
        let failure =
            |code, reason| RequestError::Answered(Failure::new(code, format!("{pattern}: {reason}")));
        let deadline = self.deadline();
        if deadline.has_passed() {
            let reason = "not sent, the operation's time is over".to_owned();
            return Err(failure(FailureCode::DeadlineExceeded, reason));
        }
        let answers: Vec<R> = request(&*self.rpc, pattern, &requests, deadline).await?;
        if answers.len() == requests.len() {
            return Ok(answers);
        }
        let reason = format!("{} requests, {} answers", requests.len(), answers.len());
        Err(failure(FailureCode::Internal, reason))
    }

    pub(crate) async fn call<R: DeserializeOwned>(
        &self,
        pattern: &str,
        request: &(impl Serialize + Sync),
    ) -> Result<R, RequestError> {
        let mut answers = self.call_batch(pattern, std::slice::from_ref(&request)).await?;
        Ok(answers.pop().expect("there are as many answers as requests"))
    }

    /// A client of the same services with less time, if `limit` from now is earlier than the deadline.
    pub(crate) fn with_timeout(&self, limit: Duration) -> Self {
        self.until(self.deadline().at_most(limit))
    }

    /// A client of the same services whose requests share a deadline.
    pub(crate) fn until(&self, deadline: Deadline) -> Self {
        Self { rpc: Arc::clone(&self.rpc), timeout: Timeout::Shared(deadline) }
    }
}

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

    /// Whether no command waits to be handled. `false` if that is not known.
    async fn is_idle(&self) -> bool;
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

    async fn is_idle(&self) -> bool {
        Self::is_idle(self).await
    }
}

/// What has become of an order by the time `createOrder` answers.
#[derive(Debug)]
pub(crate) enum PlaceOrderOutcome {
    /// order-service has answered.
    Answered(OrderCreated),
    /// The order is refused; the caller can put it right.
    Refused(DomainError),
    /// The broker has accepted the command, and order-service has not answered it: the order as read back, or PENDING at
    /// version 0. Whether it was stored before is not always known.
    Unanswered { order: Order, replayed: Option<bool> },
}

/// Why it is not known that the order was accepted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlaceOrderError {
    /// The command was not, or not certainly, accepted.
    #[error(transparent)]
    Unsent(#[from] PublishError),
    /// The operation's time was over before anything was sent.
    #[error("not sent, the operation's time is over")]
    TooLate,
    /// The command is a dead letter; an operator may still replay it.
    #[error("the command became a dead letter: {0}")]
    DeadLettered(Failure),
}

#[derive(Clone)]
pub(crate) struct OrderPlacer {
    pub(crate) commands: Arc<dyn SendCommand>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn IdSource>,
    /// How long to wait for order-service's answer.
    pub(crate) wait: Duration,
    pub(crate) unseen: UnseenOrders,
}

impl OrderPlacer {
    /// The command for an order as of now, under the id that its key names, or else a fresh one. Not checked yet.
    pub(crate) fn command(
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

    /// Sends the command until the broker has accepted it and, with `wait`, awaits the answer for a while.
    pub(crate) async fn place(
        &self,
        order: &CreateOrder,
        wait: bool,
        client: &ServiceClient,
    ) -> Result<PlaceOrderOutcome, PlaceOrderError> {
        let (message_id, timestamp) = (self.ids.fresh(), order.placed_at);
        let command = Command { pattern: ORDER_CREATE, data: order, message_id, timestamp };
        let deadline = client.deadline();
        if deadline.has_passed() {
            return Err(PlaceOrderError::TooLate);
        }
        let wait = wait.then(|| self.wait.min(deadline.remaining()));
        let unseen = self.unseen.watch(order, message_id);
        let sent = self.commands.send(&command, deadline, wait).await;
        if !matches!(sent, Ok(Accepted::Unanswered)) {
            unseen.release();
        }
        if let Accepted::Answered(answer) = sent? {
            let answer = answer.map_err(PlaceOrderError::DeadLettered)?;
            match serde_json::from_str(answer.get()) {
                Ok(DomainResult::Done(created)) => return Ok(PlaceOrderOutcome::Answered(created)),
                Ok(DomainResult::Refused { refused }) => return Ok(PlaceOrderOutcome::Refused(refused)),
                Err(error) => tracing::error!(%error, "undecodable answer to order.create"),
            }
        }
        let outcome = read_back(order, client).await;
        if matches!(&outcome, PlaceOrderOutcome::Unanswered { order, .. } if order.version > 0) {
            self.unseen.seen(order.order_id);
        }
        Ok(outcome)
    }
}

/// What is known of an order whose command was accepted and not answered. Only with a key may it have been stored
/// before; a fresh id has nothing to look up.
async fn read_back(command: &CreateOrder, client: &ServiceClient) -> PlaceOrderOutcome {
    let order = command.pending_order(0, command.placed_at);
    let pending = PlaceOrderOutcome::Unanswered { order, replayed: None };
    if command.idempotency_key.is_none() {
        return pending;
    }
    let owner = OrderScope::Customer { customer_id: command.customer_id.clone() };
    let order = OrderRef { order_id: command.order_id, owner };
    match client.with_timeout(READ_BACK_LIMIT).call(ORDER_GET, &order).await {
        Ok(Some::<Order>(stored)) => match command.check_same_input(&stored) {
            Ok(()) => {
                // An order is as old as the command that made it.
                let replayed = (stored.created_at != command.placed_at).then_some(true);
                PlaceOrderOutcome::Unanswered { order: stored, replayed }
            }
            Err(error) => PlaceOrderOutcome::Refused(error),
        },
        Ok(None) => pending,
        Err(error) => {
            tracing::debug!(%error, "reading back an accepted order failed");
            pending
        }
    }
}
