//! Requests, their deadlines and their replies.

use async_trait::async_trait;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use schema::clock::ClockReport;
use schema::pattern::{ORDER_CANCEL, ORDER_GET, Service, clock_of};
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use testkit::eventually;
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Broker;
use super::kit::{WAIT_LIMIT, consume, in_time, next};
use crate::clock::{Clock, Deadline, ManualClock, SystemClock};
use crate::envelope;
use crate::failure::{Failure, FailureCode};
use crate::heartbeat::Heartbeat;
use crate::message::{BODY_MAX_BYTES, Message};
use crate::rpc_client::{BusRpcClient, RequestError, request};
use crate::rpc_server::{Request, RequestHandler, RpcServer, no_handler, respond};
use crate::transport::{SharedTransport, Target};

/// Long enough for a request to be sent, short enough to be waited for.
const SHORT: Duration = Duration::from_millis(300);

/// Responds with the length of a text, and records the texts.
#[derive(Default)]
struct Measurer {
    texts: Mutex<Vec<String>>,
}

#[async_trait]
impl RequestHandler for Measurer {
    async fn handle(&self, request: Request) -> Result<Box<RawValue>, Failure> {
        let text: String = request.envelope.data()?;
        self.texts.lock().unwrap().push(text.clone());
        match text.as_str() {
            "not handled" => Err(no_handler(&request.envelope.pattern)),
            "refused" => Err(Failure::new(FailureCode::BadRequest, "it is refused")),
            "too long" => respond(&"x".repeat(BODY_MAX_BYTES)),
            text => respond(&text.len()),
        }
    }
}

/// Receives requests and never responds.
#[derive(Default)]
struct Stuck {
    received: Notify,
}

#[async_trait]
impl RequestHandler for Stuck {
    async fn handle(&self, _: Request) -> Result<Box<RawValue>, Failure> {
        self.received.notify_one();
        std::future::pending().await
    }
}

fn serve(transport: &SharedTransport, handler: Arc<dyn RequestHandler>) -> DropGuard {
    serve_by(Arc::new(SystemClock), transport, handler)
}

fn serve_by(
    clock: Arc<dyn Clock>,
    transport: &SharedTransport,
    handler: Arc<dyn RequestHandler>,
) -> DropGuard {
    let stop = CancellationToken::new();
    let rpc_server = RpcServer {
        transport: Arc::clone(transport),
        service: Service::Order,
        handler,
        prefetch: 10,
        clock,
        heartbeat: Heartbeat::new(),
    };
    tokio::spawn(rpc_server.run(stop.clone()));
    stop.drop_guard()
}

async fn rpc_client(broker: &dyn Broker) -> (Arc<BusRpcClient>, DropGuard) {
    let stop = CancellationToken::new();
    let transport = broker.transport("gateway.1").await;
    (BusRpcClient::start(transport, Arc::new(SystemClock), stop.clone(), Heartbeat::new()), stop.drop_guard())
}

async fn length_of(rpc_client: &BusRpcClient, text: &str, limit: Duration) -> Result<usize, RequestError> {
    request(rpc_client, ORDER_GET, text, Deadline::after(limit)).await
}

/// Many at the same time, each with its own response.
pub async fn a_request_is_answered(broker: &dyn Broker) {
    let transport = broker.transport("order-service.1").await;
    let _serving = serve(&transport, Arc::<Measurer>::default());
    let (rpc_client, _stop) = rpc_client(broker).await;
    let texts: Vec<String> = (1..=50).map(|length| "x".repeat(length)).collect();
    let requests = texts.iter().map(|text| length_of(&rpc_client, text, WAIT_LIMIT));
    let answers = futures::future::join_all(requests).await;
    assert_eq!(answers, (1..=50).map(Ok).collect::<Vec<_>>());
}

/// And its message.
pub async fn a_failure_is_answered_with_its_code(broker: &dyn Broker) {
    let transport = broker.transport("order-service.1").await;
    let _serving = serve(&transport, Arc::<Measurer>::default());
    let (rpc_client, _stop) = rpc_client(broker).await;
    let refused = length_of(&rpc_client, "refused", WAIT_LIMIT).await;
    let expected = Failure::new(FailureCode::BadRequest, "it is refused");
    assert_eq!(refused, Err(RequestError::Answered(expected)));
    let too_long = length_of(&rpc_client, "too long", WAIT_LIMIT).await;
    let Err(RequestError::Answered(failure)) = too_long else { panic!("{too_long:?}") };
    assert_eq!(failure.code, FailureCode::AnswerTooLong);
    let unhandled = length_of(&rpc_client, "not handled", WAIT_LIMIT).await;
    let Err(RequestError::Answered(failure)) = unhandled else { panic!("{unhandled:?}") };
    assert_eq!(failure.code, FailureCode::NoHandler);
}

/// The client has an error already, so the request must not take effect later.
pub async fn a_request_that_is_not_received_in_time_is_never_handled(broker: &dyn Broker) {
    let (rpc_client, _stop) = rpc_client(broker).await;
    // A process that can take no more than one request, and is busy with it.
    let busy = broker.transport("order-service.1").await;
    let mut requests = consume(&busy, &busy.topology().requests(Service::Order), 1).await;
    let (unanswered, held) = tokio::join!(length_of(&rpc_client, "held", SHORT), next(&mut requests));
    assert_eq!(unanswered, Err(RequestError::DeadlineExceeded { pattern: ORDER_GET.to_owned() }));
    let unanswered = length_of(&rpc_client, "too late", SHORT).await;
    assert_eq!(unanswered, Err(RequestError::DeadlineExceeded { pattern: ORDER_GET.to_owned() }));
    held.ack().await;
    drop(requests);
    busy.close().await;

    let transport = broker.transport("order-service.1").await;
    let measurer = Arc::<Measurer>::default();
    let _serving = serve(&transport, Arc::<Measurer>::clone(&measurer));
    assert_eq!(length_of(&rpc_client, "in time", WAIT_LIMIT).await, Ok(7));
    assert_eq!(*measurer.texts.lock().unwrap(), ["in time"]);
}

/// Long before its deadline, and is answered as soon as there is one.
pub async fn a_request_fails_at_once_while_no_process_consumes_it(broker: &dyn Broker) {
    let (rpc_client, _stop) = rpc_client(broker).await;
    let server = broker.transport("order-service.1").await;
    for round in 0..2 {
        let refused = length_of(&rpc_client, "nothing", WAIT_LIMIT * 2);
        let refused = in_time("the refusal", refused).await.unwrap_err();
        assert!(matches!(refused, RequestError::Unavailable { .. }), "{refused}");
        assert!(refused.nothing_was_done());
        let serving = serve(&server, Arc::<Measurer>::default());
        let hello = async || length_of(&rpc_client, "hello", WAIT_LIMIT).await;
        assert_eq!(eventually("it is answered", hello).await, 5, "round {round}");
        drop(serving);
        let queue = server.topology().requests(Service::Order);
        eventually("the process is gone", async || {
            server.depth(&queue).await.unwrap().unwrap().consumers == 0
        })
        .await;
    }
}

/// A read is given up; a change waits for the next process, since its outcome would be unknown.
pub async fn a_sent_read_fails_at_once_if_its_process_goes_and_a_change_waits(broker: &dyn Broker) {
    let (rpc_client, _stop) = rpc_client(broker).await;
    let dying = broker.transport("order-service.1").await;
    let queue = dying.topology().requests(Service::Order);
    let mut requests = consume(&dying, &queue, 10).await;
    let read = in_time("the read to fail", length_of(&rpc_client, "read", WAIT_LIMIT * 2));
    let change = request::<_, usize>(&*rpc_client, ORDER_CANCEL, "change", Deadline::after(WAIT_LIMIT * 2));
    let mut change = std::pin::pin!(change);
    let going = async {
        let received = [next(&mut requests).await, next(&mut requests).await];
        drop((received, requests));
        dying.close().await;
    };
    tokio::select! {
        ((), read) = async { tokio::join!(going, read) } => {
            let error = read.unwrap_err();
            assert!(matches!(error, RequestError::Unavailable { .. }), "{error}");
        }
        change = &mut change => panic!("{change:?}"),
    }
    let another = broker.transport("order-service.2").await;
    let _serving = serve(&another, Arc::<Measurer>::default());
    assert_eq!(change.await, Ok("change".len()));
}

/// The deadline is relative; the processes tell their clocks.
pub async fn a_request_is_answered_however_far_apart_the_clocks_are(broker: &dyn Broker) {
    let hour = Duration::from_hours(1);
    let (ahead, behind) = (SystemClock.now().plus(hour), SystemClock.now().minus(hour));
    for (owner, now, expected_ms) in
        [("order-service.1", ahead, -3_600_000), ("order-service.2", behind, 3_600_000)]
    {
        let transport = broker.transport(owner).await;
        let _serving = serve_by(Arc::new(ManualClock::at(now)), &transport, Arc::<Measurer>::default());
        let (rpc_client, _stop) = rpc_client(broker).await;
        for _ in 0..3 {
            assert_eq!(length_of(&rpc_client, "hello", WAIT_LIMIT).await, Ok(5), "{owner}");
        }
        let deadline = Deadline::after(WAIT_LIMIT);
        let report: ClockReport =
            request(&*rpc_client, &clock_of(Service::Order), &(), deadline).await.unwrap();
        let gateway = report.senders.iter().find(|sender| sender.process.contains("gateway.1")).unwrap();
        // The server's clock stands still, and the machine may be busy.
        assert!((gateway.ahead_ms - expected_ms).abs() < 60_000, "{owner}: {report:?}");
        transport.close().await;
    }
}

/// By clocks that have agreed before.
pub async fn a_request_that_comes_too_late_is_refused_and_by_how_much(broker: &dyn Broker) {
    let (clock, measurer) = (Arc::new(ManualClock::at(SystemClock.now())), Arc::<Measurer>::default());
    let transport = broker.transport("order-service.1").await;
    let _serving = serve_by(clock.clone(), &transport, measurer.clone());
    let (rpc_client, _stop) = rpc_client(broker).await;
    assert_eq!(length_of(&rpc_client, "in time", WAIT_LIMIT).await, Ok(7));
    clock.advance(WAIT_LIMIT + Duration::from_secs(20));
    let refused = length_of(&rpc_client, "too late", WAIT_LIMIT).await;
    let Err(RequestError::Answered(failure)) = refused else { panic!("{refused:?}") };
    assert_eq!(failure.code, FailureCode::DeadlineExceeded);
    assert!(failure.message.contains("after its deadline"), "{failure}");
    assert_eq!(*measurer.texts.lock().unwrap(), ["in time"]);
}

/// The client ignores it.
pub async fn a_reply_after_the_deadline_is_dropped_and_counted(broker: &dyn Broker) {
    let counters = Counters::default();
    let _counting = metrics::set_default_local_recorder(&counters);
    let (rpc_client, _stop) = rpc_client(broker).await;
    let service = broker.transport("order-service.1").await;
    let queue = service.topology().requests(Service::Order);
    let mut requests = consume(&service, &queue, 1).await;
    let (unanswered, request) = tokio::join!(length_of(&rpc_client, "slow", SHORT), next(&mut requests));
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
    let _serving = serve(&service, Arc::<Measurer>::default());
    assert_eq!(length_of(&rpc_client, "again", WAIT_LIMIT).await, Ok(5));
}

/// A request is acknowledged after its reply was sent.
pub async fn the_requests_of_a_lost_server_go_to_another(broker: &dyn Broker) {
    let dying = broker.transport("order-service.1").await;
    let stuck = Arc::<Stuck>::default();
    let _serving = serve(&dying, Arc::<Stuck>::clone(&stuck));
    let (rpc_client, _stop) = rpc_client(broker).await;
    let failing_over = async {
        in_time("the request to arrive", stuck.received.notified()).await;
        dying.close().await;
        let another = broker.transport("order-service.2").await;
        (serve(&another, Arc::<Measurer>::default()), another)
    };
    let hello = request(&*rpc_client, ORDER_CANCEL, "hello", Deadline::after(WAIT_LIMIT));
    let (answer, _alive) = tokio::join!(hello, failing_over);
    assert_eq!(answer, Ok(5));
}

/// A metrics recorder that keeps the values of counters.
#[derive(Default)]
struct Counters(Mutex<HashMap<String, Arc<AtomicU64>>>);

impl Counters {
    fn count(&self, name: &str) -> u64 {
        self.0.lock().unwrap().get(name).map_or(0, |count| count.load(Ordering::SeqCst))
    }
}

impl Recorder for Counters {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let mut counts = self.0.lock().unwrap();
        Counter::from_arc(Arc::clone(counts.entry(key.name().to_owned()).or_default()))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}
