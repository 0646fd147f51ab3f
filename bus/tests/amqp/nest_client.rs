//! Clients of other implementations.

use async_trait::async_trait;
use bus::clock::SystemClock;
use bus::failure::Failure;
use bus::heartbeat::Heartbeat;
use bus::rpc_server::{Request, RequestHandler, RpcServer, respond};
use futures::StreamExt as _;
use lapin::BasicProperties;
use lapin::options::{BasicConsumeOptions, BasicPublishOptions};
use lapin::types::{AMQPValue, FieldTable};
use schema::pattern::Service;
use serde_json::value::RawValue;
use std::sync::Arc;
use testkit::WAIT_LIMIT;
use tokio_util::sync::CancellationToken;

use crate::kit::Rabbit;

struct Echo;

#[async_trait]
impl RequestHandler for Echo {
    async fn handle(&self, request: Request) -> Result<Box<RawValue>, Failure> {
        respond(&request.envelope.data::<String>()?)
    }
}

/// As `@nestjs/microservices` sends requests: no deadline, no content type, direct reply-to.
#[tokio::test]
async fn a_nest_client_is_answered_over_direct_reply_to() {
    let rabbit = Rabbit::shared().await;
    let rpc_server = RpcServer {
        transport: Arc::new(rabbit.connected("order-service.1").await),
        service: Service::Order,
        handler: Arc::new(Echo),
        prefetch: 10,
        clock: Arc::new(SystemClock),
        heartbeat: Heartbeat::new(),
    };
    let stop = CancellationToken::new();
    let _stop = stop.clone().drop_guard();
    tokio::spawn(rpc_server.run(stop));

    let channel = rabbit.foreign_channel().await;
    let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    let mut replies = channel
        .basic_consume("amq.rabbitmq.reply-to".into(), "".into(), options, FieldTable::default())
        .await
        .unwrap();
    let mut headers = FieldTable::default();
    headers.insert("odd".into(), AMQPValue::Boolean(true));
    let properties = BasicProperties::default()
        .with_reply_to("amq.rabbitmq.reply-to".into())
        .with_correlation_id("c1".into())
        .with_headers(headers);
    let queue = rabbit.topology.requests(Service::Order);
    let body = br#"{"pattern":{"cmd":"order.get"},"data":"hello","id":"c1"}"#;
    channel
        .basic_publish("".into(), queue.as_str().into(), BasicPublishOptions::default(), body, properties)
        .await
        .unwrap();
    let reply =
        tokio::time::timeout(WAIT_LIMIT, replies.next()).await.expect("a reply in time").unwrap().unwrap();
    assert_eq!(reply.properties.correlation_id().as_ref().map(|id| id.as_str()), Some("c1"));
    assert_eq!(String::from_utf8(reply.data).unwrap(), r#"{"response":"hello","isDisposed":true}"#);
}
