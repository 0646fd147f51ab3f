use std::sync::Arc;

use bus::clock::SystemClock;
use sea_orm::{ConnectionTrait as _, Statement};
use store::{Database, StoreError};

/// More sessions than one, so that some are in the pool that did not meet the error.
const SESSIONS: usize = 6;

async fn select(database: &Database, sql: &str) -> Result<String, StoreError> {
    let row = database.read().query_one_raw(Statement::from_string(database.backend(), sql)).await?;
    Ok(row.unwrap().try_get_by_index(0)?)
}

/// Opens several sessions at once, which go back into the pool.
async fn fill_pool(database: &Database) {
    let mut open = Vec::new();
    for _ in 0..SESSIONS {
        open.push(database.begin().await.unwrap());
    }
}

async fn connect(url: &str) -> Database {
    Database::connect(url, Arc::new(SystemClock)).await.unwrap()
}

/// A database of its own server, and the server's other database, from which it can be altered in every state.
async fn server() -> (testkit::Postgres, String, String) {
    let server = testkit::Postgres::start().await.unwrap();
    let url = server.create_database("bank").await.unwrap();
    let name = url.rsplit_once('/').unwrap().1.to_owned();
    (server, url, name)
}

#[tokio::test]
async fn sessions_that_are_read_only_are_replaced_once_the_server_takes_writes() {
    let (server, url, name) = server().await;
    let (admin, database) = (server.url("postgres"), connect(&url).await);
    database.write().execute_unprepared("CREATE TABLE accounts (id integer)").await.unwrap();
    database.ping().await.unwrap();

    let read_only = format!("ALTER DATABASE \"{name}\" SET default_transaction_read_only = on");
    server.query(&admin, &read_only).await.unwrap();
    let terminate =
        format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
    server.query(&admin, &terminate).await.unwrap();
    let insert = async || -> Result<(), StoreError> {
        database.write().execute_unprepared("INSERT INTO accounts VALUES (1)").await?;
        Ok(())
    };
    testkit::eventually(
        "every session is new and read-only",
        async || matches!(insert().await, Err(StoreError::Unavailable(reason)) if reason.contains("25006")),
    )
    .await;
    fill_pool(&database).await;
    assert!(matches!(database.ping().await, Err(StoreError::Unavailable(_))));
    assert!(database.write_failure().unwrap().lasts);

    server.query(&admin, &format!("ALTER DATABASE \"{name}\" RESET ALL")).await.unwrap();
    testkit::eventually("a session that may write is opened", insert).await;
    testkit::eventually("it says so", async || database.ping().await).await;
    assert!(!database.write_failure().unwrap().lasts);
}

#[tokio::test]
async fn without_any_write_the_ping_finds_that_the_server_takes_none_and_that_it_does_again() {
    let (server, url, name) = server().await;
    let (admin, database) = (server.url("postgres"), connect(&url).await);
    let terminate =
        format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
    let set = format!("ALTER DATABASE \"{name}\" SET default_transaction_read_only = on");
    server.query(&admin, &set).await.unwrap();
    server.query(&admin, &terminate).await.unwrap();
    testkit::eventually("the server takes no writes", async || {
        matches!(database.ping().await, Err(StoreError::Unavailable(reason)) if reason.contains("takes no writes"))
    })
    .await;
    server.query(&admin, &format!("ALTER DATABASE \"{name}\" RESET ALL")).await.unwrap();
    testkit::eventually("it takes writes again", async || database.ping().await).await;
}

#[tokio::test]
async fn plans_of_an_altered_table_are_made_anew() {
    let database = connect(&testkit::postgres_database().await).await;
    let run = async |sql: &str| database.write().execute_unprepared(sql).await.unwrap();
    run("CREATE TABLE accounts (owner varchar(10))").await;
    run("INSERT INTO accounts VALUES ('Ada')").await;
    let owners = || async { select(&database, "SELECT * FROM accounts").await };
    let everywhere = async || futures::future::join_all((0..SESSIONS).map(|_| owners())).await;
    fill_pool(&database).await;
    assert!(everywhere().await.iter().all(Result::is_ok));
    run("ALTER TABLE accounts ALTER COLUMN owner TYPE varchar(20)").await;
    let stale: Vec<StoreError> = everywhere().await.into_iter().filter_map(Result::err).collect();
    assert!(!stale.is_empty(), "no session had a plan");
    for error in stale {
        assert!(matches!(&error, StoreError::Unavailable(reason) if reason.contains("0A000")), "{error:?}");
    }
    for answer in everywhere().await {
        assert_eq!(answer.unwrap(), "Ada", "no session with an old plan is left");
    }
}

#[tokio::test]
async fn a_session_that_the_server_ends_is_the_databases_fault() {
    let database = connect(&testkit::postgres_database().await).await;
    let transaction = database.begin().await.unwrap();
    let pid =
        transaction.query_one_raw(Statement::from_string(database.backend(), "SELECT pg_backend_pid()"));
    let pid: i32 = pid.await.unwrap().unwrap().try_get_by_index(0).unwrap();
    select(&database, &format!("SELECT pg_terminate_backend({pid})::text")).await.unwrap();
    let error = StoreError::from(transaction.execute_unprepared("SELECT 1").await.unwrap_err());
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    drop(transaction);
    fill_pool(&database).await;
}

#[tokio::test]
async fn a_database_that_cannot_hold_every_text_is_refused() {
    let url = testkit::postgres_database().await;
    let database = connect(&url).await;
    let (server, name) = url.rsplit_once('/').unwrap();
    for (encoding, suffix) in [("LATIN1", "latin"), ("SQL_ASCII", "ascii")] {
        let other = format!("{name}_{suffix}");
        let create =
            format!("CREATE DATABASE \"{other}\" ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0");
        database.write().execute_unprepared(&create).await.unwrap();
        let url = format!("{server}/{other}");
        let begun = std::time::Instant::now();
        let limit = std::time::Duration::from_secs(300);
        let refused = Database::connect_within(&url, Arc::new(SystemClock), limit).await.err().unwrap();
        let StoreError::Misconfigured(problem) = &refused else { panic!("{refused:?}") };
        assert!(problem.contains(&format!("encoding is {encoding} and has to be UTF8")), "{problem}");
        assert!(begun.elapsed() < limit, "trying again would not help");
    }
}

#[tokio::test]
async fn a_character_that_no_database_takes_is_the_datas_fault() {
    let database = connect(&testkit::postgres_database().await).await;
    let zero = Statement::from_sql_and_values(database.backend(), "SELECT $1", ["a\0b".into()]);
    let error = StoreError::from(database.read().query_one_raw(zero).await.unwrap_err());
    assert!(matches!(error, StoreError::Data(_)), "{error:?}");
}
