use serde_json::value::to_raw_value;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinHandle, yield_now};

use super::*;
use crate::failure::Failure;

const LONG: Duration = Duration::from_secs(60);

/// A service that answers each item with itself. It answers a request once there is a permit for it.
struct Echo {
    permits: Semaphore,
    received: mpsc::UnboundedSender<(Vec<String>, Deadline)>,
    refuses: fn(&[String]) -> Option<FailureCode>,
}

#[async_trait]
impl RpcClient for Echo {
    async fn call(
        &self,
        _: &str,
        data: Box<RawValue>,
        deadline: Deadline,
    ) -> Result<Box<RawValue>, RequestError> {
        let items: Vec<String> = serde_json::from_str(data.get()).unwrap();
        self.received.send((items.clone(), deadline)).unwrap();
        self.permits.acquire().await.unwrap().forget();
        match (self.refuses)(&items) {
            Some(code) => Err(RequestError::Answered(Failure::new(code, "refused"))),
            None => Ok(data),
        }
    }
}

struct Fixture {
    echo: Arc<Echo>,
    client: Arc<BatchingRpcClient>,
    requests: mpsc::UnboundedReceiver<(Vec<String>, Deadline)>,
}

type Reading = JoinHandle<Result<Vec<String>, RequestError>>;

impl Fixture {
    fn new(refuses: fn(&[String]) -> Option<FailureCode>) -> Self {
        Self::slow_after(LONG, refuses)
    }

    fn slow_after(slow_after: Duration, refuses: fn(&[String]) -> Option<FailureCode>) -> Self {
        #[expect(clippy::disallowed_methods, reason = "a test's own requests")]
        let (received, requests) = mpsc::unbounded_channel();
        let echo = Arc::new(Echo { permits: Semaphore::new(0), received, refuses });
        let client = Arc::new(BatchingRpcClient::slow_after(Arc::<Echo>::clone(&echo), slow_after));
        Self { echo, client, requests }
    }

    /// Begins to read, and returns once the read has been sent or waits.
    async fn read(&self, pattern: &'static str, items: &[&str], limit: Duration) -> Reading {
        let client = Arc::clone(&self.client);
        let items: Vec<Box<RawValue>> = items.iter().map(|item| to_raw_value(item).unwrap()).collect();
        let reading = tokio::spawn(async move {
            let items: Vec<&RawValue> = items.iter().map(|item| &**item).collect();
            let answers = client.call_list(pattern, &items, Deadline::after(limit)).await?;
            Ok(answers.iter().map(|answer| serde_json::from_str(answer.get()).unwrap()).collect())
        });
        settle().await;
        reading
    }

    /// Reads orders until as many batches are in flight as may be.
    async fn fill(&mut self) -> Vec<Reading> {
        let readings =
            vec![self.read(ORDER_GET, &["first"], LONG).await, self.read(ORDER_GET, &["second"], LONG).await];
        assert_eq!((self.next(), self.next()), (vec!["first".into()], vec!["second".into()]));
        readings
    }

    /// The items of the next request, which has been sent.
    fn next(&mut self) -> Vec<String> {
        self.requests.try_recv().expect("a request was sent").0
    }

    fn sent_nothing(&mut self) -> bool {
        self.requests.try_recv().is_err()
    }

    async fn answer(&self, requests: usize) {
        self.echo.permits.add_permits(requests);
        settle().await;
    }
}

/// Lets every other task run until it waits: the runtime of these tests has one thread.
async fn settle() {
    for _ in 0..50 {
        yield_now().await;
    }
}

fn accepts(_: &[String]) -> Option<FailureCode> {
    None
}

async fn answers(reading: Reading) -> Result<Vec<String>, RequestError> {
    tokio::time::timeout(LONG, reading).await.expect("the read is answered").unwrap()
}

#[tokio::test]
async fn reads_that_come_while_batches_are_in_flight_travel_together_and_get_their_own_answers() {
    let mut fixture = Fixture::new(accepts);
    let first = fixture.fill().await;
    let third = fixture.read(ORDER_GET, &["a"], LONG).await;
    let fourth = fixture.read(ORDER_GET, &["b", "c"], LONG).await;
    let fifth = fixture.read(ORDER_GET, &["a"], LONG).await;
    assert!(fixture.sent_nothing(), "two batches are in flight");
    fixture.answer(1).await;
    assert_eq!(fixture.next(), ["a", "b", "c", "a"]);
    let alone = fixture.read(ORDER_GET, &["d"], LONG).await;
    assert!(fixture.sent_nothing(), "two batches are in flight again");
    fixture.answer(10).await;
    assert_eq!(fixture.next(), ["d"]);
    for (reading, expected) in [(third, vec!["a"]), (fourth, vec!["b", "c"]), (fifth, vec!["a"])] {
        assert_eq!(answers(reading).await.unwrap(), expected);
    }
    assert_eq!(answers(alone).await.unwrap(), ["d"]);
    for reading in first {
        assert!(answers(reading).await.is_ok());
    }
    // Nothing is in flight any more.
    let lone = fixture.read(ORDER_GET, &["e"], LONG).await;
    assert_eq!(fixture.next(), ["e"]);
    assert_eq!(answers(lone).await.unwrap(), ["e"]);
}

#[tokio::test]
async fn patterns_have_batches_of_their_own_and_changes_have_none() {
    let mut fixture = Fixture::new(accepts);
    let _first = fixture.fill().await;
    let _customer = fixture.read(CUSTOMER_GET, &["ada"], LONG).await;
    assert_eq!(fixture.next(), ["ada"]);
    for number in 0..10 {
        let _change = fixture.read("order.cancel", &[&number.to_string()], LONG).await;
        assert_eq!(fixture.next(), [number.to_string()]);
    }
}

#[tokio::test]
async fn a_batch_has_a_bounded_number_of_items_and_bytes_unless_one_read_has_more() {
    let mut fixture = Fixture::new(accepts);
    let _first = fixture.fill().await;
    let forty = ["x"; 40];
    let long = "x".repeat(MAX_BYTES);
    let mut readings = Vec::new();
    for items in [&forty[..], &forty, &forty, &["x"; 150], &[&long], &["y"]] {
        readings.push(fixture.read(ORDER_GET, items, LONG).await);
    }
    fixture.answer(10).await;
    let sizes: Vec<usize> = std::iter::from_fn(|| Some(fixture.requests.try_recv().ok()?.0.len())).collect();
    assert_eq!(sizes, [80, 40, 150, 1, 1]);
    for reading in readings {
        assert!(answers(reading).await.is_ok());
    }
}

#[tokio::test]
async fn a_bad_item_fails_its_own_caller_alone() {
    for code in [FailureCode::Internal, FailureCode::BadRequest, FailureCode::Undecodable] {
        let refuses: fn(&[String]) -> Option<FailureCode> = match code {
            FailureCode::Internal => |items| items.contains(&"bad".into()).then_some(FailureCode::Internal),
            FailureCode::BadRequest => {
                |items| items.contains(&"bad".into()).then_some(FailureCode::BadRequest)
            }
            _ => |items| items.contains(&"bad".into()).then_some(FailureCode::Undecodable),
        };
        let mut fixture = Fixture::new(refuses);
        let _first = fixture.fill().await;
        let mut readings = Vec::new();
        for item in ["a", "b", "bad", "c", "d"] {
            readings.push((item, fixture.read(ORDER_GET, &[item], LONG).await));
        }
        fixture.answer(100).await;
        for (item, reading) in readings {
            let expected = match item {
                "bad" => Err(RequestError::Answered(Failure::new(code, "refused"))),
                item => Ok(vec![item.to_owned()]),
            };
            assert_eq!(answers(reading).await, expected);
        }
    }
}

#[tokio::test]
async fn answers_that_do_not_fit_one_message_come_in_several() {
    let mut fixture = Fixture::new(|items| (items.len() > 2).then_some(FailureCode::AnswerTooLong));
    let _first = fixture.fill().await;
    let mut readings = Vec::new();
    for item in ["a", "b", "c", "d", "e"] {
        readings.push((item, fixture.read(ORDER_GET, &[item], LONG).await));
    }
    let long = fixture.read(ORDER_GET, &["f", "g", "h"], LONG).await;
    fixture.answer(100).await;
    for (item, reading) in readings {
        assert_eq!(answers(reading).await.unwrap(), [item]);
    }
    let RequestError::Answered(failure) = answers(long).await.unwrap_err() else { panic!("answered") };
    assert_eq!(failure.code, FailureCode::AnswerTooLong, "its caller may ask for less");
}

#[tokio::test]
async fn a_failure_that_is_no_items_fails_the_batch_once() {
    let mut fixture = Fixture::new(|_| Some(FailureCode::Unavailable));
    let _first = fixture.fill().await;
    let readings = [fixture.read(ORDER_GET, &["a"], LONG).await, fixture.read(ORDER_GET, &["b"], LONG).await];
    fixture.answer(100).await;
    assert_eq!(fixture.next(), ["a", "b"]);
    assert!(fixture.sent_nothing());
    for reading in readings {
        assert!(answers(reading).await.unwrap_err().is_retryable());
    }
}

#[tokio::test]
async fn each_caller_keeps_its_own_deadline_and_the_batch_has_the_latest() {
    let mut fixture = Fixture::new(accepts);
    let _first = fixture.fill().await;
    let soon = fixture.read(ORDER_GET, &["soon"], Duration::from_millis(1)).await;
    let late = fixture.read(ORDER_GET, &["late"], LONG).await;
    let middle = fixture.read(ORDER_GET, &["middle"], LONG / 2).await;
    let expected = RequestError::DeadlineExceeded { pattern: ORDER_GET.to_owned() };
    assert_eq!(answers(soon).await, Err(expected));
    fixture.answer(1).await;
    let (items, deadline) = fixture.requests.try_recv().unwrap();
    assert_eq!(items, ["late", "middle"], "what its caller has given up is not sent");
    assert!(deadline.remaining() > LONG / 2, "{deadline:?}");
    fixture.answer(10).await;
    assert_eq!(answers(late).await.unwrap(), ["late"]);
    assert_eq!(answers(middle).await.unwrap(), ["middle"]);
}

#[tokio::test]
async fn a_caller_that_gives_up_leaves_its_place_to_those_who_wait() {
    let mut fixture = Fixture::new(accepts);
    let first = fixture.fill().await;
    let given_up = fixture.read(ORDER_GET, &["given up"], LONG).await;
    let waiting = fixture.read(ORDER_GET, &["waiting"], LONG).await;
    given_up.abort();
    for reading in &first {
        reading.abort();
    }
    settle().await;
    assert_eq!(fixture.next(), ["waiting"]);
    assert!(fixture.sent_nothing());
    fixture.answer(1).await;
    assert_eq!(answers(waiting).await.unwrap(), ["waiting"]);
}

#[tokio::test]
async fn a_slow_batch_holds_up_no_other() {
    let mut fixture = Fixture::slow_after(Duration::from_millis(1), accepts);
    let mut readings = Vec::new();
    for item in ["a", "b", "c", "d", "e"] {
        readings.push((item, fixture.read(ORDER_GET, &[item], LONG).await));
    }
    let mut sent = Vec::new();
    while sent.len() < readings.len() {
        let request = tokio::time::timeout(LONG, fixture.requests.recv()).await.expect("it is sent");
        sent.extend(request.unwrap().0);
    }
    assert_eq!(sent, ["a", "b", "c", "d", "e"], "none is answered yet");
    fixture.answer(10).await;
    for (item, reading) in readings {
        assert_eq!(answers(reading).await.unwrap(), [item]);
    }
    let batcher = fixture.client.batchers.iter().find(|batcher| batcher.limits.pattern == ORDER_GET);
    assert_eq!(batcher.unwrap().locked().in_flight, 0);
}

#[tokio::test]
async fn more_reads_than_may_wait_are_refused() {
    let mut fixture = Fixture::new(accepts);
    let _first = fixture.fill().await;
    let item = to_raw_value("x").unwrap();
    let items = [&*item];
    let read = || fixture.client.call_list(ORDER_GET, &items, Deadline::after(LONG));
    let mut waiting: Vec<_> = std::iter::repeat_with(read).take(MAX_WAITING).collect();
    for reading in &mut waiting {
        assert!(futures::poll!(reading).is_pending());
    }
    let refused = read().await.unwrap_err();
    assert!(matches!(refused, RequestError::Overloaded { .. }), "{refused:?}");
}
