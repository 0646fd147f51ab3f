//! Migrations on both databases.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use bus::clock::SystemClock;
use store::{Database, StoreError};

async fn connect(url: &str) -> Database {
    Database::connect(url, Arc::new(SystemClock)).await.unwrap()
}

async fn migrate_all(database: &Database) -> Result<(), StoreError> {
    migrations::ORDERS.migrate(database).await?;
    migrations::INVENTORY.migrate(database).await?;
    migrations::CUSTOMERS.migrate(database).await
}

/// Several copies start at once, over connections of their own, on one database.
async fn start_many_at_once(url: &str) {
    let copies = (0..4).map(|_| async {
        let database = connect(url).await;
        migrate_all(&database).await.unwrap();
        database.close().await;
    });
    futures::future::join_all(copies).await;
    let database = connect(url).await;
    migrate_all(&database).await.unwrap();
}

#[tokio::test]
async fn copies_that_start_at_once_migrate_postgres_once() {
    start_many_at_once(&testkit::postgres_database().await).await;
}

#[tokio::test]
async fn copies_that_start_at_once_migrate_sqlite_once() {
    let folder = tempfile::tempdir().unwrap();
    start_many_at_once(&format!("sqlite://{}/all.db", folder.path().display())).await;
}

async fn progress_is_reported(url: &str) {
    let database = connect(url).await;
    let before = migrations::ORDERS.progress(&database).await.unwrap();
    assert_eq!(before.applied, 0);
    assert!(!before.pending.is_empty());
    migrations::ORDERS.migrate(&database).await.unwrap();
    let after = migrations::ORDERS.progress(&database).await.unwrap();
    assert_eq!((after.applied, after.pending), (before.pending.len(), Vec::new()));
    let elsewhere = migrations::INVENTORY.progress(&database).await.unwrap();
    assert_eq!(elsewhere.applied, 0, "asking applies nothing");
}

#[tokio::test]
async fn how_far_postgres_has_come_is_reported() {
    progress_is_reported(&testkit::postgres_database().await).await;
}

#[tokio::test]
async fn how_far_sqlite_has_come_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    progress_is_reported(&format!("sqlite://{}/all.db", folder.path().display())).await;
}
