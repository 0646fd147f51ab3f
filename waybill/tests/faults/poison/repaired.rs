//! Commands that fail until the database is repaired, and then take effect once.

use std::time::Duration;

use bus::dead_letters::{self, DeadLetter, Selection};
use testkit::eventually;
use tokio::time::Instant;
use uuid::Uuid;

use super::others::measured;
use crate::checker::assert_promises_kept;
use crate::cluster::{Cluster, ENDLESS, Shape, Whose};
use crate::load::{Basket, Entry, Load, Outcome, WorkloadConfig, attempt};
use crate::scale::scaled;

/// Orders to this address can't be stored until the database is repaired.
const CURSED: &str = "13 Cursed Lane";
/// The first try, and one after each of the cluster's retry delays.
const ATTEMPTS: u32 = 4;

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_always_fails_becomes_a_dead_letter_and_takes_effect_once_when_replayed() {
    let cluster = Cluster::distributed("cursed", Shape::default()).await.unwrap();
    let load = Load::start(&cluster, 4, WorkloadConfig::default()).await.unwrap();
    load.progress().reaches(20, Duration::from_secs(60)).await.unwrap();
    let bus = cluster.bus().await.unwrap();
    let curse = format!(
        "ALTER TABLE orders ADD CONSTRAINT cursed CHECK (shipping_address IS NULL OR shipping_address <> '{CURSED}') \
         NOT VALID"
    );
    cluster.tables.run(Whose::Orders, &curse).await.unwrap();

    let api = cluster.api("CUST01").unwrap();
    let cursed = scaled(3, 20);
    let failing = async {
        let mut accepted = Vec::new();
        for _ in 0..cursed {
            // Sent without `wait`: an answer that it failed would be sent again.
            let basket = Basket { shipping_address: Some(CURSED.to_owned()), ..Basket::single(ENDLESS[4]) };
            let (key, begun) = (Uuid::new_v4().to_string(), Instant::now());
            let outcome = api.create_order(&basket, Some(&key), false).await;
            load.note(Entry {
                customer_id: api.customer().to_owned(),
                idempotency_key: key,
                request: basket,
                attempts: vec![attempt(&outcome, begun.elapsed())],
                unknown_for_ms: None,
            });
            let Outcome::Ok { order, .. } = outcome else { panic!("it is not accepted: {outcome:?}") };
            accepted.push(order.order_id);
        }
        (accepted, dead_letters_of(&bus, cursed).await)
    };
    let ((accepted, letters), slowest) = measured(&cluster, &load, failing).await;
    for letter in &letters {
        assert_eq!((letter.code.as_str(), letter.attempts), ("INTERNAL", ATTEMPTS), "{letter:?}");
        assert_eq!(letter.queue, "waybill.order.commands");
        assert_eq!(letter.headers["x-origin-queue"], letter.queue.as_str().into());
        assert_eq!(letter.trace_id.as_ref().map(String::len), Some(32), "{letter:?}");
        assert!(letter.message.contains("cursed") && letter.failed_at.is_some(), "{letter:?}");
    }

    // Replayed too early it fails again; after the repair, one is replayed by its id and the rest by their code.
    let replayed = cluster.operator(&["dead-letters", "replay", &letters[0].id]).await.unwrap();
    assert!(replayed.contains("1 dead letter replayed"), "{replayed}");
    dead_letters_of(&bus, cursed).await;
    cluster.tables.run(Whose::Orders, "ALTER TABLE orders DROP CONSTRAINT cursed").await.unwrap();
    cluster.operator(&["dead-letters", "replay", &letters[0].id]).await.unwrap();
    cluster.operator(&["dead-letters", "replay", "--code", "INTERNAL"]).await.unwrap();
    let ids: Vec<String> = accepted.iter().map(|id| format!("'{id}'")).collect();
    let decided = format!(
        "SELECT count(*) FROM orders WHERE status = 'PROCESSING' AND NOT fenced AND id IN ({})",
        ids.join(", ")
    );
    eventually("every order that was accepted is there", async || {
        let decided = cluster.tables.texts(Whose::Orders, &decided).await?;
        anyhow::ensure!(decided == [cursed.to_string()], "{decided:?} of {cursed}");
        anyhow::Ok(())
    })
    .await;

    println!("{cursed} commands failed {ATTEMPTS} times each; {slowest}; {}", load.log().summary());
    slowest.assert_within_bound();
    assert_promises_kept(&cluster, load).await;
}

async fn dead_letters_of(bus: &bus::transport::SharedTransport, count: usize) -> Vec<DeadLetter> {
    eventually("the commands are dead letters", async || {
        let letters = dead_letters::list(bus, &Selection::All).await?;
        anyhow::ensure!(letters.len() == count, "{} are dead letters", letters.len());
        anyhow::Ok(letters)
    })
    .await
}
