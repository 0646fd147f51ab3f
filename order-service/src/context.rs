//! What every handler of this service has at hand.

use std::sync::Arc;
use std::time::Duration;

use bus::clock::Clock;
use bus::ids::IdSource;
use bus::rpc_client::RpcClient;
use store::Database;
use store::failpoint::Failpoints;
use tokio::sync::Notify;

/// What the service stands on, passed in so that tests and the simulation can play each part.
#[derive(Clone)]
pub struct Context {
    /// Orders' own database, migrated.
    pub database: Database,
    /// Whoever answers for customer-service and inventory-service.
    pub rpc: Arc<dyn RpcClient>,
    /// For the times of changes.
    pub clock: Arc<dyn Clock>,
    /// For the ids of events.
    pub ids: Arc<dyn IdSource>,
    /// Rung when events were committed.
    pub committed: Arc<Notify>,
    /// Where a test may stop it.
    pub failpoints: Failpoints,
    /// Its bounds.
    pub timeouts: Timeouts,
}

/// How long things may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// For asking customer and inventory about a batch of new orders, before they are stored PENDING: well below
    /// the gateway's wait.
    pub place_timeout: Duration,
    /// For asking again about PENDING orders.
    pub request_timeout: Duration,
    /// After so long PENDING an order is REJECTED as EXPIRED.
    pub pending_max_age: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            place_timeout: Duration::from_secs(1),
            request_timeout: Duration::from_secs(5),
            pending_max_age: Duration::from_secs(15 * 60),
        }
    }
}
