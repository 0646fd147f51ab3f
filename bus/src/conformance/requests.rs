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
use crate::failure::{Failure, FailureCode};
use crate::message::Message;
use crate::packet;
use crate::pulse::Pulse;
use crate::requester::{RequestError, Requester, request};
use crate::responder::{HandleRequest, Request, Responder, no_handler, respond};
use crate::transport::{SharedTransport, Target};

/// Long enough for a request to be sent, short enough to be waited for.
const SHORT: Duration = Duration::from_millis(300);

/// Answers how long a text is, and remembers what it was asked.
#[derive(Default)]
struct Measurer {
    asked: Mutex<Vec<String>>,
}

#[async_trait]
impl HandleRequest for Measurer {
    async fn handle(&self, request: Request) -> Result<Box<RawValue>, Failure> {
        let text: String = request.packet.data()?;
        self.asked.lock().unwrap().push(text.clone());
        match text.as_str() {
            "what nobody handles" => Err(no_handler(&request.packet.pattern)),
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
impl HandleRequest for Stuck {
    async fn handle(&self, _: Request) -> Result<Box<RawValue>, Failure> {
        self.has_one.notify_one();
        std::future::pending().await
    }
}

fn respond_with(transport: &SharedTransport, handler: Arc<dyn HandleRequest>) -> DropGuard {
    let stop = CancellationToken::new();
    let responder = Responder {
        transport: Arc::clone(transport),
        service: Service::Order,
        handler,
        prefetch: 10,
        clock: Arc::new(SystemClock),
        pulse: Pulse::new(),
    };
    tokio::spawn(responder.run(stop.clone()));
    stop.drop_guard()
}

async fn requester(broker: &dyn Broker) -> (Arc<Requester>, DropGuard) {
    let stop = CancellationToken::new();
    let transport = broker.transport("gateway.1").await;
    (Requester::start(transport, Arc::new(SystemClock), stop.clone()), stop.drop_guard())
}

async fn ask(requester: &Requester, text: &str, limit: Duration) -> Result<usize, RequestError> {
    request(requester, ORDER_GET, text, Deadline::after(limit)).await
}

/// Many at a time, each by its own answer.
pub async fn a_request_is_answered(broker: &dyn Broker) {
    let transport = broker.transport("order-service.1").await;
    let _responding = respond_with(&transport, Arc::<Measurer>::default());
    let (requester, _stop) = requester(broker).await;
    let texts: Vec<String> = (1..=50).map(|length| "x".repeat(length)).collect();
    let asking = texts.iter().map(|text| ask(&requester, text, AGES));
    let answers = futures::future::join_all(asking).await;
    assert_eq!(answers, (1..=50).map(Ok).collect::<Vec<_>>());
}

/// With the code and words of the service.
pub async fn a_fault_is_answered_as_such(broker: &dyn Broker) {
    let transport = broker.transport("order-service.1").await;
    let _responding = respond_with(&transport, Arc::<Measurer>::default());
    let (requester, _stop) = requester(broker).await;
    let refused = ask(&requester, "what is refused", AGES).await;
    let expected = Failure::new(FailureCode::BadRequest, "it is refused");
    assert_eq!(refused, Err(RequestError::Answered(expected)));
    let unhandled = ask(&requester, "what nobody handles", AGES).await;
    let is_unhandled =
        matches!(&unhandled, Err(RequestError::Answered(failure)) if failure.code == FailureCode::NoHandler);
    assert!(is_unhandled, "{unhandled:?}");
}

/// The asker has been told that it failed, so it must not happen later.
pub async fn a_request_that_nobody_takes_in_time_is_never_executed(broker: &dyn Broker) {
    let (requester, _stop) = requester(broker).await;
    let unanswered = ask(&requester, "too late", SHORT).await;
    assert_eq!(unanswered, Err(RequestError::DeadlineExceeded { pattern: ORDER_GET.to_owned() }));

    let transport = broker.transport("order-service.1").await;
    let measurer = Arc::<Measurer>::default();
    let _responding = respond_with(&transport, Arc::<Measurer>::clone(&measurer));
    assert_eq!(ask(&requester, "in time", AGES).await, Ok(7));
    assert_eq!(*measurer.asked.lock().unwrap(), ["in time"]);
}

/// The requester hears it, and goes on as if it hadn't.
pub async fn a_reply_after_the_deadline_is_dropped_and_counted(broker: &dyn Broker) {
    let counters = Counters::default();
    let _counting = metrics::set_default_local_recorder(&counters);
    let (requester, _stop) = requester(broker).await;
    let service = broker.transport("order-service.1").await;
    let queue = service.topology().requests(Service::Order);
    let mut requests = consume(&service, &queue, 1).await;
    let (unanswered, request) = tokio::join!(ask(&requester, "slow", SHORT), next(&mut requests));
    assert_eq!(unanswered, Err(RequestError::DeadlineExceeded { pattern: ORDER_GET.to_owned() }));

    let reply = Message {
        body: packet::write_response(&respond(&1).unwrap()),
        correlation_id: request.message.correlation_id.clone(),
        ..Message::default()
    };
    let reply_to = Target::Queue(request.message.reply_to.clone().unwrap());
    service.post(reply_to, reply).await.unwrap();
    request.ack().await;
    eventually("the late reply is counted", async || counters.count("waybill_late_replies_total") == 1).await;

    drop(requests);
    let _responding = respond_with(&service, Arc::<Measurer>::default());
    assert_eq!(ask(&requester, "again", AGES).await, Ok(5));
}

/// A request is acknowledged after its reply has been sent.
pub async fn the_requests_of_a_dead_responder_go_to_another(broker: &dyn Broker) {
    let dying = broker.transport("order-service.1").await;
    let stuck = Arc::<Stuck>::default();
    let _responding = respond_with(&dying, Arc::<Stuck>::clone(&stuck));
    let (requester, _stop) = requester(broker).await;
    let failing_over = async {
        in_time("the request to arrive", stuck.has_one.notified()).await;
        dying.close().await;
        let another = broker.transport("order-service.2").await;
        (respond_with(&another, Arc::<Measurer>::default()), another)
    };
    let (answer, _alive) = tokio::join!(ask(&requester, "hello", AGES), failing_over);
    assert_eq!(answer, Ok(5));
}
