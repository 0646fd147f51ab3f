use std::sync::Arc;
use std::time::Duration;

use bus::clock::{Clock as _, SystemClock};
use sea_orm::{ConnectionTrait as _, Statement};
use store::{Database, StoreError};

use crate::kit::Bank;

async fn setting(database: &Database, reading: bool, pragma: &str) -> String {
    let statement = Statement::from_string(database.backend(), format!("PRAGMA {pragma}"));
    let connection = if reading { database.read() } else { database.write() };
    let row = connection.query_one_raw(statement).await.unwrap().unwrap();
    row.try_get_by_index::<String>(0)
        .or_else(|_| row.try_get_by_index::<i64>(0).map(|n| n.to_string()))
        .unwrap()
}

#[tokio::test]
async fn sqlite_keeps_what_it_commits_and_checks_foreign_keys() {
    let bank = Bank::on_sqlite().await;
    for reading in [false, true] {
        assert_eq!(setting(&bank.database, reading, "journal_mode").await, "wal");
        assert_eq!(setting(&bank.database, reading, "synchronous").await, "2", "FULL");
        assert_eq!(setting(&bank.database, reading, "foreign_keys").await, "1");
    }
}

#[tokio::test]
async fn nothing_waits_for_postgres_without_bound() {
    for bank in [
        Bank::on_postgres().await,
        Bank::behind_transaction_pooler().await,
        Bank::behind_session_pooler().await,
    ] {
        for (name, bound) in [
            ("statement_timeout", "10s"),
            ("lock_timeout", "5s"),
            ("idle_in_transaction_session_timeout", "5s"),
        ] {
            let statement = || Statement::from_string(bank.database.backend(), format!("SHOW {name}"));
            let row = bank.database.read().query_one_raw(statement()).await.unwrap().unwrap();
            assert_eq!(row.try_get_by_index::<String>(0).unwrap(), bound, "{name} of {}", bank.url);
            let transaction = bank.database.begin().await.unwrap();
            let row = transaction.query_one_raw(statement()).await.unwrap().unwrap();
            assert_eq!(row.try_get_by_index::<String>(0).unwrap(), bound, "{name} of {}", bank.url);
        }
    }
}

#[tokio::test]
async fn the_time_is_the_databases() {
    let sqlite = Bank::on_sqlite().await;
    assert_eq!(sqlite.database.now().await.unwrap(), sqlite.clock.now());
    let postgres = Bank::on_postgres().await;
    assert_ne!(postgres.database.now().await.unwrap(), postgres.clock.now());
}

#[tokio::test]
async fn both_names_of_the_scheme_are_understood() {
    let url = testkit::postgres_database().await.replacen("postgres://", "postgresql://", 1);
    let database = Database::connect(&url, Arc::new(SystemClock)).await.unwrap();
    database.ping().await.unwrap();
}

#[tokio::test]
async fn a_database_that_is_not_there_is_waited_for_and_named() {
    let url = format!("postgres://stranger@127.0.0.1:{}/none", testkit::free_port());
    let connected = Database::connect_within(&url, Arc::new(SystemClock), Duration::from_millis(100)).await;
    assert!(matches!(connected.err(), Some(StoreError::Unavailable(_))));
}

#[tokio::test]
async fn the_server_that_refuses_is_quoted() {
    let url = testkit::postgres_database().await;
    let (server, name) = url.rsplit_once('/').unwrap();
    let (_, address) = server.rsplit_once('@').unwrap();
    let refused_by = format!("127.0.0.1:{}", testkit::free_port());
    for (url, words) in [
        (format!("{server}/{name}_of_none"), format!("database \"{name}_of_none\" does not exist (3D000)")),
        (format!("postgres://stranger@{address}/{name}"), "role \"stranger\" does not exist".to_owned()),
        (format!("postgres://stranger@{refused_by}/none"), "Connection refused".to_owned()),
    ] {
        let error = Database::connect(&url, Arc::new(SystemClock)).await.err().unwrap();
        let StoreError::Unavailable(reason) = &error else { panic!("{error:?}") };
        assert!(reason.contains(&words), "{reason}");
    }
}

#[tokio::test]
async fn a_server_that_stops_is_unavailable_and_serves_again_once_it_is_back() {
    let server = testkit::Postgres::start().await.unwrap();
    let url = server.create_database("bank").await.unwrap();
    let database = Database::connect(&url, Arc::new(SystemClock)).await.unwrap();
    let transaction = database.begin().await.unwrap();
    server.stop_immediately().await.unwrap();
    let error = StoreError::from(transaction.execute_unprepared("SELECT 1").await.unwrap_err());
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    drop(transaction);
    assert!(matches!(database.now().await, Err(StoreError::Unavailable(_))));
    server.restart().await.unwrap();
    testkit::eventually("it answers again", async || database.ping().await).await;
}
