//! PostgreSQL crashes, takes no writes for a while, or has its tables altered, while orders come in.

use std::time::Duration;

use testkit::eventually;
use tokio::time::sleep;

use crate::checker::assert_promises_kept;
use crate::cluster::{Cluster, Shape, Whose};
use crate::load::{Load, WorkloadConfig};
use crate::scale::{is_full, scaled};

const LIVENESS: Duration = Duration::from_secs(30);
/// Room for the orders of a run at full scale, and not for more.
const SMALL_TABLESPACE_BYTES: u64 = 64 << 20;
/// The bound that is promised, judged at full scale.
const PROMISED: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn postgres_is_stopped_immediately_and_restarted_under_load() {
    let cluster = Cluster::distributed("database", Shape::default()).await.unwrap();
    let load = Load::start(&cluster, scaled(8, 16), WorkloadConfig::default()).await.unwrap();
    let (progress, api) = (load.progress(), cluster.api("CUST01").unwrap());
    let orders = &cluster.copies_of("order-service")[0];
    let mut slowest = Duration::ZERO;
    let rounds = scaled(3, 20);
    for round in 0..rounds {
        progress.reaches(progress.placed() + 25, LIVENESS).await.unwrap();
        cluster.database().stop_immediately().await.unwrap();
        // Orders are accepted while it is away: the broker has them.
        sleep(Duration::from_millis(500 * (round as u64 % 3))).await;
        if round == 0 {
            eventually("readiness names the database", async || {
                let missing = orders.missing().await?;
                anyhow::ensure!(missing.iter().any(|part| part.contains("database")), "missing: {missing:?}");
                anyhow::Ok(())
            })
            .await;
        }
        cluster.database().restart().await.unwrap();
        slowest = slowest.max(load.decided(&api).await);
    }
    println!(
        "{rounds} crashes of PostgreSQL, first decision {slowest:?} after it at the most; {}",
        load.log().summary()
    );
    if is_full() {
        assert!(slowest <= PROMISED, "the first order was decided {slowest:?} after PostgreSQL was back");
    }
    assert_promises_kept(&cluster, load).await;
}

/// As after a failover: sessions begin read-only, and stay so although the server takes writes again.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_takes_no_writes_for_a_while_under_load() {
    let cluster = Cluster::distributed("read-only", Shape::default()).await.unwrap();
    let load = Load::start(&cluster, scaled(8, 16), WorkloadConfig::default()).await.unwrap();
    let (progress, api) = (load.progress(), cluster.api("CUST01").unwrap());
    let mut slowest = Duration::ZERO;
    let rounds = scaled(2, 10);
    for round in 0..rounds {
        progress.reaches(progress.placed() + 25, LIVENESS).await.unwrap();
        for whose in [Whose::Orders, Whose::Inventory] {
            alter_database(&cluster, whose, "SET default_transaction_read_only = on").await;
            let sessions = "SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity \
                            WHERE datname = current_database() AND pid <> pg_backend_pid()";
            cluster.tables.texts(whose, sessions).await.unwrap();
        }
        if round == 0 {
            for (service, condition) in
                [("order-service", "orders database"), ("inventory-service", "inventory database")]
            {
                let service = &cluster.copies_of(service)[0];
                eventually("readiness names the database", async || {
                    let missing = service.missing().await?;
                    anyhow::ensure!(missing.iter().any(|part| part == condition), "missing: {missing:?}");
                    anyhow::Ok(())
                })
                .await;
            }
        } else {
            sleep(Duration::from_millis(500)).await;
        }
        for whose in [Whose::Orders, Whose::Inventory] {
            alter_database(&cluster, whose, "RESET default_transaction_read_only").await;
        }
        slowest = slowest.max(load.decided(&api).await);
    }
    cluster.ready().await.unwrap();
    println!(
        "{rounds} times without writes, first decision {slowest:?} after it at the most; {}",
        load.log().summary()
    );
    if is_full() {
        assert!(slowest <= PROMISED, "the first order was decided {slowest:?} after PostgreSQL took writes");
    }
    assert_promises_kept(&cluster, load).await;
}

/// The server itself finds no space: SQLSTATE 53100.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_has_no_space_for_a_while_under_load() {
    if !testkit::can_mount() {
        println!("skipped: this user may not mount a file system");
        return;
    }
    let shape = Shape { small_tablespace_bytes: Some(SMALL_TABLESPACE_BYTES), ..Shape::default() };
    let cluster = Cluster::distributed("no-space", shape).await.unwrap();
    cluster.move_to_small_tablespace().await.unwrap();
    let load = Load::start(&cluster, scaled(8, 16), WorkloadConfig::default()).await.unwrap();
    let (progress, api) = (load.progress(), cluster.api("CUST01").unwrap());
    let orders = &cluster.copies_of("order-service")[0];
    let mut slowest = Duration::ZERO;
    let rounds = scaled(2, 10);
    for round in 1..=rounds {
        progress.reaches(progress.placed() + 25, LIVENESS).await.unwrap();
        cluster.database().fill_small_tablespace().unwrap();
        eventually("readiness names the database", async || {
            let missing = orders.missing().await?;
            anyhow::ensure!(missing.iter().any(|part| part == "orders database"), "missing: {missing:?}");
            anyhow::Ok(())
        })
        .await;
        // Orders are accepted meanwhile: the broker has them.
        progress.reaches(progress.placed() + 25, LIVENESS).await.unwrap();
        assert!(orders.said("53100").await.unwrap() >= round, "the server said that it has no space");
        cluster.database().free_small_tablespace().unwrap();
        slowest = slowest.max(load.decided(&api).await);
        cluster.ready().await.unwrap();
    }
    println!(
        "{rounds} times without space, first decision {slowest:?} after it at the most; {}",
        load.log().summary()
    );
    if is_full() {
        assert!(slowest <= PROMISED, "the first order was decided {slowest:?} after there was space");
    }
    assert_promises_kept(&cluster, load).await;
}

/// Each alteration makes the plans of every session invalid. A message whose fault it would be becomes a dead letter,
/// which breaks a promise.
#[tokio::test(flavor = "multi_thread")]
async fn tables_are_altered_under_load() {
    let cluster = Cluster::distributed("altered", Shape::default()).await.unwrap();
    let load = Load::start(&cluster, scaled(8, 16), WorkloadConfig::default()).await.unwrap();
    let (progress, api) = (load.progress(), cluster.api("CUST01").unwrap());
    let mut slowest = Duration::ZERO;
    let alterations = scaled(4, 40);
    for alteration in 0..alterations {
        progress.reaches(progress.placed() + 25, LIVENESS).await.unwrap();
        let length = 2_000 + alteration;
        for (whose, table, column) in [
            (Whose::Orders, "orders", "shipping_address"),
            (Whose::Orders, "order_events", "customer_id"),
            (Whose::Inventory, "products", "name"),
        ] {
            let alter = format!("ALTER TABLE {table} ALTER COLUMN {column} TYPE varchar({length})");
            cluster.tables.run(whose, &alter).await.unwrap();
        }
        slowest = slowest.max(load.decided(&api).await);
    }
    println!(
        "{alterations} alterations of three tables, first decision {slowest:?} after one at the most; {}",
        load.log().summary()
    );
    if is_full() {
        assert!(slowest <= PROMISED, "the first order was decided {slowest:?} after tables were altered");
    }
    assert_promises_kept(&cluster, load).await;
}

/// Alters a service's database, from another one: a session of its own may be read-only.
async fn alter_database(cluster: &Cluster, whose: Whose, what: &str) {
    let name = cluster.tables.texts(whose, "SELECT current_database()::text").await.unwrap().remove(0);
    let admin = cluster.database().url("postgres");
    cluster.database().query(&admin, &format!("ALTER DATABASE \"{name}\" {what}")).await.unwrap();
}
