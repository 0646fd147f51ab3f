//! What the gateway does with orders, whatever the API in front: requests to the services, and placing an order.

pub mod unseen;

use async_trait::async_trait;
use bus::clock::{Clock, Deadline, IdSource};
use bus::commands::{Accepted, Command, Commands, ReplyHandler};
use bus::failure::{Failure, FailureCode};
use bus::rpc_client::{RequestError, RpcClient};
use bus::transport::PublishError;
use schema::domain_error::{DomainError, DomainResult};
use schema::ids::{CustomerId, OrderId};
use schema::order::Order;
use schema::order_messages::{
    CreateOrder, FoundOrder, Item, OrderCreated, OrderLookup, OrderRef, OrderScope,
};
use schema::pattern::{ORDER_CREATE, ORDER_GET};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::{RawValue, to_raw_value};
use std::{sync::Arc, time::Duration};
use uuid::Uuid;

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

    /// Sends several requests of one pattern in one message, or in several if their answers don't fit one; answers come in
    /// their order. Sends nothing past the deadline.
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
        let undecodable = |error: serde_json::Error| failure(FailureCode::Undecodable, error.to_string());
        let requests: Vec<Box<RawValue>> =
            requests.iter().map(to_raw_value).collect::<Result<_, _>>().map_err(undecodable)?;
        let requests: Vec<&RawValue> = requests.iter().map(|request| &**request).collect();
        let mut answers = Vec::with_capacity(requests.len());
        // Those that are still to be sent, the next ones last.
        let mut parts = vec![&*requests];
        while let Some(part) = parts.pop() {
            match self.rpc.call_list(pattern, part, deadline).await {
                Ok(part_answers) if part_answers.len() == part.len() => {
                    for answer in part_answers {
                        answers.push(serde_json::from_str(answer.get()).map_err(undecodable)?);
                    }
                }
                Ok(part_answers) => {
                    let reason = format!("{} requests, {} answers", part.len(), part_answers.len());
                    return Err(failure(FailureCode::Internal, reason));
                }
                Err(RequestError::Answered(too_long))
                    if too_long.code == FailureCode::AnswerTooLong && part.len() > 1 =>
                {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(answers)
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

/// Reads a result that has fields of its own, or the refusal in its place. What reads both as one untagged type would keep a
/// tree of the whole JSON first.
pub(crate) fn read_result<T: DeserializeOwned>(json: &str) -> serde_json::Result<DomainResult<T>> {
    serde_json::from_str(json).map(DomainResult::Done).or_else(|_| serde_json::from_str(json))
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

    /// See [`Commands::on_unawaited_reply`].
    fn on_unawaited_reply(&self, handler: ReplyHandler);

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

    fn on_unawaited_reply(&self, handler: ReplyHandler) {
        Self::on_unawaited_reply(self, handler);
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
            match read_result(answer.get()) {
                Ok(DomainResult::Done(created)) => return Ok(PlaceOrderOutcome::Answered(created)),
                Ok(DomainResult::Refused { refused }) => return Ok(PlaceOrderOutcome::Refused(refused)),
                Err(error) => tracing::error!(%error, "undecodable answer to order.create"),
            }
        }
        let outcome = read_back(order, message_id, client).await;
        let is_known = match &outcome {
            PlaceOrderOutcome::Unanswered { order, .. } => order.version > 0,
            // It was placed, and is deleted.
            PlaceOrderOutcome::Answered(_) => true,
            PlaceOrderOutcome::Refused(_) => false,
        };
        if is_known {
            self.unseen.seen(message_id);
        }
        Ok(outcome)
    }
}

/// What is known of an order whose command was accepted and not answered. Only with a key may it have been stored
/// before; a fresh id has nothing to look up.
async fn read_back(command: &CreateOrder, message_id: Uuid, client: &ServiceClient) -> PlaceOrderOutcome {
    let order = command.pending_order(0, command.placed_at);
    let pending = PlaceOrderOutcome::Unanswered { order, replayed: None };
    if command.idempotency_key.is_none() {
        return pending;
    }
    let owner = OrderScope::Customer { customer_id: command.customer_id.clone() };
    let order = OrderRef { order_id: command.order_id, owner };
    let lookup = OrderLookup { order, creation: true };
    match client.with_timeout(READ_BACK_LIMIT).call(ORDER_GET, &lookup).await {
        Ok(Some(FoundOrder { order: stored, created_by, deleted })) => {
            if let Err(error) = command.check_same_input(&stored) {
                return PlaceOrderOutcome::Refused(error);
            }
            if deleted {
                return PlaceOrderOutcome::Answered(OrderCreated { order: None, replayed: true });
            }
            let by_another = match created_by {
                Some(created_by) => created_by != message_id,
                // An order-service that doesn't say: an order is as old as the command that made it.
                None => stored.created_at != command.placed_at,
            };
            PlaceOrderOutcome::Unanswered { order: stored, replayed: by_another.then_some(true) }
        }
        Ok(None) => pending,
        Err(error) => {
            tracing::debug!(%error, "reading back an accepted order failed");
            pending
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// Answers each number with itself, at most `fits` at once.
    struct Echo {
        fits: usize,
        asked: Mutex<Vec<usize>>,
    }

    #[async_trait]
    impl RpcClient for Echo {
        async fn call(
            &self,
            _: &str,
            data: Box<RawValue>,
            _: Deadline,
        ) -> Result<Box<RawValue>, RequestError> {
            let numbers: Vec<u32> = serde_json::from_str(data.get()).unwrap();
            self.asked.lock().unwrap().push(numbers.len());
            if numbers.len() > self.fits {
                let failure = Failure::new(FailureCode::AnswerTooLong, "ask for less at once");
                return Err(RequestError::Answered(failure));
            }
            Ok(to_raw_value(&numbers).unwrap())
        }
    }

    #[tokio::test]
    async fn answers_that_do_not_fit_one_message_come_in_parts_and_in_order() {
        let numbers: Vec<u32> = (0..11).collect();
        for (fits, asked) in [(11, vec![11]), (6, vec![11, 5, 6]), (3, vec![11, 5, 2, 3, 6, 3, 3])] {
            let echo = Arc::new(Echo { fits, asked: Mutex::default() });
            let timeout = Timeout::Each(Duration::from_secs(5));
            let client = ServiceClient { rpc: echo.clone(), timeout };
            assert_eq!(client.call_batch::<u32>(ORDER_GET, &numbers).await.unwrap(), numbers);
            assert_eq!(*echo.asked.lock().unwrap(), asked);
        }
        let never = Arc::new(Echo { fits: 0, asked: Mutex::default() });
        let client = ServiceClient { rpc: never, timeout: Timeout::Each(Duration::from_secs(5)) };
        let error = client.call_batch::<u32>(ORDER_GET, &numbers).await.unwrap_err();
        assert!(
            matches!(error, RequestError::Answered(failure) if failure.code == FailureCode::AnswerTooLong)
        );
    }
}
