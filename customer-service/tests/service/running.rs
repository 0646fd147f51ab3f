//! The started service over a broker.

use std::sync::Arc;

use bus::clock::{Clock, Deadline, SystemClock};
use bus::heartbeat::Heartbeat;
use bus::rpc_client::{BusRpcClient, request};
use bus::topology::{RetryDelays, Topology};
use customer_service::Config;
use embedded_broker::{EmbeddedBroker, Storage};
use schema::customer::Customer;
use schema::pattern::CUSTOMER_GET;
use service_kit::{ExitStatus, ServiceContext, Shutdown};
use store::Database;

#[tokio::test]
async fn the_service_answers_and_ends_with_nothing_cut_off() {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let topology = Topology::new("test", RetryDelays::default());
    let broker = EmbeddedBroker::open(Storage::Memory, topology, Arc::clone(&clock)).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/customers.db", folder.path().display());
    let database = Database::connect(&url, Arc::clone(&clock)).await.unwrap();
    let context = ServiceContext::new(Arc::clone(&clock), Shutdown::default(), testkit::WAIT_LIMIT);
    let config = Config { prefetch: 10, seed_demo: true };
    let transport = broker.transport("customer-service.test");
    customer_service::start(&config, &context, transport, database).await.unwrap();
    tokio::time::timeout(testkit::WAIT_LIMIT, context.readiness.ready()).await.unwrap();
    let health = context.liveness.report();
    let loops: Vec<&str> = health.loops.iter().map(|report| report.name.as_str()).collect();
    assert_eq!((health.alive, loops), (true, vec!["customer requests"]));

    let rpc_client = BusRpcClient::start(
        broker.transport("gateway.test"),
        clock,
        context.shutdown.forced().clone(),
        Heartbeat::new(),
    );
    let deadline = Deadline::after(testkit::WAIT_LIMIT);
    let customers: Vec<Option<Customer>> =
        request(&*rpc_client, CUSTOMER_GET, &["CUST01", "CUST03"], deadline).await.unwrap();
    assert_eq!(customers[0].as_ref().unwrap().name, "Ada Lindgren");
    assert_eq!(customers[1], None);

    assert_eq!(context.shutdown.stop(testkit::WAIT_LIMIT).await, ExitStatus::Finished);
    broker.close().await;
}
