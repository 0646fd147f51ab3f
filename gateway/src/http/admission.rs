//! How much clients may have open at once: connections that stay (sockets, event streams, multipart responses) and the
//! subscriptions over them, in all and for each customer.

use std::collections::{HashMap, hash_map::Entry};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::RngExt;
use schema::ids::CustomerId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::Limits;
use crate::query::{ErrorCode, GraphqlError, OVERLOAD_RETRY_AFTER, overloaded};

/// When the gateway stops, so much time lies between two connections that are closed, as long as all are closed within
/// [`CLOSE_SPREAD`]: their clients don't all reach the next gateway at once.
const CLOSE_PACE: Duration = Duration::from_millis(1);
const CLOSE_SPREAD: Duration = Duration::from_secs(5);

/// Counts what is open. Cheap to clone.
#[derive(Clone)]
pub(super) struct Admission {
    streams: Arc<Semaphore>,
    max_open: usize,
    customers: Arc<Mutex<HashMap<CustomerId, Open>>>,
    max_streams: usize,
    max_subscriptions: usize,
}

/// What one customer has open.
#[derive(Default)]
struct Open {
    streams: usize,
    subscriptions: usize,
}

/// Held as long as a connection is open.
pub(super) struct StreamPermit {
    _permit: OwnedSemaphorePermit,
}

/// Held as long as what it counts for a customer is open.
pub(super) struct CustomerPermit {
    customers: Arc<Mutex<HashMap<CustomerId, Open>>>,
    customer_id: CustomerId,
    count: fn(&mut Open) -> &mut usize,
}

impl Admission {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            streams: Arc::new(Semaphore::new(limits.max_sockets)),
            max_open: limits.max_sockets,
            customers: Arc::default(),
            max_streams: limits.max_sockets_per_customer,
            max_subscriptions: limits.max_subscriptions_per_customer,
        }
    }

    /// Admits one more connection of whichever client.
    pub(super) fn stream(&self) -> Result<StreamPermit, GraphqlError> {
        let permit = Arc::clone(&self.streams).try_acquire_owned();
        let permit = permit.map_err(|_| overloaded("the gateway is at its limit of sockets"))?;
        Ok(StreamPermit { _permit: permit })
    }

    /// Admits one more connection of a customer.
    pub(super) fn stream_of(&self, customer_id: &CustomerId) -> Result<CustomerPermit, GraphqlError> {
        let admitted = self.count(customer_id, |open| &mut open.streams, self.max_streams);
        admitted.ok_or_else(|| {
            let message = format!("this customer has {} sockets or streams open", self.max_streams);
            ErrorCode::RateLimited.error(message).retry_after(OVERLOAD_RETRY_AFTER)
        })
    }

    /// Admits one more subscription of a customer.
    pub(super) fn subscription_of(&self, customer_id: &CustomerId) -> Result<CustomerPermit, GraphqlError> {
        let admitted = self.count(customer_id, |open| &mut open.subscriptions, self.max_subscriptions);
        admitted.ok_or_else(|| {
            let message = format!("this customer has {} subscriptions under way", self.max_subscriptions);
            ErrorCode::RateLimited.error(message)
        })
    }

    /// Waits until the gateway stops and one of the open connections is to be closed.
    pub(super) async fn stopping(&self, closing: &CancellationToken) {
        closing.cancelled().await;
        let open = self.max_open - self.streams.available_permits();
        let spread = CLOSE_PACE.saturating_mul(u32::try_from(open).unwrap_or(u32::MAX)).min(CLOSE_SPREAD);
        let pause = spread.mul_f64(rand::rng().random_range(0.0..1.0));
        tokio::time::sleep(pause).await;
    }

    fn count(
        &self,
        customer_id: &CustomerId,
        count: fn(&mut Open) -> &mut usize,
        limit: usize,
    ) -> Option<CustomerPermit> {
        let mut customers = lock(&self.customers);
        let open = count(customers.entry(customer_id.clone()).or_default());
        if *open >= limit {
            return None;
        }
        *open += 1;
        let customers = Arc::clone(&self.customers);
        Some(CustomerPermit { customers, customer_id: customer_id.clone(), count })
    }
}

impl Drop for CustomerPermit {
    fn drop(&mut self) {
        let mut customers = lock(&self.customers);
        if let Entry::Occupied(mut entry) = customers.entry(self.customer_id.clone()) {
            *(self.count)(entry.get_mut()) -= 1;
            if entry.get().streams + entry.get().subscriptions == 0 {
                entry.remove();
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while holding the lock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_customer_has_bounds_of_its_own_and_what_is_closed_leaves_nothing() {
        let limits = Limits {
            max_sockets: 3,
            max_sockets_per_customer: 1,
            max_subscriptions_per_customer: 2,
            ..Limits::default()
        };
        let admission = Admission::new(&limits);
        let [ada, bob] = ["ADA", "BOB"].map(|id| id.parse::<CustomerId>().unwrap());
        let streams = [admission.stream_of(&ada).ok().unwrap(), admission.stream_of(&bob).ok().unwrap()];
        assert!(admission.stream_of(&ada).is_err());
        let subscriptions = [(); 2].map(|()| admission.subscription_of(&ada).ok().unwrap());
        assert!(admission.subscription_of(&ada).is_err());
        drop(streams);
        assert!(admission.subscription_of(&ada).is_err());
        drop(admission.stream_of(&ada).ok().unwrap());
        drop(subscriptions);
        assert!(lock(&admission.customers).is_empty());
        let all = [(); 3].map(|()| admission.stream().ok().unwrap());
        assert!(admission.stream().is_err());
        drop(all);
        assert!(admission.stream().is_ok());
    }
}
