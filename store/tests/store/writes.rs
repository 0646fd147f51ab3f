use sea_orm::ConnectionTrait as _;
use store::StoreError;

use crate::kit::Bank;

/// Makes SQLite find the file full before the disk is.
async fn fill(bank: &Bank) -> StoreError {
    let write = async |sql: &str| bank.database.write().execute_unprepared(sql).await;
    write("PRAGMA max_page_count = 8").await.unwrap();
    write("CREATE TABLE filler (bytes blob)").await.unwrap();
    write("INSERT INTO filler VALUES (randomblob(100000))").await.unwrap_err().into()
}

#[tokio::test]
async fn a_full_disk_is_told_with_the_file_and_until_there_is_space() {
    let bank = Bank::on_sqlite().await;
    assert_eq!(bank.database.write_failure(), None);
    let StoreError::Unavailable(reason) = fill(&bank).await else { panic!("a full disk passes") };
    let file = bank.database.file().unwrap().display().to_string();
    assert!(reason.contains(&format!("no space is left for {file}")), "{reason}");
    assert_eq!(bank.database.write_failure().map(|failure| failure.lasts), Some(true));
    assert_eq!(bank.balance(1).await, 100, "reading goes on");
    assert!(bank.database.write_failure().unwrap().lasts, "a read is no write");

    bank.database.ping().await.unwrap();
    assert!(!bank.database.write_failure().unwrap().lasts, "a page that is there already can be written");
}

#[tokio::test]
async fn a_statement_that_finds_nothing_to_change_is_no_write() {
    let bank = Bank::on_sqlite().await;
    fill(&bank).await;
    let transaction = bank.database.begin().await.unwrap();
    transaction.execute_unprepared("UPDATE accounts SET balance = 1 WHERE id = 77").await.unwrap();
    transaction.commit().await.unwrap();
    assert!(bank.database.write_failure().unwrap().lasts);

    let transaction = bank.database.begin().await.unwrap();
    transaction.execute_unprepared("UPDATE accounts SET balance = 1 WHERE id = 1").await.unwrap();
    assert!(bank.database.write_failure().unwrap().lasts, "it is not committed yet");
    transaction.commit().await.unwrap();
    assert!(!bank.database.write_failure().unwrap().lasts);
}

#[tokio::test]
async fn a_commit_after_a_failed_statement_is_no_commit() {
    let bank = Bank::on_postgres().await;
    let transaction = bank.database.begin().await.unwrap();
    transaction.execute_unprepared("UPDATE accounts SET balance = 1 WHERE id = 1").await.unwrap();
    transaction.execute_unprepared("UPDATE accounts SET balance = -1 WHERE id = 2").await.unwrap_err();
    transaction.commit().await.unwrap_err();
    assert_eq!(bank.balance(1).await, 100, "PostgreSQL has rolled back");
}
