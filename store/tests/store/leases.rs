use std::time::Duration;

use store::lease::{LEASE_TTL, Lease};

use crate::kit::{Bank, on_each_database};

on_each_database!(
    a_lease_is_one_holders_until_it_is_given_up,
    a_lease_that_is_not_renewed_is_taken_over,
    a_lease_that_is_renewed_is_kept,
);

fn lease(bank: &Bank, owner: &str) -> Lease {
    Lease::new(bank.database.clone(), "leases", "work", owner.to_owned())
}

async fn a_lease_is_one_holders_until_it_is_given_up(bank: Bank) {
    let (first, second) = (lease(&bank, "first"), lease(&bank, "second"));
    assert!(first.hold().await.unwrap());
    assert!(!second.hold().await.unwrap());
    second.release().await.unwrap();
    assert!(!second.hold().await.unwrap(), "only its holder gives it up");
    first.release().await.unwrap();
    assert!(second.hold().await.unwrap());
    assert!(!first.hold().await.unwrap());
}

async fn a_lease_that_is_not_renewed_is_taken_over(bank: Bank) {
    let (first, second) = (lease(&bank, "first"), lease(&bank, "second"));
    assert!(first.hold().await.unwrap());
    testkit::eventually("the lease has run out", async || {
        bank.clock.advance(LEASE_TTL / 8);
        second.hold().await.unwrap()
    })
    .await;
    assert!(!first.hold().await.unwrap(), "the copy that was away finds the lease taken");
}

async fn a_lease_that_is_renewed_is_kept(bank: Bank) {
    let (first, second) = (lease(&bank, "first"), lease(&bank, "second"));
    for _ in 0..20 {
        assert!(first.hold().await.unwrap());
        assert!(!second.hold().await.unwrap());
        bank.clock.advance(Duration::from_secs(1));
    }
}
