use sea_orm::ConnectionTrait as _;
use store::failpoint::Failpoint;
use store::{StoreError, retrying};

use super::open::{self, Scope};
use super::save;
use crate::inventory::Inventory;
use crate::stock::Book;

/// Opens a book on everything in scope, lets `decide` change it, and commits what changed.
///
/// Lost races are run again, a bounded number of times: `decide` may be called more than once, each time with a fresh
/// book, and only the last call counts.
pub(crate) async fn transact<T>(
    inventory: &Inventory,
    scope: &Scope,
    decide: impl Fn(&mut Book) -> T,
) -> Result<T, StoreError> {
    let Inventory { database, hold_time, failpoints, .. } = inventory;
    let decide = &decide;
    retrying(|| async move {
        let mut book = Book::new(database.now().await?, *hold_time);
        let transaction = database.begin().await?;
        open::fill(&mut book, &transaction, transaction.get_database_backend(), scope).await?;
        let decided = decide(&mut book);
        save::save(&book, &transaction).await?;
        if book.releases() {
            failpoints.hit(Failpoint::ReleaseBeforeCommit).await;
        }
        transaction.commit().await?;
        Ok(decided)
    })
    .await
}
