//! What survives the broker.

use bus::message::{HeaderValue, Message};
use bus::topology::WorkQueue;
use bus::transport::Target;
use embedded_broker::{EmbeddedBroker, OpenError, integrity_check};
use schema::pattern::Service;
use sqlx::{ConnectOptions as _, Connection as _};
use std::sync::Arc;
use std::time::Duration;

use crate::kit::{DELAY, WAIT_LIMIT, file, message, name, next, open, ready_in, send, topology, work};

#[tokio::test]
async fn confirmed_messages_survive_the_broker_with_every_property() {
    let directory = tempfile::tempdir().unwrap();
    let whole = Message {
        body: "{\"pattern\":\"order.create\"}".into(),
        message_id: Some("id".to_owned()),
        correlation_id: Some("correlation".to_owned()),
        reply_to: Some("replies".to_owned()),
        kind: Some("order.create".to_owned()),
        timestamp: "2026-11-23T19:10:51.371Z".parse().ok(),
        expiration: Some(Duration::from_secs(3_600)),
        persistent: true,
        headers: [
            ("x-attempt".to_owned(), HeaderValue::Int(2)),
            ("traceparent".to_owned(), HeaderValue::from("00-1-2-01")),
        ]
        .into(),
    };
    let broker = open(file(directory.path())).await;
    let transport = broker.transport("order-service.1");
    transport.publish(vec![(Target::Queue(work()), whole.clone())], WAIT_LIMIT).await.remove(0).unwrap();
    send(&transport, &work(), &["b", "c"]).await;
    send(&transport, &topology().requests(Service::Order), &["request"]).await;
    broker.close().await;

    let broker = open(file(directory.path())).await;
    let transport = broker.transport("order-service.1");
    assert_eq!(transport.depth(&topology().requests(Service::Order)).await.unwrap().unwrap().ready, 0);
    let mut deliveries = transport.consume(&work(), 3).await.unwrap();
    let first = next(&mut deliveries).await;
    assert_eq!((&first.message, first.delivery_count), (&whole, 0));
    first.ack().await;
    assert_eq!(name(&next(&mut deliveries).await.message), "b");
    drop(deliveries);
    broker.close().await;

    let broker = open(file(directory.path())).await;
    assert_eq!(ready_in(&broker.transport("order-service.1"), &work()).await, ["b", "c"]);
    broker.close().await;
    assert_eq!(integrity_check(&directory.path().join("broker.sqlite")).await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_message_that_waits_for_its_retry_survives_the_broker() {
    let directory = tempfile::tempdir().unwrap();
    let broker = open(file(directory.path())).await;
    let retry = topology().retry(WorkQueue::OrderCommands, DELAY);
    send(&broker.transport("order-service.1"), &retry, &["again"]).await;
    broker.close().await;
    let broker = open(file(directory.path())).await;
    let transport = broker.transport("order-service.1");
    let mut deliveries = transport.consume(&work(), 1).await.unwrap();
    let delivery = next(&mut deliveries).await;
    assert_eq!(name(&delivery.message), "again");
    delivery.ack().await;
    broker.close().await;
    let broker = open(file(directory.path())).await;
    let transport = broker.transport("order-service.1");
    assert_eq!(ready_in(&transport, &work()).await, Vec::<String>::new());
    assert_eq!(ready_in(&transport, &retry).await, Vec::<String>::new());
}

#[tokio::test]
async fn one_broker_has_the_file_open_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let _broker = open(file(directory.path())).await;
    let second = EmbeddedBroker::open(file(directory.path()), topology(), Arc::new(bus::clock::SystemClock));
    assert!(matches!(second.await, Err(OpenError::InUse(_))));
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("broker.sqlite");
    open(file(directory.path())).await.close().await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    let mut connection = options.connect().await.unwrap();
    sqlx::query("PRAGMA user_version = 99").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let opened = EmbeddedBroker::open(file(directory.path()), topology(), Arc::new(bus::clock::SystemClock));
    let error = opened.await.unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 99, .. }), "{error}");
    assert!(error.to_string().contains("broker.sqlite has schema version 99"), "{error}");
}

#[tokio::test]
async fn a_publication_that_cannot_be_journaled_is_refused_and_not_delivered() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("broker.sqlite");
    open(file(directory.path())).await.close().await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    let mut connection = options.connect().await.unwrap();
    let refuse = "CREATE TRIGGER full BEFORE INSERT ON messages WHEN NEW.body = x'62'
        BEGIN SELECT RAISE(ABORT, 'the disk is full'); END";
    sqlx::query(refuse).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();

    let broker = open(file(directory.path())).await;
    let transport = broker.transport("order-service.1");
    send(&transport, &work(), &["a"]).await;
    let messages = ["x", "b"].map(|name| (Target::Queue(work()), message(name))).into();
    for answer in transport.publish(messages, WAIT_LIMIT).await {
        let error = answer.unwrap_err();
        assert!(error.is_certain() && error.to_string().contains("the disk is full"), "{error}");
    }
    send(&transport, &work(), &["c"]).await;
    assert_eq!(ready_in(&transport, &work()).await, ["a", "c"]);
}

#[tokio::test]
async fn many_publishers_and_consumers_at_once_lose_and_repeat_nothing() {
    const PUBLISHERS: usize = 16;
    const EACH: usize = 100;
    let directory = tempfile::tempdir().unwrap();
    let broker = open(file(directory.path())).await;
    let publishing = (0..PUBLISHERS).map(|publisher| {
        let transport = broker.transport(&format!("gateway.{publisher}"));
        tokio::spawn(async move {
            for n in 0..EACH {
                send(&transport, &work(), &[&format!("{publisher}/{n}")]).await;
            }
        })
    });
    let publishing: Vec<_> = publishing.collect();
    let transport = broker.transport("order-service.1");
    let mut deliveries = transport.consume(&work(), 32).await.unwrap();
    let mut next_of = [0; PUBLISHERS];
    for _ in 0..PUBLISHERS * EACH {
        let delivery = next(&mut deliveries).await;
        let name = name(&delivery.message);
        let (publisher, n) = name.split_once('/').unwrap();
        let expected = &mut next_of[publisher.parse::<usize>().unwrap()];
        assert_eq!(n, expected.to_string(), "each publisher's messages come once, in order");
        *expected += 1;
        tokio::spawn(delivery.ack());
    }
    for publishing in publishing {
        publishing.await.unwrap();
    }
}
