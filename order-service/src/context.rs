//! The dependencies of every handler of this service.

use std::sync::Arc;
use std::time::Duration;

use bus::clock::{Clock, IdSource};
use bus::rpc_client::RpcClient;
use store::Database;
use store::failpoint::Failpoints;
use tokio::sync::Notify;

use crate::checks::KnownCustomers;

/// The dependencies, passed in so that tests and the simulation can replace each.
#[derive(Clone)]
pub struct Context {
    /// The database of orders, migrated.
    pub database: Database,
    pub rpc: Arc<dyn RpcClient>,
    pub known_customers: Arc<KnownCustomers>,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn IdSource>,
    /// Wakes the relay when events were committed.
    pub committed: Arc<Notify>,
    /// Where a test may stop the service.
    pub failpoints: Failpoints,
    pub timeouts: Timeouts,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// For the checks of a batch of new orders, before they are stored as PENDING: well below the gateway's timeout.
    pub place_timeout: Duration,
    /// For the checks of a batch of PENDING orders.
    pub request_timeout: Duration,
    /// The age at which a PENDING order is REJECTED as EXPIRED.
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
