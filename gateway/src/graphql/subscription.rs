//! Live updates: which events a subscriber gets, and how each update is resolved.

use async_graphql::parser::types::Field;
use async_graphql::registry::Registry;
use async_graphql::{
    Context, ContextSelectionSet, ID, Object, OutputType, Positioned, ServerError, ServerResult,
    Subscription, Value,
};
use bus::backoff::Backoff;
use futures::future::pending;
use futures::stream::{self, Stream};
use schema::order_events::{EventKind, OrderEvent};
use schema::{cursor::UpdateCursor, ids::OrderId};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::{borrow::Cow, mem, time::Duration};

use super::errors::{list_error, query_error};
use super::loaders::Loaders;
use super::order::{Order, OrderStatus, OrderUpdateKind};
use super::scalars::{DateTime, int};
use crate::auth::{CurrentViewer, Scope, Viewer};
use crate::query::{ErrorCode, GraphqlError, is_retryable};
use crate::subscriptions::{
    EventFilter, ReplayError, ResumePoint, SubscriptionError, SubscriptionStream, Subscriptions, UpdateShare,
};

pub(crate) struct SubscriptionRoot;

#[Subscription(name = "Subscription")]
impl SubscriptionRoot {
    /// Updates to one's own orders, to those of customerId or of all customers (orders:all), or to one order, in order, without gaps or repeats.
    /// Starts at now; with `after` (the cursor of an order or of an earlier update) it first replays what came since.
    /// An orderId that doesn't exist yet is fine: its updates come when it does.
    async fn order_updated(
        &self,
        ctx: &Context<'_>,
        order_id: Option<ID>,
        customer_id: Option<ID>,
        #[graphql(default = false)] all_customers: bool,
        after: Option<String>,
    ) -> Result<impl Stream<Item = Result<UpdateWithRetry<OrderUpdate>, GraphqlError>> + use<>, GraphqlError>
    {
        let viewer = Viewer::from_context(ctx)?;
        viewer.require(Scope::OrdersRead)?;
        let arguments = Arguments { order_id, customer_id, all_customers };
        let filter = arguments.filter(&viewer)?;
        let access = Access::new(ctx, arguments);
        let resume = ctx.data_opt::<Option<ResumePoint>>().cloned().flatten();
        let after = resume.as_ref().and_then(ResumePoint::after).map(str::to_owned).or(after);
        // Whether the viewer may use the cursor, order-service decides.
        if let Some(Err(error)) = after.as_deref().map(UpdateCursor::decode) {
            return Err(ErrorCode::CursorInvalid.error(error.to_string()));
        }
        let loaders = ctx.data_unchecked::<Loaders>().clone();
        let subscriptions = ctx.data_unchecked::<Subscriptions>();
        let stream = subscriptions.subscribe(filter, after, loaders.client().clone()).await;
        let retries = *ctx.data_unchecked::<UpdateRetries>();
        let share = ctx.data_opt::<Option<UpdateShare>>().cloned().flatten();
        let operation = Operation { loaders, retries, ended: Arc::default(), share, resume };
        Ok(updates(stream.map_err(subscription_error)?, access, operation))
    }
}

/// How often an update's nested fields are resolved again before the operation ends.
#[derive(Debug, Clone, Copy)]
pub struct UpdateRetries {
    pub backoff: Backoff,
    pub retries: u32,
}

impl Default for UpdateRetries {
    /// About six seconds beside the requests' own deadlines.
    fn default() -> Self {
        let backoff = Backoff { first: Duration::from_millis(250), limit: Duration::from_secs(4) };
        Self { backoff, retries: 5 }
    }
}

/// What a subscriber asks for.
struct Arguments {
    order_id: Option<ID>,
    customer_id: Option<ID>,
    all_customers: bool,
}

impl Arguments {
    /// The events that the arguments name: of one order, or of the viewer's own orders, the named customer's or all
    /// customers'.
    fn filter(&self, viewer: &Viewer) -> Result<EventFilter, GraphqlError> {
        let named =
            viewer.named_scope(self.customer_id.as_ref().map(|id| id.as_str()), self.all_customers)?;
        let Some(order_id) = &self.order_id else { return Ok(EventFilter::Orders(named)) };
        let order_id: OrderId =
            order_id.parse().map_err(|error| ErrorCode::BadUserInput.error(format!("orderId is {error}")))?;
        // An order by its id alone may be any within reach.
        let scope = if self.customer_id.is_some() { named } else { viewer.order_scope() };
        Ok(EventFilter::Order(order_id, scope))
    }
}

/// What a subscriber may see, while its viewer's tokens change.
struct Access {
    arguments: Arguments,
    /// The viewer, and as whom the filter was made.
    viewer: Option<(CurrentViewer, Arc<Viewer>)>,
}

impl Access {
    fn new(ctx: &Context<'_>, arguments: Arguments) -> Self {
        let current = ctx.data_opt::<Option<CurrentViewer>>().and_then(Option::as_ref);
        Self { arguments, viewer: current.map(|current| (current.clone(), current.get())) }
    }

    /// Waits for another token, and returns what the subscriber may see by it.
    async fn changed(&mut self) -> Result<EventFilter, GraphqlError> {
        let Some((current, seen)) = &mut self.viewer else { return pending().await };
        *seen = current.changed_from(seen).await;
        seen.require(Scope::OrdersRead)?;
        self.arguments.filter(seen)
    }
}

/// The updates as they come; the last item is an error if the stream can't go on.
fn updates(
    stream: SubscriptionStream,
    access: Access,
    operation: Operation,
) -> impl Stream<Item = Result<UpdateWithRetry<OrderUpdate>, GraphqlError>> {
    stream::unfold(Some((stream, access, operation)), |state| async {
        let (mut stream, mut access, operation) = state?;
        if operation.ended.load(Ordering::Acquire) {
            return None;
        }
        let next = loop {
            tokio::select! {
                biased;
                narrowed = access.changed() => match narrowed {
                    Ok(filter) => stream.narrow(filter),
                    Err(error) => return Some((Err(error), None)),
                },
                next = stream.next() => break next,
            }
        };
        match next {
            Ok(event) => {
                let position = event.position;
                let update = OrderUpdate(event);
                let cursor = operation.resume.is_some().then(|| update.encoded_cursor());
                let operation_of_update = operation.clone();
                let update = UpdateWithRetry { update, position, cursor, operation: operation_of_update };
                Some((Ok(update), Some((stream, access, operation))))
            }
            Err(error) => Some((Err(subscription_error(error)), None)),
        }
    })
}

fn subscription_error(error: SubscriptionError) -> GraphqlError {
    let unavailable = |message| ErrorCode::ServiceUnavailable.error(message);
    match error {
        SubscriptionError::NotReady => unavailable("live updates are not available yet"),
        SubscriptionError::TooMany => ErrorCode::Overloaded.error("too many subscriptions"),
        SubscriptionError::Reset => {
            unavailable("live updates were interrupted, resume after the last cursor")
        }
        SubscriptionError::Replay(ReplayError::Request(error)) => query_error(&error),
        SubscriptionError::Replay(ReplayError::Refused(error)) => list_error(&error),
        SubscriptionError::Replay(ReplayError::NoProgress) => {
            unavailable("earlier updates are not available at the moment")
        }
    }
}

#[derive(Clone)]
struct Operation {
    loaders: Loaders,
    retries: UpdateRetries,
    /// Whether an update could not be resolved; none may follow it.
    ended: Arc<AtomicBool>,
    share: Option<UpdateShare>,
    resume: Option<ResumePoint>,
}

/// An update whose nested fields are resolved afresh, and again while one of them fails with a retryable error. An
/// update sent with such a field missing would be lost to a subscriber who resumes from its cursor. So after the last
/// retry the operation ends with a retryable error, and the update still follows the last cursor.
pub(crate) struct UpdateWithRetry<T> {
    update: T,
    /// The position of its event.
    position: i64,
    /// The update's cursor, for a transport that wants it.
    cursor: Option<String>,
    operation: Operation,
}

impl<T: OutputType> OutputType for UpdateWithRetry<T> {
    fn type_name() -> Cow<'static, str> {
        T::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        T::create_type_info(registry)
    }

    async fn resolve(&self, ctx: &ContextSelectionSet<'_>, field: &Positioned<Field>) -> ServerResult<Value> {
        let Operation { loaders, retries, ended, share, resume } = &self.operation;
        if let (Some(resume), Some(cursor)) = (resume, &self.cursor) {
            resume.reach(cursor.clone());
        }
        if let Some(share) = share
            && share.is_resolved(self.position).await
        {
            // The operation sends the shared result in the place of this one.
            return Ok(Value::Null);
        }
        let mut failures = 0;
        loop {
            // Entries loaded for the update before have changed since.
            loaders.forget();
            let result = self.update.resolve(ctx, field).await;
            let Some(error) = take_retryable_error(ctx, &result) else { return result };
            failures += 1;
            if failures > retries.retries {
                ended.store(true, Ordering::Release);
                let path = ctx.set_error_path(ServerError::new("", None)).path;
                return Err(ServerError { path, locations: vec![field.pos], ..error });
            }
            tokio::time::sleep(retries.backoff.pause(failures)).await;
        }
    }
}

/// The first retryable error of this resolution; if there is one, all errors of nullable fields are discarded.
fn take_retryable_error(ctx: &ContextSelectionSet<'_>, result: &ServerResult<Value>) -> Option<ServerError> {
    // One operation resolves one update at a time, so these are this update's errors.
    let mut errors = ctx.query_env.errors.lock().unwrap_or_else(PoisonError::into_inner);
    let error = errors.iter().chain(result.as_ref().err()).find(|error| is_retryable(error)).cloned()?;
    drop(mem::take(&mut *errors));
    Some(error)
}

// An event, which all its subscribers share.
pub(crate) struct OrderUpdate(Arc<OrderEvent>);

impl OrderUpdate {
    fn encoded_cursor(&self) -> String {
        UpdateCursor { order_id: self.0.order_id, version: self.0.version }.encode()
    }
}

#[Object]
impl OrderUpdate {
    /// Pass it as `after` to resume just past this update.
    fn cursor(&self) -> String {
        self.encoded_cursor()
    }

    fn kind(&self) -> OrderUpdateKind {
        self.0.kind.into()
    }

    fn order_id(&self) -> ID {
        ID::from(self.0.order_id)
    }

    /// The order's version that this update made.
    fn version(&self) -> i32 {
        int(self.0.version)
    }

    /// The order as it stood right after this update (a snapshot: a cache keeps the greater version); null where it was deleted.
    fn order(&self) -> Option<Order> {
        match self.0.kind {
            EventKind::Deleted => None,
            EventKind::Created | EventKind::StatusChanged | EventKind::DetailsChanged => {
                Some(Order::from(self.0.order.clone()))
            }
        }
    }

    fn status(&self) -> OrderStatus {
        self.0.order.status.into()
    }

    fn previous_status(&self) -> Option<OrderStatus> {
        self.0.previous_status.map(OrderStatus::from)
    }

    fn occurred_at(&self) -> DateTime {
        DateTime(self.0.occurred_at)
    }
}
