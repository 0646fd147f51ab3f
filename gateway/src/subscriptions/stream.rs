use bus::clock::Deadline;
use schema::ids::OrderId;
use schema::order_events::OrderEvent;
use schema::order_messages::{OrderScope, Replay, ReplayFrom, Replayed};
use std::{collections::VecDeque, sync::Arc};

use super::registry::{Disconnected, Subscription, Topic};
use super::{ReplayError, SubscriptionError, Subscriptions, replay};
use crate::orders::ServiceClient;

/// Events in one page of a subscriber's own replay: what it may hold in memory beside its queue.
const REPLAY_PAGE: u32 = 50;

/// Which events a subscriber wants, all of them within its scope.
#[derive(Debug, Clone)]
pub(crate) enum EventFilter {
    /// All orders of the scope.
    Orders(OrderScope),
    /// One order, if it is within the scope; it need not exist yet.
    Order(OrderId, OrderScope),
}

impl EventFilter {
    fn topic(&self) -> Topic {
        match self {
            Self::Orders(OrderScope::Any) => Topic::All,
            Self::Orders(OrderScope::Customer { customer_id }) => Topic::Customer(customer_id.clone()),
            Self::Order(order_id, _) => Topic::Order(*order_id),
        }
    }

    fn replay_after(&self, after: ReplayFrom) -> Replay {
        let (owner, order_id) = match self {
            Self::Orders(scope) => (scope.clone(), None),
            Self::Order(order_id, scope) => (scope.clone(), Some(*order_id)),
        };
        Replay { owner, order_id, after: Some(after), limit: REPLAY_PAGE }
    }

    fn includes(&self, event: &OrderEvent) -> bool {
        match self {
            Self::Orders(scope) => scope.includes(&event.customer_id),
            Self::Order(order_id, scope) => event.order_id == *order_id && scope.includes(&event.customer_id),
        }
    }
}

/// One subscriber's events: each that passes its filter once, in order. The stream reads from a subscription that
/// starts no later than what it has passed, and replays otherwise. It subscribes when replay has reached the head, and
/// replays on until it has met the subscription, so no event is lost between the two; an event that both bring is taken
/// once.
pub(crate) struct SubscriptionStream {
    subscriptions: Subscriptions,
    filter: EventFilter,
    client: ServiceClient,
    /// Every event up to this position was returned or filtered out.
    passed: i64,
    replayed: VecDeque<Arc<OrderEvent>>,
    subscription: Option<Subscription>,
}

impl Subscriptions {
    /// Subscribes to the events that pass `filter`, from now on or after what a cursor names. A start that fails for a
    /// passing reason is tried again until the deadline of one of the client's requests: the gateway or a service may be
    /// starting.
    pub(crate) async fn subscribe(
        &self,
        filter: EventFilter,
        after: Option<String>,
        client: ServiceClient,
    ) -> Result<SubscriptionStream, SubscriptionError> {
        let deadline = client.deadline();
        let mut failures = 0;
        loop {
            let error = match self.try_subscribe(&filter, after.as_deref(), &client, deadline).await {
                Err(error) if error.is_retryable() && !deadline.has_passed() => error,
                started => return started,
            };
            failures += 1;
            tracing::debug!(%error, failures, "subscription not started, retrying");
            let pause = self.settings.start_backoff.pause(failures);
            tokio::time::sleep(pause.min(deadline.remaining())).await;
        }
    }

    async fn try_subscribe(
        &self,
        filter: &EventFilter,
        after: Option<&str>,
        client: &ServiceClient,
        deadline: Deadline,
    ) -> Result<SubscriptionStream, SubscriptionError> {
        let subscription = self.registry.subscribe(filter.topic())?;
        let passed = subscription.position;
        let mut stream = SubscriptionStream {
            subscriptions: self.clone(),
            filter: filter.clone(),
            client: client.clone(),
            passed,
            replayed: VecDeque::new(),
            subscription: Some(subscription),
        };
        if let Some(cursor) = after {
            let from = filter.replay_after(ReplayFrom::Cursor(cursor.to_owned()));
            let page = replay(&client.until(deadline), &from).await?;
            stream.passed = i64::MIN;
            stream.take_page(page);
        }
        Ok(stream)
    }
}

impl SubscriptionStream {
    /// Waits for the next event. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Result<Arc<OrderEvent>, SubscriptionError> {
        loop {
            if let Some(event) = self.replayed.pop_front() {
                return Ok(event);
            }
            match &mut self.subscription {
                Some(subscription) if subscription.position <= self.passed => {
                    match subscription.next().await {
                        Ok(event) => {
                            if let Some(event) = self.pass(event) {
                                return Ok(event);
                            }
                        }
                        Err(Disconnected::After(position)) => {
                            self.passed = self.passed.max(position);
                            self.subscription = None;
                        }
                        Err(Disconnected::Reset) => return Err(SubscriptionError::Reset),
                    }
                }
                _ => self.replay_page().await?,
            }
        }
    }

    /// Goes on with a filter that lets through no more than the one before.
    pub(crate) fn narrow(&mut self, filter: EventFilter) {
        self.replayed.retain(|event| filter.includes(event));
        self.filter = filter;
    }

    /// Replays one page, retrying failures; subscribes when the page reaches the head.
    async fn replay_page(&mut self) -> Result<(), SubscriptionError> {
        let mut failures = 0;
        loop {
            let error = match self.page_after(ReplayFrom::Position(self.passed)).await {
                Ok(page) if page.head < self.passed => return Err(SubscriptionError::Reset),
                Ok(page) if page.next > self.passed || page.next >= page.head => {
                    let at_head = page.next >= page.head;
                    self.take_page(page);
                    let met = self.subscription.as_ref().is_none_or(|live| live.position <= self.passed);
                    if at_head && self.subscription.is_none() {
                        self.subscription = Some(self.subscriptions.registry.subscribe(self.filter.topic())?);
                    }
                    if !at_head || met {
                        return Ok(());
                    }
                    // The replica of order-service that answered is behind what the listener has received.
                    ReplayError::NoProgress
                }
                Ok(_) => ReplayError::NoProgress,
                Err(error @ ReplayError::Refused(_)) => return Err(error.into()),
                Err(error) => error,
            };
            failures += 1;
            if failures > self.subscriptions.settings.replay_retries {
                return Err(error.into());
            }
            tracing::debug!(%error, failures, "replay for a subscriber failed, retrying");
            tokio::time::sleep(self.subscriptions.settings.backoff.pause(failures)).await;
        }
    }

    async fn page_after(&self, after: ReplayFrom) -> Result<Replayed, ReplayError> {
        replay(&self.client, &self.filter.replay_after(after)).await
    }

    fn take_page(&mut self, page: Replayed) {
        for event in page.events {
            let event = self.pass(Arc::new(event));
            self.replayed.extend(event);
        }
        self.passed = self.passed.max(page.next);
    }

    /// Passes the event; returns it if it is new and goes through the filter.
    fn pass(&mut self, event: Arc<OrderEvent>) -> Option<Arc<OrderEvent>> {
        if event.position <= self.passed {
            return None;
        }
        self.passed = event.position;
        self.filter.includes(&event).then_some(event)
    }
}
