//! Requests, their deadlines and their answers.

use async_trait::async_trait;
use schema::pattern::{ORDER_GET, Service};
use serde_json::value::RawValue;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use testkit::eventually;
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Broker;
use super::counters::Counters;
use super::words::{AGES, consume, in_time, next};
use crate::clock::SystemClock;
use crate::deadline::Deadline;
use crate::envelope;
use crate::failure::{Failure, FailureCode};
use crate::heartbeat::Heartbeat;
use crate::message::Message;
use crate::rpc_client::{BusRpcClient, RequestError, request};
use crate::rpc_server::{Request, RequestHandler, RpcServer, no_handler, respond};
use crate::transport::{SharedTransport, Target};

/// Long enough for a request to be sent, short enough to be waited for.
const SHORT: Duration = Duration::from_millis(300);

/// Answers how long a text is, and remembers what it was asked.
#[derive(Default)]
struct Measurer {
    asked: Mutex<Vec<String>>,
}

#[async_trait]
impl RequestHandler for Measurer {
    async fn handle(&self, request: Request) -> Result<Box<RawValue>, Failure> {
        let text: String = request.envelope.data()?;
        self.asked.lock().unwrap().push(text.clone());
        match text.as_str() {
            "what nobody handles" => Err(no_handler(&request.envelope.pattern)),
            "what is refused" => Err(Failure::new(FailureCode::BadRequest, "it is refused")),
            text => respond(&text.len()),
        }
    }
}

/// Takes requests and never answers.
#[derive(Default)]
struct Stuck {
    has_one: Notify,
}

#[async_trait]
impl RequestHandler for Stuck {
    async fn handle(&self, _: Request) -> Result<Box<RawValue>, Failure> {
        self.has_one.notify_one();
        std::future::pending().await
    }
}

fn respond_with(transport: &SharedTransport, handler: Arc<dyn RequestHandler>) -> DropGuard {
    let stop = CancellationToken::new();
    let rpc_server = RpcServer {
        transport: Arc::clone(transport),
        service: Service::Order,
        handler,
        prefetch: 10,
        clock: Arc::new(SystemClock),
        heartbeat: Heartbeat::new(),
    };
    tokio::spawn(rpc_server.run(stop.clone()));
    stop.drop_guard()
}

async fn rpc_client(broker: &dyn Broker) -> (Arc<BusRpcClient>, DropGuard) {
    let stop = CancellationToken::new();
    let transport = broker.transport("gateway.1").await;
    (BusRpcClient::start(transport, Arc::new(SystemClock), stop.clone()), stop.drop_guard())
}

async fn ask(rpc_client: &BusRpcClient, text: &str, limit: Duration) -> Result<usize, RequestError> {
    request(rpc_client, ORDER_GET, text, Deadline::after(limit)).await
}

/// Many at a time, each by its own answer.
pub async fn a_request_is_answered(broker: &dyn Broker) {
    let transport = broker.transport("order-service.1").await;
    let _responding = respond_with(&transport, Arc::<Measurer>::default());
    let (rpc_client, _stop) = rpc_client(broker).await;
    let texts: Vec<String> = (1..=50).map(|length| "x".repeat(length)).collect();
    let asking = texts.iter().map(|text| ask(&rpc_client, text, AGES));
    let answers = futures::future::join_all(asking).await;
    assert_eq!(answers, (1..=50).map(Ok).collect::<Vec<_>>());
}

/// With the code and words of the service.
pub async fn a_fault_is_answered_as_such(broker: &dyn Broker) {
    let transport = broker.transport("order-service.1").await;
    let _responding = respond_with(&transport, Arc::<Measurer>::default());
    let (rpc_client, _stop) = rpc_client(broker).await;
    let refused = ask(&rpc_client, "what is refused", AGES).await;
    let expected = Failure::new(FailureCode::BadRequest, "it is refused");
    assert_eq!(refused, Err(RequestError::Answered(expected)));
    let unhandled = ask(&rpc_client, "what nobody handles", AGES).await;
    let is_unhandled =
        matches!(&unhandled, Err(RequestError::Answered(failure)) if failure.code == FailureCode::NoHandler);
    assert!(is_unhandled, "{unhandled:?}");
}

/// The asker has been told that it failed, so it must not happen later.
pub async fn a_request_that_nobody_takes_in_time_is_never_executed(broker: &dyn Broker) {
    let (rpc_client, _stop) = rpc_client(broker).await;
    let unanswered = ask(&rpc_client, "too late", SHORT).await;
    assert_eq!(unanswered, Err(RequestError::DeadlineExceeded { pattern: ORDER_GET.to_owned() }));

    let transport = broker.transport("order-service.1").await;
    let measurer = Arc::<Measurer>::default();
    let _responding = respond_with(&transport, Arc::<Measurer>::clone(&measurer));
    assert_eq!(ask(&rpc_client, "in time", AGES).await, Ok(7));
    assert_eq!(*measurer.asked.lock().unwrap(), ["in time"]);
}

/// The client hears it, and goes on as if it hadn't.
pub async fn a_reply_after_the_deadline_is_dropped_and_counted(broker: &dyn Broker) {
    let counters = Counters::default();
    let _counting = metrics::set_default_local_recorder(&counters);
    let (rpc_client, _stop) = rpc_client(broker).await;
    let service = broker.transport("order-service.1").await;
    let queue = service.topology().requests(Service::Order);
    let mut requests = consume(&service, &queue, 1).await;
    let (unanswered, request) = tokio::join!(ask(&rpc_client, "slow", SHORT), next(&mut requests));
    assert_eq!(unanswered, Err(RequestError::DeadlineExceeded { pattern: ORDER_GET.to_owned() }));

    let reply = Message {
        body: envelope::write_response(&respond(&1).unwrap()),
        correlation_id: request.message.correlation_id.clone(),
        ..Message::default()
    };
    let reply_to = Target::Queue(request.message.reply_to.clone().unwrap());
    service.publish_unconfirmed(reply_to, reply).await.unwrap();
    request.ack().await;
    eventually("the late reply is counted", async || counters.count("waybill_late_replies_total") == 1).await;

    drop(requests);
    let _responding = respond_with(&service, Arc::<Measurer>::default());
    assert_eq!(ask(&rpc_client, "again", AGES).await, Ok(5));
}

/// A request is acknowledged after its reply has been sent.
pub async fn the_requests_of_a_dead_responder_go_to_another(broker: &dyn Broker) {
    let dying = broker.transport("order-service.1").await;
    let stuck = Arc::<Stuck>::default();
    let _responding = respond_with(&dying, Arc::<Stuck>::clone(&stuck));
    let (rpc_client, _stop) = rpc_client(broker).await;
    let failing_over = async {
        in_time("the request to arrive", stuck.has_one.notified()).await;
        dying.close().await;
        let another = broker.transport("order-service.2").await;
        (respond_with(&another, Arc::<Measurer>::default()), another)
    };
    let (answer, _alive) = tokio::join!(ask(&rpc_client, "hello", AGES), failing_over);
    assert_eq!(answer, Ok(5));
}
