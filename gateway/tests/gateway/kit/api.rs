//! The API over services in memory, which record requests and fail when a test sets a failure.

use async_graphql::{Executor, Request, Response, Variables};
use async_trait::async_trait;
use bus::backoff::Backoff;
use bus::clock::Deadline;
use bus::clock::ManualClock;
use bus::clock::SystemIds;
use bus::commands::{Accepted, Command, ReplyHandler};
use bus::failure::{Failure, FailureCode};
use bus::rpc_client::{RequestError, RpcClient};
use bus::transport::PublishError;
use futures::StreamExt;
use futures::stream::BoxStream;
use gateway::auth::{Scopes, Viewer};
use gateway::graphql::{Api, ApiSettings, UpdateRetries};
use gateway::orders::SendCommand;
use gateway::orders::unseen::UnseenOrderSettings;
use gateway::subscriptions::SubscriptionSettings;
use schema::domain_error::{DomainError, DomainErrorCode, DomainResult};
use schema::order::Order;
use schema::order_messages::{CreateOrder, OrderCreated};
use schema::pattern::*;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use testkit::WAIT_LIMIT;
use uuid::Uuid;

use super::services::ServiceData;

pub(crate) const ALL_SCOPES: &str = "orders:read orders:write orders:fulfil";

/// The outcome of the next commands.
#[derive(Clone)]
pub(crate) enum CommandOutcome {
    /// Executed and answered.
    Answered,
    /// Executed, but not answered in time.
    DoneWithoutAnswer,
    /// Accepted, but not executed yet.
    Accepted,
    Unsent(PublishError),
    DeadLettered,
}

pub(crate) struct Services {
    pub(crate) data: Mutex<ServiceData>,
    pub(crate) command_outcome: Mutex<CommandOutcome>,
    pub(crate) placements: Mutex<Vec<CreateOrder>>,
    /// The message ids of the commands.
    pub(crate) message_ids: Mutex<Vec<uuid::Uuid>>,
    /// Whether commands wait, as the broker says.
    pub(crate) commands_wait: AtomicBool,
    /// With the next `order.get`, `commands_wait` comes to hold.
    pub(crate) commands_wait_once_asked: AtomicBool,
    /// How often it was asked.
    pub(crate) asked_for_idle: AtomicUsize,
    unawaited: Mutex<Option<ReplyHandler>>,
    requests: Mutex<Vec<(String, Value)>>,
    /// By pattern: the error, and how many requests still get it (all, if there is no number).
    failing: Mutex<HashMap<String, (RequestError, Option<u32>)>>,
    refusing: Mutex<HashMap<String, DomainError>>,
}

impl Services {
    /// The patterns of the requests since the last call, in order.
    pub(crate) fn requests(&self) -> Vec<String> {
        std::mem::take(&mut *self.requests.lock().unwrap()).into_iter().map(|(pattern, _)| pattern).collect()
    }

    /// The data of every request with this pattern since the last call.
    pub(crate) fn requests_for(&self, pattern: &str) -> Vec<Value> {
        let requests = std::mem::take(&mut *self.requests.lock().unwrap());
        requests.into_iter().filter(|(of, _)| of == pattern).map(|(_, data)| data).collect()
    }

    pub(crate) fn fail(&self, pattern: &str, error: RequestError) {
        self.failing.lock().unwrap().insert(pattern.to_owned(), (error, None));
    }

    pub(crate) fn fail_times(&self, pattern: &str, error: RequestError, times: u32) {
        self.failing.lock().unwrap().insert(pattern.to_owned(), (error, Some(times)));
    }

    pub(crate) fn recover(&self) {
        self.failing.lock().unwrap().clear();
    }

    pub(crate) fn refuse(&self, pattern: &str, refusal: DomainError) {
        self.refusing.lock().unwrap().insert(pattern.to_owned(), refusal);
    }

    /// Replies to a command that nothing waits for; returns whether the gateway still knows it.
    pub(crate) fn reply(&self, message_id: Uuid, outcome: Result<(), Failure>) -> bool {
        self.unawaited.lock().unwrap().as_ref().is_some_and(|handler| handler(message_id, outcome))
    }

    fn failure(&self, pattern: &str) -> Option<RequestError> {
        let mut failing = self.failing.lock().unwrap();
        let (error, times) = failing.get_mut(pattern)?;
        if let Some(times) = times {
            *times = times.checked_sub(1)?;
        }
        Some(error.clone())
    }
}

pub(crate) fn unavailable(pattern: &str) -> RequestError {
    RequestError::Unavailable { pattern: pattern.into(), reason: "it is away".into() }
}

pub(crate) fn internal_failure() -> RequestError {
    RequestError::Answered(Failure::new(FailureCode::Internal, "internal details of a service"))
}

fn raw(value: &impl Serialize) -> Box<RawValue> {
    to_raw_value(value).unwrap()
}

#[async_trait]
impl RpcClient for Services {
    async fn call(
        &self,
        pattern: &str,
        data: Box<RawValue>,
        _: Deadline,
    ) -> Result<Box<RawValue>, RequestError> {
        let data: Value = serde_json::from_str(data.get()).unwrap();
        self.requests.lock().unwrap().push((pattern.to_owned(), data.clone()));
        if pattern == ORDER_GET && self.commands_wait_once_asked.swap(false, Ordering::SeqCst) {
            self.commands_wait.store(true, Ordering::SeqCst);
        }
        // As over a real bus, the answer comes in a later poll.
        tokio::task::yield_now().await;
        if let Some(error) = self.failure(pattern) {
            return Err(error);
        }
        let refusal = self.refusing.lock().unwrap().get(pattern).cloned();
        let mut stored = self.data.lock().unwrap();
        let answer = |question: &Value| match &refusal {
            Some(refused) => json!({"refused": refused}),
            None => stored.answer(pattern, question),
        };
        Ok(raw(&data.as_array().unwrap().iter().map(answer).collect::<Vec<Value>>()))
    }
}

#[async_trait]
impl SendCommand for Services {
    async fn send(
        &self,
        command: &Command<'_, CreateOrder>,
        _: Deadline,
        wait: Option<Duration>,
    ) -> Result<Accepted, PublishError> {
        assert_eq!(command.pattern, ORDER_CREATE);
        self.placements.lock().unwrap().push(command.data.clone());
        self.message_ids.lock().unwrap().push(command.message_id);
        let command_outcome = self.command_outcome.lock().unwrap().clone();
        let answer = match &command_outcome {
            CommandOutcome::Unsent(error) => return Err(error.clone()),
            CommandOutcome::DeadLettered => {
                let failure = Failure::new(FailureCode::Internal, "internal details");
                if wait.is_some() {
                    return Ok(Accepted::Answered(Err(failure)));
                }
                self.reply(command.message_id, Err(failure));
                return Ok(Accepted::Unanswered);
            }
            CommandOutcome::Accepted => return Ok(Accepted::Unanswered),
            CommandOutcome::Answered | CommandOutcome::DoneWithoutAnswer => {
                self.data.lock().unwrap().place(command.data)
            }
        };
        match (command_outcome, wait) {
            (CommandOutcome::Answered, Some(_)) => return Ok(Accepted::Answered(Ok(raw(&answer)))),
            (CommandOutcome::Answered, None) => drop(self.reply(command.message_id, Ok(()))),
            _ => {}
        }
        Ok(Accepted::Unanswered)
    }

    fn on_unawaited_reply(&self, handler: ReplyHandler) {
        *self.unawaited.lock().unwrap() = Some(handler);
    }

    async fn is_idle(&self) -> bool {
        self.asked_for_idle.fetch_add(1, Ordering::SeqCst);
        !self.commands_wait.load(Ordering::SeqCst)
    }
}

pub(crate) struct TestApi {
    pub(crate) services: Arc<Services>,
    pub(crate) api: Api,
}

pub(crate) fn quick_backoff() -> Backoff {
    Backoff { first: Duration::from_millis(1), limit: Duration::from_millis(10) }
}

pub(crate) fn test_api() -> TestApi {
    test_api_with(SubscriptionSettings {
        head_interval: Duration::from_millis(50),
        backoff: quick_backoff(),
        ..SubscriptionSettings::default()
    })
}

pub(crate) fn test_api_with(subscriptions: SubscriptionSettings) -> TestApi {
    test_api_within(WAIT_LIMIT, subscriptions)
}

pub(crate) fn test_api_within(request_timeout: Duration, subscriptions: SubscriptionSettings) -> TestApi {
    let patience = Duration::from_millis(50);
    let unseen = UnseenOrderSettings { patience, interval: patience / 5, ..UnseenOrderSettings::default() };
    test_api_of(request_timeout, subscriptions, unseen)
}

pub(crate) fn test_api_of(
    request_timeout: Duration,
    subscriptions: SubscriptionSettings,
    unseen_orders: UnseenOrderSettings,
) -> TestApi {
    built(request_timeout, subscriptions, unseen_orders, false)
}

/// An API that is a subgraph's.
pub(crate) fn test_subgraph() -> TestApi {
    built(WAIT_LIMIT, SubscriptionSettings::default(), UnseenOrderSettings::default(), true)
}

fn built(
    request_timeout: Duration,
    subscriptions: SubscriptionSettings,
    unseen_orders: UnseenOrderSettings,
    federation: bool,
) -> TestApi {
    let services = Arc::new(Services {
        data: Mutex::new(ServiceData::stocked()),
        command_outcome: Mutex::new(CommandOutcome::Answered),
        placements: Mutex::default(),
        message_ids: Mutex::default(),
        commands_wait: AtomicBool::new(false),
        commands_wait_once_asked: AtomicBool::new(false),
        asked_for_idle: AtomicUsize::new(0),
        unawaited: Mutex::default(),
        requests: Mutex::default(),
        failing: Mutex::default(),
        refusing: Mutex::default(),
    });
    over(services, request_timeout, subscriptions, unseen_orders, federation)
}

/// The API of another gateway over the same services.
pub(crate) fn another_api(services: &Arc<Services>, subscriptions: SubscriptionSettings) -> TestApi {
    let unseen = UnseenOrderSettings::default();
    over(Arc::clone(services), WAIT_LIMIT, subscriptions, unseen, false)
}

fn over(
    services: Arc<Services>,
    request_timeout: Duration,
    subscriptions: SubscriptionSettings,
    unseen_orders: UnseenOrderSettings,
    federation: bool,
) -> TestApi {
    let api = Api::new(ApiSettings {
        rpc: services.clone(),
        commands: services.clone(),
        clock: Arc::new(ManualClock::at("2026-11-23T19:10:51.371Z".parse().unwrap())),
        ids: Arc::new(SystemIds),
        request_timeout,
        create_order_wait: Duration::from_secs(2),
        unseen_orders,
        subscriptions,
        update_retries: UpdateRetries { backoff: quick_backoff(), retries: 3 },
        federation,
    });
    TestApi { services, api }
}

pub(crate) fn viewer(customer_id: &str, scopes: &str) -> Option<Viewer> {
    Some(Viewer {
        customer_id: customer_id.parse().unwrap(),
        scopes: Scopes::from_claim(scopes),
        expires_at: "2100-01-01T00:00:00Z".parse().unwrap(),
    })
}

/// CUST01 with every scope but orders:all.
pub(crate) fn ada() -> Option<Viewer> {
    viewer("CUST01", ALL_SCOPES)
}

/// A member of the warehouse, who has no orders of their own.
pub(crate) fn warehouse() -> Option<Viewer> {
    viewer("WAREHOUSE", "orders:read orders:write orders:fulfil orders:all")
}

impl TestApi {
    /// Executes as this viewer; returns data and errors as a client receives them.
    pub(crate) async fn run(&self, caller: Option<Viewer>, query: &str) -> Value {
        self.run_with(caller, query, json!({})).await
    }

    pub(crate) async fn run_with(&self, caller: Option<Viewer>, query: &str, variables: Value) -> Value {
        let request = Request::new(query).data(caller).variables(Variables::from_json(variables));
        shown(&self.api.execute(request).await)
    }

    /// A subscription's results.
    pub(crate) fn subscribe(&self, caller: Option<Viewer>, query: &str) -> BoxStream<'static, Value> {
        let request = Request::new(query).data(caller);
        self.api.execute_stream(request, None).map(|response| shown(&response)).boxed()
    }

    /// Places an order in the services' data, past the API.
    pub(crate) fn placed(&self, customer_id: &str, product_id: &str) -> Order {
        let mut stored = self.services.data.lock().unwrap();
        match stored.place(&ServiceData::placement(customer_id, product_id)) {
            DomainResult::Done(OrderCreated { order: Some(order), .. }) => order,
            other => panic!("{other:?}"),
        }
    }
}

fn shown(response: &Response) -> Value {
    serde_json::to_value(response).unwrap()
}

/// Each error's code and path.
pub(crate) fn errors(response: &Value) -> Vec<(String, String)> {
    let error = |error: &Value| {
        let path = error["path"].as_array().map_or(String::new(), |path| {
            let segment = |segment: &Value| segment.as_str().map_or(segment.to_string(), str::to_owned);
            path.iter().map(segment).collect::<Vec<_>>().join(".")
        });
        (error["extensions"]["code"].as_str().unwrap_or("none").to_owned(), path)
    };
    response["errors"].as_array().into_iter().flatten().map(error).collect()
}

pub(crate) fn refusal(code: DomainErrorCode) -> DomainError {
    DomainError::new(code, "for a reason")
}
