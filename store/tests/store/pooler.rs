//! PgBouncer. The tests of transactions and leases run behind it too.

use std::sync::Arc;

use bus::clock::SystemClock;
use sea_orm::{ConnectionTrait as _, Statement};
use store::{Database, StoreError, advisory_lock};
use testkit::PgBouncer;

use crate::kit::Bank;

#[tokio::test]
async fn a_pooler_in_transaction_mode_that_the_url_does_not_name_is_refused() {
    let url = testkit::postgres_database().await;
    let bouncer = PgBouncer::start(&url, "transaction").await.unwrap();
    let error = Database::connect(&bouncer.url(&url), Arc::new(SystemClock)).await.err().unwrap();
    assert!(error.to_string().contains("add pool_mode=transaction to the URL"), "{error}");
}

#[tokio::test]
async fn a_pooler_that_allows_no_transactions_is_refused() {
    let url = testkit::postgres_database().await;
    let bouncer = PgBouncer::start(&url, "statement").await.unwrap();
    for parameters in ["", "?pool_mode=transaction"] {
        let url = format!("{}{parameters}", bouncer.url(&url));
        let connecting = async {
            let database = Database::connect(&url, Arc::new(SystemClock)).await?;
            database.begin().await.map(drop)
        };
        let error = connecting.await.unwrap_err();
        assert!(error.to_string().contains("not allowed in statement pooling mode"), "{error}");
    }
}

#[tokio::test]
async fn without_a_pooler_its_mode_changes_nothing() {
    let url = format!("{}?pool_mode=transaction", testkit::postgres_database().await);
    let database = Database::connect(&url, Arc::new(SystemClock)).await.unwrap();
    database.ping().await.unwrap();
    database.write().execute_unprepared("CREATE TABLE numbers (number integer)").await.unwrap();
    insert(&database, 1).await.unwrap();
    assert_eq!(count(&database).await, 1);
}

/// More connections than sessions, which go round: each statement meets another session than the one before.
#[tokio::test]
async fn statements_of_many_connections_share_few_sessions() {
    let bank = Bank::behind_transaction_pooler().await;
    let other = Database::connect(&bank.url, Arc::new(SystemClock)).await.unwrap();
    bank.database.write().execute_unprepared("CREATE TABLE numbers (number integer)").await.unwrap();
    let writing = (0..200).map(|number| {
        let database = if number % 2 == 0 { &bank.database } else { &other };
        async move {
            insert(database, number).await?;
            count(database).await;
            let transaction = database.begin().await?;
            advisory_lock(&transaction, u128::from(number.unsigned_abs() % 3)).await?;
            transaction.execute_unprepared("UPDATE numbers SET number = number WHERE number = -1").await?;
            Ok::<(), StoreError>(transaction.commit().await?)
        }
    });
    futures::future::try_join_all(writing).await.unwrap();
    assert_eq!(count(&bank.database).await, 200);
    bank.database.ping().await.unwrap();
}

#[tokio::test]
async fn an_advisory_lock_is_held_until_the_transaction_ends() {
    for bank in [Bank::behind_transaction_pooler().await, Bank::behind_session_pooler().await] {
        let holder = bank.database.begin().await.unwrap();
        advisory_lock(&holder, 7).await.unwrap();
        let waiting = bank.database.begin().await.unwrap();
        let statement = "SELECT pg_try_advisory_xact_lock(7)";
        let free = |row: sea_orm::QueryResult| row.try_get_by_index::<bool>(0).unwrap();
        let tried = || Statement::from_string(bank.database.backend(), statement);
        assert!(!free(waiting.query_one_raw(tried()).await.unwrap().unwrap()));
        holder.commit().await.unwrap();
        assert!(free(waiting.query_one_raw(tried()).await.unwrap().unwrap()));
    }
}

async fn insert(database: &Database, number: i32) -> Result<(), StoreError> {
    let sql = "INSERT INTO numbers VALUES ($1)";
    let statement = Statement::from_sql_and_values(database.backend(), sql, [number.into()]);
    database.write().execute_raw(statement).await?;
    Ok(())
}

async fn count(database: &Database) -> i64 {
    let statement = Statement::from_string(database.backend(), "SELECT count(*) FROM numbers");
    let row = database.read().query_one_raw(statement).await.unwrap().unwrap();
    row.try_get_by_index(0).unwrap()
}
