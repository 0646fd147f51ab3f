use async_graphql::{Data, Executor, Request, Response, SDLExportOptions, Schema, SchemaBuilder};
use bus::clock::IdSource;
use bus::clock::{Clock, Deadline};
use bus::heartbeat::Heartbeat;
use bus::rpc_client::RpcClient;
use futures::stream::{self, BoxStream, StreamExt};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

use super::loading::{Loaders, Turns};
use super::mutation::Mutation;
use super::query::Query;
use super::subscription::{Subscription, UpdatePatience};
use crate::hub::{Hub, HubSettings, LiveSource};
use crate::orders::{Backend, Patience, Placing, SendCommand};

/// What one document may cost: a field counts one, and a connection's fields as often as it may have entries. Pages of
/// 100 orders with everything in them cost about a third of this.
const MAX_COMPLEXITY: usize = 20_000;

type OrderSchema = Schema<Query, Mutation, Subscription>;

/// What the API is built on.
pub struct ApiSettings {
    /// Answers requests.
    pub rpc: Arc<dyn RpcClient>,
    /// Takes orders.
    pub commands: Arc<dyn SendCommand>,
    /// Says when an order was placed.
    pub clock: Arc<dyn Clock>,
    /// Names orders and changes.
    pub ids: Arc<dyn IdSource>,
    /// How long all requests of one query or mutation may take together.
    pub request_timeout: Duration,
    /// How long `createOrder` waits for the outcome.
    pub create_order_wait: Duration,
    /// The bounds of live updates.
    pub hub: HubSettings,
    /// How long an update's nested fields are tried.
    pub update_patience: UpdatePatience,
}

/// Executes operations. Cheap to clone.
#[derive(Clone)]
pub struct Api {
    schema: OrderSchema,
    rpc: Arc<dyn RpcClient>,
    hub: Hub,
    request_timeout: Duration,
}

impl Api {
    /// The API over these services.
    pub fn new(settings: ApiSettings) -> Self {
        let placing = Placing {
            commands: settings.commands,
            clock: settings.clock,
            ids: settings.ids,
            wait: settings.create_order_wait,
        };
        let hub = Hub::new(settings.hub);
        Self {
            schema: schema().data(placing).data(hub.clone()).data(settings.update_patience).finish(),
            rpc: settings.rpc,
            hub,
            request_timeout: settings.request_timeout,
        }
    }

    /// Hears live events and hands them to subscribers, until `stop`.
    pub async fn tell_updates(&self, live: impl LiveSource, heartbeat: Heartbeat, stop: CancellationToken) {
        let backend = Backend::new(Arc::clone(&self.rpc), Patience::Each(self.request_timeout));
        self.hub.run(live, backend, heartbeat, stop).await;
    }

    /// Whether subscriptions can begin.
    pub fn can_tell_updates(&self) -> bool {
        self.hub.knows_head()
    }

    fn loaders(&self, patience: Patience, turns: &Turns) -> Loaders {
        Loaders::new(Backend::new(Arc::clone(&self.rpc), patience), turns.clone())
    }
}

impl Executor for Api {
    async fn execute(&self, request: Request) -> Response {
        let turns = Turns::default();
        let patience = Patience::Until(Deadline::after(self.request_timeout));
        let request = request.data(self.loaders(patience, &turns));
        let schema = self.schema.clone();
        let operation = stream::once(async move { schema.execute(request).await });
        let mut results = std::pin::pin!(turns.drive(operation));
        results.next().await.expect("the stream has one item")
    }

    fn execute_stream(
        &self,
        request: Request,
        session_data: Option<Arc<Data>>,
    ) -> BoxStream<'static, Response> {
        let turns = Turns::default();
        let request = request.data(self.loaders(Patience::Each(self.request_timeout), &turns));
        turns
            .drive(self.schema.execute_stream_with_session_data(request, session_data.unwrap_or_default()))
            .boxed()
    }
}

/// The schema in GraphQL's own language.
pub fn sdl() -> String {
    schema()
        .finish()
        .sdl_with_options(SDLExportOptions::new().prefer_single_line_descriptions().use_space_ident())
}

fn schema() -> SchemaBuilder<Query, Mutation, Subscription> {
    Schema::build(Query, Mutation, Subscription).limit_complexity(MAX_COMPLEXITY)
}
