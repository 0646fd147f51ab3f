//! Requests whose connection breaks while they are worked on.

use async_trait::async_trait;
use bus::clock::SystemClock;
use bus::deadline::Deadline;
use bus::failure::Failure;
use bus::heartbeat::Heartbeat;
use bus::rpc_client::{BusRpcClient, RequestError, request};
use bus::rpc_server::{Request, RequestHandler, RpcServer, respond};
use schema::pattern::{ORDER_UPDATE, Service};
use serde_json::value::RawValue;
use std::sync::Arc;
use testkit::WAIT_LIMIT;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::stand::Rabbit;

/// Says once it has done what it was asked, and takes its time to answer.
struct Slow(Arc<Notify>);

#[async_trait]
impl RequestHandler for Slow {
    async fn handle(&self, _: Request) -> Result<Box<RawValue>, Failure> {
        self.0.notify_one();
        tokio::time::sleep(WAIT_LIMIT).await;
        respond(&())
    }
}

#[tokio::test]
async fn what_may_have_been_done_before_the_broker_died_is_unknown_and_what_was_not_sent_is_not() {
    let rabbit = Rabbit::of_its_own().await;
    let done = Arc::new(Notify::new());
    let rpc_server = RpcServer {
        transport: Arc::new(rabbit.connected("order-service.1").await),
        service: Service::Order,
        handler: Arc::new(Slow(Arc::clone(&done))),
        prefetch: 10,
        clock: Arc::new(SystemClock),
        heartbeat: Heartbeat::new(),
    };
    let stop = CancellationToken::new();
    let _stop = stop.clone().drop_guard();
    tokio::spawn(rpc_server.run(stop.clone()));
    let transport = Arc::new(rabbit.connected("gateway.1").await);
    let rpc_client = BusRpcClient::start(transport, Arc::new(SystemClock), stop);

    let ask = async || request::<_, ()>(&*rpc_client, ORDER_UPDATE, &(), Deadline::after(WAIT_LIMIT)).await;
    let broker_dies = async {
        done.notified().await;
        rabbit.server().kill().await.unwrap();
    };
    let (asked, ()) = tokio::join!(ask(), broker_dies);
    assert!(matches!(&asked, Err(RequestError::DeadlineExceeded { .. })), "{asked:?}");

    let asked = ask().await;
    assert!(matches!(&asked, Err(RequestError::Unavailable { .. })), "{asked:?}");
}
