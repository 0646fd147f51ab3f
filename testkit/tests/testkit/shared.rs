use std::collections::HashSet;

use testkit::{postgres_database, rabbitmq_url, unique};

#[tokio::test]
async fn tests_share_one_broker() {
    let (one, other) = tokio::join!(rabbitmq_url(), rabbitmq_url());

    assert!(one.starts_with("amqp://"), "{one}");
    assert_eq!(one, other);
}

#[tokio::test]
async fn tests_share_a_database_server_but_no_database() {
    let (one, other) = tokio::join!(postgres_database(), postgres_database());

    let (server, database) = one.rsplit_once('/').unwrap();
    let (same_server, other_database) = other.rsplit_once('/').unwrap();
    assert_eq!(server, same_server);
    assert_ne!(database, other_database);
}

#[test]
fn a_unique_name_keeps_its_prefix() {
    let names: HashSet<String> = (0..100).map(|_| unique("orders")).collect();

    assert_eq!(names.len(), 100);
    assert!(names.iter().all(|name| name.starts_with("orders-")));
}
