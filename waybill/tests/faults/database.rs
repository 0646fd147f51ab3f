//! PostgreSQL crashes while orders come in.

use std::time::Duration;

use testkit::eventually;
use tokio::time::sleep;

use crate::checker::assert_promises_kept;
use crate::load::{Habits, Load};
use crate::plant::{Plant, Shape};
use crate::scale::{is_full, scaled};

const LIVENESS: Duration = Duration::from_secs(30);
/// The bound that is promised, judged at full scale.
const PROMISED: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn postgres_is_stopped_immediately_and_restarted_under_load() {
    let plant = Plant::distributed("database", Shape::default()).await.unwrap();
    let load = Load::start(&plant, scaled(8, 16), Habits::default()).await.unwrap();
    let (pulse, api) = (load.pulse(), plant.api("CUST01").unwrap());
    let orders = &plant.copies_of("order-service")[0];
    let mut slowest = Duration::ZERO;
    let rounds = scaled(3, 20);
    for round in 0..rounds {
        pulse.reaches(pulse.placed() + 25, LIVENESS).await.unwrap();
        plant.database().stop_immediately().await.unwrap();
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
        plant.database().restart().await.unwrap();
        slowest = slowest.max(load.decided(&api).await);
    }
    println!(
        "{rounds} crashes of PostgreSQL, first decision {slowest:?} after it at the most; {}",
        load.log().summary()
    );
    if is_full() {
        assert!(slowest <= PROMISED, "the first order was decided {slowest:?} after PostgreSQL was back");
    }
    assert_promises_kept(&plant, load).await;
}
