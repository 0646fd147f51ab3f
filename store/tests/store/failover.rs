//! Lists of servers.

use std::sync::Arc;

use bus::clock::SystemClock;
use sea_orm::{ConnectionTrait as _, Statement};
use store::Database;
use testkit::{Postgres, eventually, free_port};
use tokio::net::TcpListener;

async fn connect(url: &str) -> Result<Database, String> {
    Database::connect(url, Arc::new(SystemClock)).await.map_err(|error| error.to_string())
}

/// The port of the server that a statement reaches.
async fn port(database: &Database) -> Option<u16> {
    let statement = Statement::from_string(database.backend(), "SELECT inet_server_port()");
    let row = database.read().query_one_raw(statement).await.ok()??;
    row.try_get_by_index::<i32>(0).ok()?.try_into().ok()
}

/// Makes the database of this server read-only or writable, and ends its sessions, as a failover does.
async fn set_read_only(server: &Postgres, read_only: bool) {
    let url = server.url("postgres");
    let value = if read_only { "on" } else { "off" };
    server
        .query(&url, &format!("ALTER DATABASE bank SET default_transaction_read_only = {value}"))
        .await
        .unwrap();
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'bank'";
    server.query(&url, end).await.unwrap();
}

#[tokio::test]
async fn the_writable_server_of_a_list_is_used_and_followed() {
    let (first, second) = tokio::try_join!(Postgres::start(), Postgres::start()).unwrap();
    for server in [&first, &second] {
        server.query(&server.url("postgres"), "CREATE DATABASE bank").await.unwrap();
    }
    let (first_port, second_port) = (first.port(), second.port());
    let url = format!("postgres://postgres@127.0.0.1:{first_port},127.0.0.1:{second_port}/bank");
    let database = connect(&url).await.unwrap();
    assert_eq!(port(&database).await, Some(first_port), "they are tried in order");

    first.stop_immediately().await.unwrap();
    eventually("the second server is used", async || {
        // As readiness does.
        database.ping().await.ok()?;
        (port(&database).await == Some(second_port)).then_some(())
    })
    .await;

    first.restart().await.unwrap();
    set_read_only(&second, true).await;
    eventually("the first server is used again", async || {
        database.ping().await.ok()?;
        (port(&database).await == Some(first_port)).then_some(())
    })
    .await;

    set_read_only(&first, true).await;
    eventually("no server can be written to", async || {
        let error = database.ping().await.err()?.to_string();
        let reason = "the server is not the primary, or is read-only";
        error.contains(&format!("127.0.0.1:{first_port}: ")).then_some(())?;
        (error.matches(reason).count() == 2).then_some(())
    })
    .await;
    let reading = connect(&format!("{url}?target_session_attrs=any")).await.unwrap();
    assert_eq!(port(&reading).await, Some(first_port), "a reader takes the first");

    set_read_only(&second, false).await;
    eventually("the writable server is used", async || {
        database.ping().await.ok()?;
        (port(&database).await == Some(second_port)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn servers_that_refuse_or_do_not_answer_are_passed_over_and_named() {
    let url = testkit::postgres_database().await;
    let (before, location) = url.split_once('@').unwrap();
    let (address, database) = location.split_once('/').unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = silent.local_addr().unwrap();
    let absent = format!("127.0.0.1:{}", free_port());
    let found = connect(&format!("{before}@{absent},{silent},{address}/{database}")).await.unwrap();
    found.ping().await.unwrap();

    let error = connect(&format!("{before}@{absent},{silent}/{database}")).await.err().unwrap();
    assert!(error.contains(&format!("{absent}: ")) && error.contains("Connection refused"), "{error}");
    assert!(error.contains(&format!("{silent}: no answer within 3s")), "{error}");
}
