//! How many operations a customer and an address may send, by the generic cell rate algorithm: what was used comes back
//! evenly.

use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, request::Parts};
use governor::clock::Clock as _;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use moka::sync::Cache;
use schema::ids::CustomerId;

use crate::auth::Viewer;
use crate::query::{ErrorCode, GraphqlError};

/// Customers, and addresses, whose operations are counted at once. Those beyond begin anew.
const MAX_COUNTED: u64 = 100_000;

const FORWARDED_FOR: &str = "x-forwarded-for";

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RateLimitSettings {
    /// None if there is no limit.
    pub per_customer: Option<Rate>,
    /// Counted by IPv4 address or IPv6 network of 64 bits. None if there is no limit.
    pub per_address: Option<Rate>,
    /// How many proxies stand in front, each of which appends to `X-Forwarded-For` whom it was called by.
    pub trusted_proxies: usize,
}

/// So many operations in a period, all of which may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub operations: NonZeroU32,
    pub period: Duration,
}

/// A number and a period, such as `20/s`, `600/m` or `10000/h`.
impl FromStr for Rate {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (operations, period) = text.split_once('/').ok_or(())?;
        let period = match period.trim() {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            _ => return Err(()),
        };
        let operations = operations.trim().parse().map_err(|_| ())?;
        let rate = Self { operations, period: Duration::from_secs(period) };
        rate.quota().map(|_| rate).ok_or(())
    }
}

impl Rate {
    /// None if operations would be less than a nanosecond apart.
    fn quota(&self) -> Option<Quota> {
        let quota = Quota::with_period(self.period / self.operations.get())?;
        Some(quota.allow_burst(self.operations))
    }
}

/// Counts operations. Cheap to clone.
#[derive(Clone)]
pub(super) struct RateLimits {
    customers: Option<Limiter<CustomerId>>,
    addresses: Option<Limiter<IpAddr>>,
    trusted_proxies: usize,
}

impl RateLimits {
    pub(super) fn new(settings: &RateLimitSettings) -> Self {
        Self {
            customers: settings.per_customer.and_then(Limiter::new),
            addresses: settings.per_address.and_then(Limiter::new),
            trusted_proxies: settings.trusted_proxies,
        }
    }

    /// Returns the address that a request's operations are counted for; none if addresses have no limit.
    pub(super) fn address(&self, parts: &Parts) -> Option<IpAddr> {
        self.addresses.as_ref()?;
        let ConnectInfo(peer) = parts.extensions.get::<ConnectInfo<SocketAddr>>()?;
        let forwarded = forwarded_for(&parts.headers, self.trusted_proxies);
        Some(network(forwarded.unwrap_or(peer.ip())))
    }

    /// Counts operations from an address. The error says when to send them again.
    pub(super) fn check_address(&self, address: Option<IpAddr>, operations: u32) -> Result<(), GraphqlError> {
        let (Some(limiter), Some(address)) = (&self.addresses, address) else { return Ok(()) };
        limiter
            .check(&address, operations)
            .map_err(|wait| refusal("too many operations from this address", wait))
    }

    /// Counts operations of a customer. The error says when to send them again.
    pub(super) fn check_viewer(&self, viewer: Option<&Viewer>, operations: u32) -> Result<(), GraphqlError> {
        let (Some(limiter), Some(viewer)) = (&self.customers, viewer) else { return Ok(()) };
        let checked = limiter.check(&viewer.customer_id, operations);
        checked.map_err(|wait| refusal("too many operations of this customer", wait))
    }
}

fn refusal(message: &'static str, wait: Duration) -> GraphqlError {
    ErrorCode::RateLimited.error(message).retry_after(wait)
}

#[derive(Clone)]
struct Limiter<K> {
    quota: Quota,
    period: Duration,
    keys: Cache<K, Arc<DefaultDirectRateLimiter>>,
}

impl<K: Hash + Eq + Clone + Send + Sync + 'static> Limiter<K> {
    fn new(rate: Rate) -> Option<Self> {
        // After a period without operations everything has come back.
        let keys = Cache::builder().max_capacity(MAX_COUNTED).time_to_idle(rate.period).build();
        Some(Self { quota: rate.quota()?, period: rate.period, keys })
    }

    /// Counts operations, all of them or none. The error is how long to wait.
    fn check(&self, key: &K, operations: u32) -> Result<(), Duration> {
        let Some(operations) = NonZeroU32::new(operations) else { return Ok(()) };
        let limiter = self.keys.get_with_by_ref(key, || Arc::new(RateLimiter::direct(self.quota)));
        match limiter.check_n(operations) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(too_early)) => Err(too_early.wait_time_from(limiter.clock().now())),
            // More at once than there ever are: a batch.
            Err(_) => Err(self.period),
        }
    }
}

/// Returns the address that the outermost of this many proxies was called by. What stands before it in the header
/// may have been made up by the client.
fn forwarded_for(headers: &HeaderMap, proxies: usize) -> Option<IpAddr> {
    let values = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
    let addresses: Vec<&str> = values.flat_map(|value| value.split(',')).map(str::trim).collect();
    let address = addresses.get(addresses.len().saturating_sub(proxies))?;
    let with_port = || address.parse().ok().map(|address: SocketAddr| address.ip());
    address.parse().ok().or_else(with_port)
}

/// An address, or the network that an IPv6 customer has for itself.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn the_address_is_what_the_outermost_trusted_proxy_saw() {
        for (values, proxies, expected) in [
            (&["203.0.113.7"][..], 0, None),
            (&["203.0.113.7"], 1, Some("203.0.113.7")),
            (&["6.6.6.6, 203.0.113.7"], 1, Some("203.0.113.7")),
            (&["6.6.6.6, 203.0.113.7", "10.0.0.1"], 2, Some("203.0.113.7")),
            (&["203.0.113.7:4711"], 1, Some("203.0.113.7")),
            (&["[2001:db8::1]:4711"], 1, Some("2001:db8::1")),
            // A request that came past the outer proxies.
            (&["203.0.113.7"], 2, Some("203.0.113.7")),
            (&["unknown"], 1, None),
            (&[], 1, None),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(FORWARDED_FOR, HeaderValue::from_static(value));
            }
            let address = forwarded_for(&headers, proxies).map(|address| address.to_string());
            assert_eq!(address.as_deref(), expected, "{values:?} {proxies}");
        }
    }

    #[test]
    fn ipv6_addresses_of_one_network_count_together() {
        let network = |address: &str| network(address.parse().expect("an address")).to_string();
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(network("::ffff:203.0.113.7"), "203.0.113.7");
    }

    #[test]
    fn a_rate_is_a_number_and_a_period() {
        let rate =
            |text: &str| text.parse::<Rate>().ok().map(|rate| (rate.operations.get(), rate.period.as_secs()));
        assert_eq!(rate("20/s"), Some((20, 1)));
        assert_eq!(rate(" 600 / m "), Some((600, 60)));
        assert_eq!(rate("10000/h"), Some((10_000, 3_600)));
        for bad in ["", "20", "0/s", "-1/s", "20/d", "1.5/s", "4294967295/s"] {
            assert_eq!(rate(bad), None, "{bad}");
        }
    }
}
