//! Requests whose connection is lost while they are handled.

use async_trait::async_trait;
use bus::clock::{Deadline, SystemClock};
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

use crate::kit::Rabbit;

/// Notifies when it has handled a request, and responds late.
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
async fn a_request_that_was_sent_before_the_broker_died_has_an_unknown_outcome_and_an_unsent_one_does_not() {
    let rabbit = Rabbit::of_its_own().await;
    let handled = Arc::new(Notify::new());
    let rpc_server = RpcServer {
        transport: Arc::new(rabbit.connected("order-service.1").await),
        service: Service::Order,
        handler: Arc::new(Slow(Arc::clone(&handled))),
        prefetch: 10,
        clock: Arc::new(SystemClock),
        heartbeat: Heartbeat::new(),
    };
    let stop = CancellationToken::new();
    let _stop = stop.clone().drop_guard();
    tokio::spawn(rpc_server.run(stop.clone()));
    let transport = Arc::new(rabbit.connected("gateway.1").await);
    let rpc_client = BusRpcClient::start(transport, Arc::new(SystemClock), stop, Heartbeat::new());

    let send = async || request::<_, ()>(&*rpc_client, ORDER_UPDATE, &(), Deadline::after(WAIT_LIMIT)).await;
    let broker_dies = async {
        handled.notified().await;
        rabbit.server().kill().await.unwrap();
    };
    let (result, ()) = tokio::join!(send(), broker_dies);
    assert!(matches!(&result, Err(RequestError::DeadlineExceeded { .. })), "{result:?}");

    let result = send().await;
    assert!(matches!(&result, Err(RequestError::Unavailable { .. })), "{result:?}");
}
