use sea_orm::ConnectionTrait as _;
use sea_orm::sea_query::{Expr, ExprTrait as _, Query};
use store::{Database, StoreError, Transaction, for_update, retrying};

use crate::kit::{Bank, on_each_database};

on_each_database!(
    what_is_read_under_lock_stays_until_the_commit,
    a_transaction_that_is_dropped_leaves_nothing,
    transactions_that_wait_for_one_another_are_tried_again,
    a_constraint_speaks_by_its_name,
    reading_does_not_write,
);

async fn lock(transaction: &Transaction, account: i32) -> Result<i32, StoreError> {
    let mut select =
        Query::select().column("balance").from("accounts").and_where(Expr::col("id").eq(account)).take();
    for_update(transaction.get_database_backend(), &mut select);
    let row = transaction.query_one(&select).await?.unwrap();
    Ok(row.try_get("", "balance")?)
}

async fn set(transaction: &Transaction, account: i32, balance: i32) -> Result<(), StoreError> {
    let update = Query::update()
        .table("accounts")
        .value("balance", balance)
        .and_where(Expr::col("id").eq(account))
        .take();
    transaction.execute(&update).await?;
    Ok(())
}

/// Moves one unit, by what it reads under lock.
async fn transfer(database: &Database, from: i32, to: i32) -> Result<(), StoreError> {
    retrying(|| async {
        let transaction = database.begin().await?;
        let balance = lock(&transaction, from).await?;
        set(&transaction, from, balance - 1).await?;
        let balance = lock(&transaction, to).await?;
        set(&transaction, to, balance + 1).await?;
        Ok(transaction.commit().await?)
    })
    .await
}

async fn what_is_read_under_lock_stays_until_the_commit(bank: Bank) {
    let transfers = (0..20).map(|_| transfer(&bank.database, 1, 2));
    futures::future::try_join_all(transfers).await.unwrap();
    assert_eq!((bank.balance(1).await, bank.balance(2).await), (80, 120));
}

async fn a_transaction_that_is_dropped_leaves_nothing(bank: Bank) {
    let transaction = bank.database.begin().await.unwrap();
    set(&transaction, 1, 0).await.unwrap();
    drop(transaction);
    let transaction = bank.database.begin().await.unwrap();
    assert_eq!(lock(&transaction, 1).await.unwrap(), 100);
}

async fn transactions_that_wait_for_one_another_are_tried_again(bank: Bank) {
    let there = (0..3).map(|_| transfer(&bank.database, 1, 2));
    let back = (0..3).map(|_| transfer(&bank.database, 2, 1));
    let (there, back) =
        tokio::join!(futures::future::try_join_all(there), futures::future::try_join_all(back));
    there.and(back).unwrap();
    assert_eq!((bank.balance(1).await, bank.balance(2).await), (100, 100));
}

async fn a_constraint_speaks_by_its_name(bank: Bank) {
    let transaction = bank.database.begin().await.unwrap();
    let error = set(&transaction, 1, -1).await.unwrap_err();
    assert!(matches!(&error, StoreError::Constraint { name } if name.contains("solvent")), "{error}");
    assert!(!error.is_transient());
}

async fn reading_does_not_write(bank: Bank) {
    if bank.url.starts_with("sqlite:") {
        let written = bank.database.read().execute_unprepared("DELETE FROM accounts").await;
        assert!(written.is_err());
    }
    assert_eq!(bank.balance(1).await, 100);
}

/// OR ROLLBACK makes SQLite end the transaction by itself, as it does when a commit finds the disk full.
#[tokio::test]
async fn after_sqlite_rolled_back_by_itself_a_commit_is_a_commit() {
    let bank = Bank::on_sqlite().await;
    let database = &bank.database;
    for failures in 1..=3 {
        for _ in 0..failures {
            let transaction = database.begin().await.unwrap();
            set(&transaction, 1, 0).await.unwrap();
            let duplicate = "INSERT OR ROLLBACK INTO accounts VALUES (2, 0)";
            transaction.execute_unprepared(duplicate).await.unwrap_err();
        }
        drop(database.begin().await.unwrap());
        let transaction = database.begin().await.unwrap();
        set(&transaction, 1, failures).await.unwrap();
        transaction.commit().await.unwrap();
        assert_eq!(bank.balance(1).await, failures, "another connection reads what was committed");
    }
}
