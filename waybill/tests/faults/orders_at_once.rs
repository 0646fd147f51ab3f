//! Many clients ask for the same at the same moment.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use rand::seq::IndexedRandom as _;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use waybill::audit::ClientOutcome;

use crate::checker::assert_promises_kept;
use crate::cluster::{Cluster, ENDLESS, RARE, RARE_STOCK, Shape, Whose};
use crate::load::{Basket, BasketItem, CUSTOMERS, Entry, Load, Outcome, WorkloadConfig, attempt};
use crate::scale::scaled;

#[tokio::test(flavor = "multi_thread")]
async fn of_a_hundred_in_stock_exactly_a_hundred_are_sold_whatever_is_killed() {
    let cluster = Cluster::distributed("oversell", Shape::default()).await.unwrap();
    let load = Load::start(&cluster, 0, WorkloadConfig::default()).await.unwrap();
    let clients = scaled(250, 1_000);

    let sold = CancellationToken::new();
    let killing = async {
        while !sold.is_cancelled() {
            let victim = cluster.programs.choose(&mut rand::rng()).unwrap();
            victim.kill().await.unwrap();
            victim.start().await.unwrap();
            sold.run_until_cancelled(sleep(Duration::from_millis(rand::random_range(500..2_000)))).await;
        }
    };
    let buying = async {
        let apis = CUSTOMERS.map(|customer| cluster.api(customer).unwrap());
        join_all((0..clients).map(|client| load.buy(&apis[client % apis.len()], Basket::single(RARE)))).await;
        sold.cancel();
    };
    tokio::join!(killing, buying);
    cluster.ready().await.unwrap();

    println!("{clients} clients; {}", load.log().summary());
    let tables = cluster.tables.clone();
    assert_promises_kept(&cluster, load).await;
    let sql = format!("SELECT reserved FROM products WHERE id = '{RARE}'");
    let reserved = tables.texts(crate::cluster::Whose::Inventory, &sql).await.unwrap();
    assert_eq!(reserved, [RARE_STOCK.to_string()], "units sold");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_sent_two_hundred_times_at_once_makes_one_order() {
    let cluster = Cluster::distributed("one-key", Shape { copies: 2, ..Shape::default() }).await.unwrap();
    let load = Load::start(&cluster, 0, WorkloadConfig::default()).await.unwrap();
    let api = cluster.api("CUST01").unwrap();
    let (key, basket) = (Uuid::new_v4().to_string(), Basket::single(ENDLESS[1]));

    let sent = (0..200).map(|_| async {
        let begun = Instant::now();
        let outcome = api.create_order(&basket, Some(&key), true).await;
        let noted = attempt(&outcome, begun.elapsed());
        (outcome, noted)
    });
    let (outcomes, attempts): (Vec<_>, Vec<_>) = join_all(sent).await.into_iter().unzip();

    let first = |outcome: &&Outcome| matches!(outcome, Outcome::Ok { replayed: Some(false), .. });
    assert!(outcomes.iter().filter(first).count() <= 1, "one is the first at the most: {outcomes:?}");
    for outcome in &outcomes {
        let fine = matches!(outcome, Outcome::Ok { .. } | Outcome::Nothing { retryable: true, .. });
        assert!(fine, "neither an order nor retryable: {outcome:?}");
    }
    load.note(Entry {
        customer_id: "CUST01".to_owned(),
        idempotency_key: key.clone(),
        request: basket.clone(),
        attempts,
        unknown_for_ms: None,
    });

    let other = Basket { items: vec![BasketItem { quantity: 2, ..basket.items[0].clone() }], ..basket };
    let refused = testkit::eventually("another input is refused", async || {
        match api.create_order(&other, Some(&key), true).await {
            Outcome::Nothing { retryable: true, .. } => None,
            outcome => Some(outcome),
        }
    })
    .await;
    assert_eq!(refused, Outcome::Refused("IDEMPOTENCY_KEY_REUSED".to_owned()));
    assert_promises_kept(&cluster, load).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_stay_pending_while_inventory_is_away_and_are_decided_when_it_is_back() {
    let cluster = Cluster::distributed("inventory-away", Shape::default()).await.unwrap();
    let load = Load::start(&cluster, 4, WorkloadConfig::default()).await.unwrap();
    let api = cluster.api("CUST01").unwrap();
    load.decided(&api).await;
    let inventory = Arc::clone(&cluster.copies_of("inventory-service")[0]);

    inventory.kill().await.unwrap();
    let mut pending = Vec::new();
    let away = Instant::now();
    while away.elapsed() < Duration::from_secs(scaled(8, 60) as u64) {
        let (entry, shown) = load.place(&api, Basket::single(ENDLESS[2])).await;
        assert_ne!(entry.outcome(), ClientOutcome::Unknown, "{:?}", entry.attempts);
        let Some(order) = shown else { continue };
        assert_eq!(order.status, "PENDING", "without inventory nothing can be decided");
        pending.push(order.order_id);
    }
    let metrics = cluster.copies_of("order-service")[0].metrics().await.unwrap();
    let at_once = |line: &str| {
        let of = ["waybill_requests_total", "inventory.reserve", "unavailable"];
        of.iter().all(|part| line.contains(part)) && !line.ends_with(" 0")
    };
    assert!(metrics.lines().any(at_once), "requests to inventory fail at once: {metrics}");

    inventory.start().await.unwrap();
    inventory.ready().await.unwrap();
    let back = Instant::now();
    let waiting =
        "SELECT id::text FROM orders WHERE status = 'PENDING' AND deleted_at IS NULL AND NOT fenced";
    let waited: BTreeSet<String> =
        cluster.tables.texts(Whose::Orders, waiting).await.unwrap().into_iter().collect();
    testkit::eventually("every order that waited is decided", async || {
        let waiting = cluster.tables.texts(Whose::Orders, waiting).await?;
        let left = waiting.iter().filter(|id| waited.contains(*id)).count();
        anyhow::ensure!(left == 0, "{left} of {} are PENDING", waited.len());
        anyhow::Ok(())
    })
    .await;
    let decided = back.elapsed();
    let processing = "SELECT id::text FROM orders WHERE status = 'PROCESSING'";
    let processing: BTreeSet<String> =
        cluster.tables.texts(Whose::Orders, processing).await.unwrap().into_iter().collect();
    // There is enough stock for them, and no other client changes them.
    let otherwise: Vec<_> = pending.iter().filter(|id| !processing.contains(&id.to_string())).collect();
    assert!(otherwise.is_empty(), "not PROCESSING: {otherwise:?}");

    println!(
        "{} orders PENDING, decided {decided:?} after inventory was back; {}",
        pending.len(),
        load.log().summary()
    );
    if crate::scale::is_full() {
        assert!(decided <= Duration::from_secs(5), "decided only after {decided:?}");
    }
    assert_promises_kept(&cluster, load).await;
}
