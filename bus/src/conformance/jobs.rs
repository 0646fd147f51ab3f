//! Jobs: handled at least once, retried, dead-lettered in the end.

use async_trait::async_trait;
use schema::pattern::ORDER_CREATE;
use serde_json::value::to_raw_value;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use testkit::eventually;
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use super::kit::{
    QUEUE, WAIT_LIMIT, connect, consume, in_time, name, named, names, next, publish, until_ready, work_queue,
};
use super::{Broker, retry_delays};
use crate::clock::{Clock as _, Deadline, SystemClock};
use crate::commands::{Accepted, Command, Commands};
use crate::consumer::{Consumer, Disposition, Job, MessageHandler};
use crate::dead_letters::{self, DeadLetter, Selection};
use crate::failure::{Failure, FailureCode};
use crate::heartbeat::Heartbeat;
use crate::message::{Message, header};
use crate::rpc_client::BusRpcClient;
use crate::transport::SharedTransport;

/// Decides about every job by one function, and records each batch.
struct Decides<F> {
    disposition: F,
    batches: Mutex<Vec<Vec<Seen>>>,
}

#[derive(Debug, Clone, PartialEq)]
struct Seen {
    name: String,
    failed_attempts: u32,
    at: Instant,
}

impl<F: Fn(&Job) -> Disposition + Send + Sync + 'static> Decides<F> {
    fn new(disposition: F) -> Arc<Self> {
        Arc::new(Self { disposition, batches: Mutex::default() })
    }

    fn seen(&self) -> Vec<Seen> {
        self.batches.lock().unwrap().concat()
    }

    fn names(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.name).collect()
    }
}

#[async_trait]
impl<F: Fn(&Job) -> Disposition + Send + Sync + 'static> MessageHandler for Decides<F> {
    async fn handle(&self, batch: &[Job]) -> Vec<Disposition> {
        let seen = batch.iter().map(|job| Seen {
            name: name(&job.message),
            failed_attempts: job.message.failed_attempts(),
            at: Instant::now(),
        });
        self.batches.lock().unwrap().push(seen.collect());
        batch.iter().map(&self.disposition).collect()
    }
}

/// Begins to handle a job and never ends.
#[derive(Default)]
struct Stuck {
    received: Notify,
}

#[async_trait]
impl MessageHandler for Stuck {
    async fn handle(&self, _: &[Job]) -> Vec<Disposition> {
        self.received.notify_one();
        std::future::pending().await
    }
}

fn consumer(transport: &SharedTransport, handler: Arc<dyn MessageHandler>) -> Consumer {
    Consumer {
        transport: Arc::clone(transport),
        queue: QUEUE,
        handler,
        prefetch: 10,
        batch_max: 10,
        clock: Arc::new(SystemClock),
        heartbeat: Heartbeat::new(),
    }
}

fn consume_with(transport: &SharedTransport, handler: &Arc<impl MessageHandler>) -> DropGuard {
    let stop = CancellationToken::new();
    tokio::spawn(consumer(transport, handler.clone()).run(stop.clone()));
    stop.drop_guard()
}

fn unavailable() -> Failure {
    Failure::new(FailureCode::Unavailable, "no luck")
}

async fn dead_letter(transport: &SharedTransport) -> DeadLetter {
    eventually("a dead letter", async || {
        let letters = dead_letters::list(transport, &Selection::All).await.unwrap();
        letters.into_iter().next()
    })
    .await
}

/// A job of a consumer that is lost while handling it is handled by another.
pub async fn a_job_is_acknowledged_after_its_effect(broker: &dyn Broker) {
    let (dying, queue) = connect(broker, "order-service.1").await;
    publish(&dying, &queue, vec![named("m")]).await;
    let stuck = Arc::<Stuck>::default();
    let consuming = consume_with(&dying, &stuck);
    in_time("the job to begin", stuck.received.notified()).await;
    drop(consuming);
    dying.close().await;

    let transport = broker.transport("order-service.2").await;
    let done = Decides::new(|_| Disposition::Done(None));
    let consuming = consume_with(&transport, &done);
    eventually("another handles it", async || done.names() == ["m"]).await;
    until_ready(&transport, &queue, 0).await;
    drop(consuming);
    transport.close().await;
    let after = broker.transport("order-service.3").await;
    until_ready(&after, &queue, 0).await;
}

/// No earlier than after each delay without its jitter.
pub async fn a_failing_job_is_retried_after_growing_delays(broker: &dyn Broker) {
    let transport = broker.transport("order-service.1").await;
    publish(&transport, &work_queue(&transport), vec![named("m")]).await;
    let succeeds_at_last = Decides::new(|job: &Job| match job.message.failed_attempts() {
        0 | 1 => Disposition::Retry(unavailable()),
        _ => Disposition::Done(None),
    });
    let _consuming = consume_with(&transport, &succeeds_at_last);
    eventually("the third attempt", async || succeeds_at_last.seen().len() == 3).await;
    let seen = succeeds_at_last.seen();
    for (attempt, delay) in retry_delays().0.into_iter().enumerate() {
        let waited = seen[attempt + 1].at - seen[attempt].at;
        assert!(waited >= delay.mul_f64(0.8), "attempt {attempt}: {waited:?} of {delay:?}");
    }
    let attempts: Vec<u32> = seen.iter().map(|seen| seen.failed_attempts).collect();
    assert_eq!(attempts, [0, 1, 2]);
    assert_eq!(dead_letters::list(&transport, &Selection::All).await.unwrap(), []);
}

/// With the reason, the attempts, the queue and the time; and it is still the same message.
pub async fn a_job_that_keeps_failing_is_dead_lettered_with_its_history(broker: &dyn Broker) {
    let (transport, queue) = connect(broker, "order-service.1").await;
    let mut message = named("m");
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    message.set_header(header::TRACEPARENT, traceparent.into());
    let began = SystemClock.now();
    publish(&transport, &queue, vec![message.clone()]).await;
    let fails = Decides::new(|_| Disposition::Retry(unavailable()));
    let _consuming = consume_with(&transport, &fails);
    let letter = dead_letter(&transport).await;
    assert!(letter.failed_at.is_some_and(|at| at >= began), "{letter:?}");
    let expected = DeadLetter {
        id: "m".to_owned(),
        queue: queue.clone(),
        pattern: Some("order.create".to_owned()),
        code: "UNAVAILABLE".to_owned(),
        message: "no luck".to_owned(),
        attempts: 3,
        failed_at: letter.failed_at,
        headers: letter.headers.clone(),
        trace_id: Some("0af7651916cd43dd8448eb211c80319c".to_owned()),
        body: String::from_utf8(message.body.to_vec()).unwrap(),
    };
    assert_eq!(letter, expected);
    assert_eq!(fails.names(), ["m", "m", "m"]);
    until_ready(&transport, &queue, 0).await;
}

/// A retry would not help, and other jobs don't wait for it.
pub async fn an_undecodable_message_is_dead_lettered_at_once(broker: &dyn Broker) {
    let transport = broker.transport("order-service.1").await;
    let poison = Message { body: "not JSON".into(), persistent: true, ..Message::default() };
    publish(&transport, &work_queue(&transport), vec![poison, named("m")]).await;
    let done = Decides::new(|_| Disposition::Done(None));
    let _consuming = consume_with(&transport, &done);
    let letter = dead_letter(&transport).await;
    assert_eq!((letter.code.as_str(), letter.attempts), ("UNDECODABLE", 1));
    assert_eq!(letter.body, "not JSON");
    eventually("the other is handled", async || done.names() == ["m"]).await;
}

/// It may be what kills its consumers, and must not affect other jobs.
pub async fn a_job_that_was_delivered_often_is_handled_alone(broker: &dyn Broker) {
    let (transport, queue) = connect(broker, "order-service.0").await;
    publish(&transport, &queue, vec![named("suspect")]).await;
    for owner in ["order-service.1", "order-service.2", "order-service.3"] {
        let dying = broker.transport(owner).await;
        let delivery = next(&mut consume(&dying, &queue, 1).await).await;
        dying.close().await;
        drop(delivery);
        until_ready(&transport, &queue, 1).await;
    }
    publish(&transport, &queue, names(5).iter().map(named).collect()).await;
    let mut deliveries = consume(&transport, &queue, 6).await;
    let mut batch = Vec::new();
    for _ in 0..6 {
        batch.push(next(&mut deliveries).await);
    }
    let done = Decides::new(|_| Disposition::Done(None));
    let consumer = consumer(&transport, done.clone());
    in_time("the batch", consumer.process(batch, &CancellationToken::new())).await;
    let batches = done.batches.lock().unwrap().clone();
    let batches = batches.into_iter().map(|batch| batch.into_iter().map(|seen| seen.name).collect());
    assert_eq!(batches.collect::<Vec<Vec<String>>>(), [names(5), vec!["suspect".to_owned()]]);
}

/// Under its own id, whether or not the sender awaits the reply.
pub async fn a_command_is_answered_once_its_effect_is_committed(broker: &dyn Broker) {
    let service = broker.transport("order-service.1").await;
    let done =
        Decides::new(|job: &Job| Disposition::Done(Some(to_raw_value(&job.message.message_id).unwrap())));
    let _consuming = consume_with(&service, &done);
    let stop = CancellationToken::new();
    let rpc_client = BusRpcClient::start(
        broker.transport("gateway.1").await,
        Arc::new(SystemClock),
        stop.clone(),
        Heartbeat::new(),
    );
    let _stop = stop.drop_guard();
    let commands = Commands::new(rpc_client, QUEUE);
    let replied: Arc<Mutex<Vec<Uuid>>> = Arc::default();
    let heard = Arc::clone(&replied);
    commands.on_unawaited_reply(Box::new(move |message_id, outcome| {
        heard.lock().unwrap().push(message_id);
        outcome.is_ok()
    }));
    let command = Command {
        pattern: ORDER_CREATE,
        data: &"something",
        message_id: Uuid::now_v7(),
        timestamp: SystemClock.now(),
    };
    let accepted = commands.send(&command, Deadline::after(WAIT_LIMIT), Some(WAIT_LIMIT)).await.unwrap();
    let Accepted::Answered(Ok(answer)) = accepted else { panic!("{accepted:?}") };
    assert_eq!(answer.get(), format!("\"{}\"", command.message_id));
    assert!(replied.lock().unwrap().is_empty());

    let unawaited = commands.send(&command, Deadline::after(WAIT_LIMIT), None).await.unwrap();
    assert!(matches!(unawaited, Accepted::Unanswered), "{unawaited:?}");
    let id = command.message_id.to_string();
    eventually("it is handled again", async || done.names() == [id.clone(), id.clone()]).await;
    eventually("its reply comes by itself", async || *replied.lock().unwrap() == [command.message_id]).await;
}
