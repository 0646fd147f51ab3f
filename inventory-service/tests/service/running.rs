//! The whole service over a broker, as `waybill up` runs it.

use std::sync::Arc;
use std::time::Duration;

use bus::clock::{Clock, Deadline, SystemClock};
use bus::events::event_message;
use bus::heartbeat::Heartbeat;
use bus::message::Message;
use bus::rpc_client::{BusRpcClient, request};
use bus::topology::{RetryDelays, Topology, WorkQueue};
use bus::transport::Target;
use embedded_broker::{EmbeddedBroker, Storage};
use inventory_service::Config;
use schema::inventory_messages::Reserved;
use schema::money::Currency;
use schema::order::OrderStatus::Cancelled;
use schema::pattern::{INVENTORY_GET, INVENTORY_RESERVE};
use schema::product::Product;
use service_kit::{ExitStatus, ServiceContext, Shutdown};
use store::Database;
use testkit::eventually;
use uuid::Uuid;

use crate::kit::{event, fresh_order, product, reserve};

#[tokio::test]
async fn the_service_answers_follows_orders_and_ends_with_nothing_cut_off() {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let topology = Topology::new("test", RetryDelays::default());
    let broker = EmbeddedBroker::open(Storage::Memory, topology, Arc::clone(&clock)).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/inventory.db", folder.path().display());
    let database = Database::connect(&url, Arc::clone(&clock)).await.unwrap();
    let host = ServiceContext::new(Arc::clone(&clock), Shutdown::default(), testkit::WAIT_LIMIT);
    let config = Config {
        currency: Currency::USD,
        reservation_hold: Duration::from_secs(60),
        request_timeout: Duration::from_secs(5),
        prefetch: 10,
        seed_demo: true,
    };
    let transport = broker.transport("inventory-service.test");
    inventory_service::start(&config, &host, transport, database).await.unwrap();
    tokio::time::timeout(testkit::WAIT_LIMIT, host.readiness.ready()).await.unwrap();
    let health = host.liveness.report();
    let loops: Vec<&str> = health.loops.iter().map(|watched| watched.name.as_str()).collect();
    assert_eq!(
        (health.alive, loops),
        (
            true,
            vec![
                "inventory missed events",
                "inventory order events",
                "inventory replies",
                "inventory requests",
                "inventory settling",
            ]
        )
    );

    let gateway = broker.transport("gateway.test");
    let rpc_client =
        BusRpcClient::start(gateway.clone(), clock, host.shutdown.forced().clone(), Heartbeat::new());
    let available = async || {
        let deadline = Deadline::after(testkit::WAIT_LIMIT);
        let mugs: Vec<Option<Product>> =
            request(&*rpc_client, INVENTORY_GET, &[product("PROD01")], deadline).await.unwrap();
        mugs[0].as_ref().unwrap().available_quantity
    };
    let full = available().await;
    let order = fresh_order();
    let items = &[("PROD01", 3)];
    let deadline = Deadline::after(testkit::WAIT_LIMIT);
    let reserved: Vec<Reserved> =
        request(&*rpc_client, INVENTORY_RESERVE, &[reserve(order, 1, items)], deadline).await.unwrap();
    assert!(matches!(&reserved[0], Reserved::Reserved { .. }));
    assert_eq!(available().await, full - 3);

    let poison = Message { body: "no JSON".into(), persistent: true, ..Message::default() };
    let cancelled = event_message(Uuid::now_v7(), &event(order, 1, Cancelled, items), None);
    let poison = (Target::Queue(gateway.topology().work(WorkQueue::InventoryOrderEvents)), poison);
    for published in gateway.publish(vec![poison, cancelled], testkit::WAIT_LIMIT).await {
        published.unwrap();
    }
    eventually("the stock is back", async || available().await == full).await;
    let dead = gateway.topology().dead(WorkQueue::InventoryOrderEvents);
    eventually("the poison is dead-lettered", async || {
        gateway.depth(&dead).await.unwrap().is_some_and(|depth| depth.ready == 1)
    })
    .await;

    assert_eq!(host.shutdown.stop(testkit::WAIT_LIMIT).await, ExitStatus::Finished);
    broker.close().await;
}
