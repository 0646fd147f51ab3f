//! Leases: rows that name which copy of a service does a job, and until when by the database's clock.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use schema::time::Timestamp;
use sea_orm::sea_query::{Cond, Expr, ExprTrait as _, Query, UpdateStatement};
use sea_orm::{ConnectionTrait as _, DbBackend};

use crate::database::Database;
use crate::error::StoreError;

/// How long a lease lasts without being renewed. Another copy takes over within this time and its own next try.
pub const LEASE_TTL: Duration = Duration::from_secs(4);
/// A holder renews its lease when less than this is left.
const RENEW_BELOW: Duration = Duration::from_secs(3);

/// A lease, as one copy of a service sees it. A lease only saves work: a holder that stalls may resume beside the next
/// one, so the job must be correct with two holders. The lease's row exists in `table`, which has the columns `name`,
/// `owner` and `expires_at`.
pub struct Lease {
    database: Database,
    table: &'static str,
    name: &'static str,
    owner: String,
    held: Mutex<Option<Held>>,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    /// By the database's clock.
    until: Timestamp,
    /// When the holder began to renew it: it lasts for [`LEASE_TTL`] from then on at the least.
    renewed_at: Instant,
}

impl Lease {
    /// Returns a lease that is not held yet. `owner` differs between copies.
    pub fn new(database: Database, table: &'static str, name: &'static str, owner: String) -> Self {
        Self { database, table, name, owner, held: Mutex::new(None) }
    }

    /// Takes or renews the lease, and returns whether it is held. Writes nothing while enough time is left.
    pub async fn hold(&self) -> Result<bool, StoreError> {
        let renewed_at = Instant::now();
        let held = *self.held();
        // There the database's time costs a round trip, and clocks that may differ are not compared here.
        let is_postgres = self.database.backend() == DbBackend::Postgres;
        if is_postgres && held.is_some_and(|held| held.renewed_at.elapsed() <= LEASE_TTL - RENEW_BELOW) {
            return Ok(true);
        }
        let now = self.database.now().await?;
        if held.is_some_and(|held| held.until.since(now) >= RENEW_BELOW) {
            return Ok(true);
        }
        let until = now.plus(LEASE_TTL);
        let free = Cond::any()
            .add(Expr::col("owner").eq(self.owner.as_str()))
            .add(Expr::col("expires_at").lte(now.to_utc()));
        let mut update = self.expire_at(until);
        update.value("owner", self.owner.as_str()).cond_where(free);
        let is_held = self.database.write().execute(&update).await?.rows_affected() > 0;
        *self.held() = is_held.then_some(Held { until, renewed_at });
        Ok(is_held)
    }

    /// Releases the lease, so that another copy need not wait for its end.
    pub async fn release(&self) -> Result<(), StoreError> {
        *self.held() = None;
        let now = self.database.now().await?;
        let mut update = self.expire_at(now);
        update.and_where(Expr::col("owner").eq(self.owner.as_str()));
        self.database.write().execute(&update).await?;
        Ok(())
    }

    fn expire_at(&self, end: Timestamp) -> UpdateStatement {
        let mut update = Query::update();
        update.table(self.table).value("expires_at", end.to_utc()).and_where(Expr::col("name").eq(self.name));
        update
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Option<Held>> {
        self.held.lock().expect("nothing panics while it holds this lock")
    }
}
