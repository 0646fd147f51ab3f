use async_graphql::{
    Data, Executor, ObjectType, Request, Response, SDLExportOptions, Schema, SchemaBuilder, ValidationMode,
};
use bus::clock::{Clock, Deadline, IdSource};
use bus::{events::EventSignal, heartbeat::Heartbeat, rpc_client::RpcClient};
use futures::stream::{self, BoxStream, Stream, StreamExt};
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

use super::federation::{SubgraphQuery, subgraph_sdl};
use super::loaders::{BatchScheduler, Loaders};
use super::mutation::Mutation;
use super::query::Query;
use super::scalars::check_date_time;
use super::subscription::{SubscriptionRoot, UpdateRetries};
use crate::orders::unseen::{UnseenOrderSettings, UnseenOrders};
use crate::orders::{OrderPlacer, SendCommand, ServiceClient, Timeout};
use crate::query::{GraphqlSchema, ScalarCheck};
use crate::subscriptions::{SubscriptionSettings, Subscriptions};

/// The schema as it is public, or also as a subgraph's.
#[derive(Clone)]
enum OrderSchema {
    Public(Schema<Query, Mutation, SubscriptionRoot>),
    Subgraph(Schema<SubgraphQuery, Mutation, SubscriptionRoot>),
}

pub struct ApiSettings {
    pub rpc: Arc<dyn RpcClient>,
    pub commands: Arc<dyn SendCommand>,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn IdSource>,
    /// How long all requests of one query or mutation may take together.
    pub request_timeout: Duration,
    /// How long `createOrder` waits for the outcome.
    pub create_order_wait: Duration,
    pub unseen_orders: UnseenOrderSettings,
    pub subscriptions: SubscriptionSettings,
    pub update_retries: UpdateRetries,
    /// Whether the schema has the fields for routers of Apollo Federation: `_service` and `_entities`.
    pub federation: bool,
}

/// Executes operations that have been validated and normalized. Cheap to clone.
#[derive(Clone)]
pub struct Api {
    schema: OrderSchema,
    rpc: Arc<dyn RpcClient>,
    commands: Arc<dyn SendCommand>,
    unseen_orders: UnseenOrders,
    subscriptions: Subscriptions,
    request_timeout: Duration,
}

impl Api {
    pub fn new(settings: ApiSettings) -> Self {
        let unseen_orders = UnseenOrders::new(settings.unseen_orders);
        let unseen = unseen_orders.clone();
        settings.commands.on_unawaited_reply(Box::new(move |id, outcome| unseen.replied(id, outcome)));
        let placer = OrderPlacer {
            commands: Arc::clone(&settings.commands),
            clock: settings.clock,
            ids: settings.ids,
            wait: settings.create_order_wait,
            unseen: unseen_orders.clone(),
        };
        let subscriptions = Subscriptions::new(settings.subscriptions);
        let (updates, retries) = (subscriptions.clone(), settings.update_retries);
        let schema = if settings.federation {
            let query = SubgraphQuery::new(subgraph_sdl(&sdl()));
            OrderSchema::Subgraph(schema(query).data(placer).data(updates).data(retries).finish())
        } else {
            OrderSchema::Public(schema(Query).data(placer).data(updates).data(retries).finish())
        };
        let ApiSettings { rpc, commands, request_timeout, .. } = settings;
        Self { schema, rpc, commands, unseen_orders, subscriptions, request_timeout }
    }

    /// Receives live events and dispatches them to subscribers, until `stop`.
    pub async fn run_subscription(
        &self,
        source: impl Stream<Item = EventSignal>,
        heartbeat: Heartbeat,
        stop: CancellationToken,
    ) {
        let client = self.client(Timeout::Each(self.request_timeout));
        self.subscriptions.run(source, client, heartbeat, stop).await;
    }

    /// Looks after accepted orders until order-service is known to have them, until `stop`.
    pub async fn run_unseen_orders(&self, heartbeat: Heartbeat, stop: CancellationToken) {
        let client = self.client(Timeout::Each(self.request_timeout));
        self.unseen_orders.run(client, Arc::clone(&self.commands), heartbeat, stop).await;
    }

    pub fn subscriptions_are_available(&self) -> bool {
        self.subscriptions.are_available()
    }

    fn client(&self, timeout: Timeout) -> ServiceClient {
        ServiceClient { rpc: Arc::clone(&self.rpc), timeout }
    }
}

impl Executor for Api {
    async fn execute(&self, request: Request) -> Response {
        let scheduler = BatchScheduler::default();
        let client = self.client(Timeout::Shared(Deadline::after(self.request_timeout)));
        let request = request.data(Loaders::new(client, scheduler.clone()));
        let schema = self.schema.clone();
        let operation = stream::once(async move {
            match schema {
                OrderSchema::Public(schema) => schema.execute(request).await,
                OrderSchema::Subgraph(schema) => schema.execute(request).await,
            }
        });
        let mut results = std::pin::pin!(scheduler.drive(operation));
        results.next().await.expect("the stream has one item")
    }

    fn execute_stream(
        &self,
        request: Request,
        session_data: Option<Arc<Data>>,
    ) -> BoxStream<'static, Response> {
        let scheduler = BatchScheduler::default();
        let client = self.client(Timeout::Each(self.request_timeout));
        let request = request.data(Loaders::new(client, scheduler.clone()));
        let session_data = session_data.unwrap_or_default();
        match &self.schema {
            OrderSchema::Public(schema) => {
                scheduler.drive(schema.execute_stream_with_session_data(request, session_data)).boxed()
            }
            OrderSchema::Subgraph(schema) => {
                scheduler.drive(schema.execute_stream_with_session_data(request, session_data)).boxed()
            }
        }
    }
}

impl GraphqlSchema for Api {
    fn sdl(&self) -> String {
        match &self.schema {
            OrderSchema::Public(schema) => GraphqlSchema::sdl(schema),
            OrderSchema::Subgraph(schema) => GraphqlSchema::sdl(schema),
        }
    }

    fn scalars(&self) -> &'static [(&'static str, ScalarCheck)] {
        &[("DateTime", check_date_time)]
    }
}

pub fn sdl() -> String {
    schema(Query)
        .finish()
        .sdl_with_options(SDLExportOptions::new().prefer_single_line_descriptions().use_space_ident())
}

fn schema<Q: ObjectType + 'static>(query: Q) -> SchemaBuilder<Q, Mutation, SubscriptionRoot> {
    // `query` has validated documents before they come here, and bounded what they ask for.
    Schema::build(query, Mutation, SubscriptionRoot).validation_mode(ValidationMode::Fast)
}
