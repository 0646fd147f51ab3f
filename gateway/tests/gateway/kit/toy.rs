//! A schema with a field for everything that the HTTP server has to deal with.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use async_graphql::{Context, EmptyMutation, ID, Object, Schema, Subscription, ValidationMode};
use futures::{Stream, StreamExt, stream};
use gateway::auth::Viewer;
use gateway::query::{ErrorCode, GraphqlError};
use tokio::sync::{Semaphore, broadcast};

pub(crate) type Toy = Schema<Query, Mutation, Subscriptions>;

/// The schema's state, as tests see it.
pub(crate) struct Inside {
    pub(crate) ticks: broadcast::Sender<i32>,
    /// How many items of the flood were polled.
    pub(crate) pulled: AtomicUsize,
    /// How many subscriptions and waiting mutations are running.
    pub(crate) running: Arc<AtomicUsize>,
    /// Lets waiting mutations finish.
    pub(crate) permits: Semaphore,
}

pub(crate) fn toy() -> (Toy, Arc<Inside>) {
    let inside = Arc::new(Inside {
        ticks: broadcast::channel(64).0,
        pulled: AtomicUsize::new(0),
        running: Arc::default(),
        permits: Semaphore::new(0),
    });
    let schema = Schema::build(Query, Mutation, Subscriptions)
        .validation_mode(ValidationMode::Fast)
        .data(Arc::clone(&inside))
        .finish();
    (schema, inside)
}

pub(crate) struct Query;

#[Object]
impl Query {
    async fn hello(&self) -> &'static str {
        "world"
    }

    async fn echo(&self, text: String) -> String {
        text
    }

    async fn number(&self, value: i32) -> i32 {
        value
    }

    async fn by_id(&self, id: ID) -> ID {
        id
    }

    async fn whoami(&self, ctx: &Context<'_>) -> Option<String> {
        let caller = ctx.data_unchecked::<Option<Viewer>>();
        caller.as_ref().map(|viewer| viewer.customer_id.to_string())
    }

    async fn node(&self) -> Node {
        Node
    }

    async fn leaks(&self) -> async_graphql::Result<i32> {
        Err(std::io::Error::other("password=hunter2"))?
    }

    async fn leaks_nullably(&self) -> Option<async_graphql::Result<i32>> {
        Some(Err(async_graphql::Error::new("password=hunter2")))
    }

    async fn away(&self) -> Option<async_graphql::Result<i32>> {
        let error = ErrorCode::ServiceUnavailable
            .error("inventory is away")
            .retry_after(std::time::Duration::from_millis(250));
        Some(Err(error.into()))
    }

    async fn panics(&self, value: Option<i32>) -> i32 {
        value.expect("password=hunter2")
    }

    async fn never(&self) -> i32 {
        std::future::pending().await
    }

    async fn page(&self, first: Option<i32>) -> Option<i32> {
        first
    }

    /// One, however many there may be.
    async fn nodes(&self, first: Option<i32>, last: Option<i32>) -> Vec<Node> {
        let _ = (first, last);
        vec![Node]
    }
}

pub(crate) struct Node;

#[Object]
impl Node {
    async fn node(&self) -> Node {
        Node
    }

    async fn id(&self) -> i32 {
        1
    }

    async fn nodes(&self, first: Option<i32>, last: Option<i32>) -> Vec<Node> {
        let _ = (first, last);
        vec![Node]
    }
}

pub(crate) struct Mutation;

#[Object]
impl Mutation {
    async fn bump(&self) -> i32 {
        1
    }

    /// Waits for a permit of the test.
    async fn waits(&self, ctx: &Context<'_>) -> i32 {
        let inside = ctx.data_unchecked::<Arc<Inside>>();
        let _running = Running::new(&inside.running);
        inside.permits.acquire().await.unwrap().forget();
        1
    }

    async fn never(&self) -> i32 {
        std::future::pending().await
    }
}

pub(crate) struct Tick(i32);

#[Object]
impl Tick {
    async fn value(&self) -> i32 {
        self.0
    }

    async fn leaks(&self) -> async_graphql::Result<i32> {
        Err(std::io::Error::other("password=hunter2"))?
    }
}

pub(crate) struct Subscriptions;

#[Subscription]
impl Subscriptions {
    /// The numbers that the test sends from now on.
    async fn ticks(&self, ctx: &Context<'_>) -> impl Stream<Item = Tick> + use<> {
        let inside = ctx.data_unchecked::<Arc<Inside>>();
        let guard = Running::new(&inside.running);
        stream::unfold((inside.ticks.subscribe(), guard), |(mut ticks, guard)| async move {
            let value = ticks.recv().await.ok()?;
            Some((Tick(value), (ticks, guard)))
        })
    }

    /// Numbers up to `to`, then the end.
    async fn count(&self, to: i32) -> impl Stream<Item = i32> + use<> {
        stream::iter(1..=to)
    }

    /// More than any buffer holds.
    async fn flood(&self, ctx: &Context<'_>) -> impl Stream<Item = String> + use<> {
        let inside = Arc::clone(ctx.data_unchecked::<Arc<Inside>>());
        let guard = Running::new(&inside.running);
        stream::unfold((inside, guard), |(inside, guard)| async move {
            inside.pulled.fetch_add(1, SeqCst);
            Some(("x".repeat(64 * 1024), (inside, guard)))
        })
        .take(100_000)
    }

    async fn refused(&self) -> async_graphql::Result<stream::Empty<i32>> {
        let error = ErrorCode::CursorExpired.error("no longer kept");
        Err::<stream::Empty<i32>, _>(error.into())
    }

    /// Can't begin for a reason that passes.
    async fn away(&self) -> async_graphql::Result<stream::Empty<i32>> {
        Err::<stream::Empty<i32>, _>(away().into())
    }

    /// Numbers up to `to`, then its source is away.
    async fn interrupted(&self, to: i32) -> impl Stream<Item = Result<i32, async_graphql::Error>> + use<> {
        stream::iter(1..=to).map(Ok).chain(stream::iter([Err(away().into())]))
    }

    async fn panics(&self) -> impl Stream<Item = i32> + use<> {
        stream::iter(1..3).map(|number| {
            assert!(number < 2, "password=hunter2");
            number
        })
    }
}

fn away() -> GraphqlError {
    ErrorCode::ServiceUnavailable.error("order-service is away")
}

struct Running(Arc<AtomicUsize>);

impl Running {
    fn new(running: &Arc<AtomicUsize>) -> Self {
        running.fetch_add(1, SeqCst);
        Self(Arc::clone(running))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

/// A schema without mutations and subscriptions is served as well.
pub(crate) fn queries_only() -> Schema<Query, EmptyMutation, async_graphql::EmptySubscription> {
    Schema::new(Query, EmptyMutation, async_graphql::EmptySubscription)
}
