//! The whole service over a broker, as `waybill up` runs it.

use std::sync::Arc;

use async_trait::async_trait;
use bus::clock::Deadline;
use bus::clock::{Clock, SystemClock};
use bus::commands::{Accepted, Command, Commands};
use bus::events::{EventSignal, EventSubscription};
use bus::failure::{Failure, FailureCode};
use bus::heartbeat::Heartbeat;
use bus::rpc_client::{BusRpcClient, RpcClient as _};
use bus::rpc_server::{Request, RequestHandler, RpcServer};
use bus::topology::{RetryDelays, Topology, WorkQueue};
use bus::transport::SharedTransport;
use embedded_broker::{EmbeddedBroker, Storage};
use order_service::{Config, Timeouts};
use schema::domain_error::DomainResult;
use schema::order::OrderStatus;
use schema::order_events::EventKind;
use schema::order_messages::OrderCreated;
use schema::pattern::{ORDER_CREATE, Service as Name};
use serde_json::value::RawValue;
use service_kit::{ExitStatus, ServiceContext, Shutdown};
use store::Database;
use uuid::Uuid;

use crate::backends::{Backends, Mood};
use crate::kit::placement;

struct Played(Arc<Backends>);

#[async_trait]
impl RequestHandler for Played {
    async fn handle(&self, request: Request) -> Result<Box<RawValue>, Failure> {
        let answer = self.0.call(&request.envelope.pattern, request.envelope.data, request.deadline).await;
        answer.map_err(|error| Failure::new(FailureCode::Unavailable, error.to_string()))
    }
}

fn play(service: Name, backends: &Arc<Backends>, transport: SharedTransport, shutdown: &Shutdown) {
    let rpc_server = RpcServer {
        transport,
        service,
        handler: Arc::new(Played(backends.clone())),
        prefetch: 10,
        clock: Arc::new(SystemClock),
        heartbeat: Heartbeat::new(),
    };
    shutdown.spawn(service.name(), rpc_server.run(shutdown.stopping().clone()));
}

#[tokio::test]
async fn the_service_takes_tells_retries_and_ends_with_nothing_cut_off() {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let topology = Topology::new("test", RetryDelays::default());
    let broker = EmbeddedBroker::open(Storage::Memory, topology, clock.clone()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/orders.db", folder.path().display());
    let database = Database::connect(&url, clock.clone()).await.unwrap();
    let others = Shutdown::default();
    let host = ServiceContext::new(clock.clone(), Shutdown::default(), testkit::WAIT_LIMIT);
    let backends = Arc::new(Backends::default());
    backends.state().stock.insert("MUG".parse().unwrap(), 10);
    for service in [Name::Customer, Name::Inventory] {
        play(service, &backends, broker.transport("others.test"), &others);
    }
    let config = Config { timeouts: Timeouts::default(), prefetch: 10 };
    let transport = broker.transport("order-service.test");
    order_service::start(&config, &host, transport, database).await.unwrap();
    tokio::time::timeout(testkit::WAIT_LIMIT, host.readiness.ready()).await.unwrap();
    let health = host.liveness.report();
    let loops: Vec<&str> = health.loops.iter().map(|watched| watched.name.as_str()).collect();
    assert_eq!(
        (health.alive, loops),
        (true, vec!["order commands", "order events", "order replies", "order requests", "pending orders"])
    );

    let gateway = broker.transport("gateway.test");
    let mut events = EventSubscription::new(gateway.clone());
    assert_eq!(events.next().await, EventSignal::Listening);
    let rpc_client = BusRpcClient::start(gateway, clock.clone(), others.forced().clone(), Heartbeat::new());
    let commands = Commands::new(rpc_client, WorkQueue::OrderCommands);
    let place = async || {
        let placement = placement("CUST01", &[("MUG", 2)]);
        let command = Command {
            pattern: ORDER_CREATE,
            data: &placement,
            message_id: Uuid::now_v7(),
            timestamp: placement.placed_at,
        };
        let accepted =
            commands.send(&command, Deadline::after(testkit::WAIT_LIMIT), Some(testkit::WAIT_LIMIT)).await;
        let Ok(Accepted::Answered(Ok(answer))) = accepted else { panic!("no answer: {accepted:?}") };
        let outcome: DomainResult<OrderCreated> = serde_json::from_str(answer.get()).unwrap();
        outcome.into_result().unwrap().order.unwrap()
    };
    let mut next_event = async || match events.next().await {
        EventSignal::Event(event) => (event.position, event.kind, event.order),
        other => panic!("{other:?}"),
    };

    let order = place().await;
    assert_eq!(next_event().await, (1, EventKind::Created, order));
    backends.state().inventory = Mood::Away;
    let pending = place().await;
    assert_eq!(pending.status, OrderStatus::Pending);
    assert_eq!(next_event().await, (2, EventKind::Created, pending.clone()));
    backends.state().inventory = Mood::Answers;
    let (position, kind, settled) = tokio::time::timeout(testkit::WAIT_LIMIT, next_event()).await.unwrap();
    assert_eq!((position, kind, settled.id), (3, EventKind::StatusChanged, pending.id));
    assert_eq!(settled.status, OrderStatus::Processing);

    assert_eq!(host.shutdown.stop(testkit::WAIT_LIMIT).await, ExitStatus::Finished);
    assert_eq!(others.stop(testkit::WAIT_LIMIT).await, ExitStatus::Finished);
    broker.close().await;
}
