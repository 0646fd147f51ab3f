//! The real handlers of orders and inventory over the embedded broker's manual mode, one step at a time from a seed:
//! random commands and changes, lost and repeated messages, reordering, crashes and stalls between two effects.
//! After each run, everything is brought to rest and compared with what was asked for.
//!
//! `WAYBILL_SIMULATION_RUNS` sets how many seeds each test tries, `WAYBILL_SIMULATION_SEED` runs one seed alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]

#[path = "../tables/mod.rs"]
#[expect(dead_code, reason = "the fault tests use the rest")]
mod tables;

mod checks;
mod client;
mod fault_plan;
mod ordered_link;
mod simulation;
mod template;

use std::env;

/// Steps of one run, before everything is brought to rest.
const STEPS: usize = 150;
/// Seeds that each of the tests below tries.
const RUNS: u64 = 60;

fn runs() -> u64 {
    env::var("WAYBILL_SIMULATION_RUNS").ok().map_or(RUNS, |runs| runs.parse().unwrap())
}

/// Runs one seed and returns a digest of everything that the databases held in the end.
fn run(seed: u64) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut simulation = simulation::Simulation::new(seed).await;
        for _ in 0..STEPS {
            simulation.step().await;
        }
        simulation.come_to_rest().await;
        let violations = checks::violations(&simulation).await;
        assert!(violations.is_empty(), "seed {seed}: {violations:#?}");
        let digest = checks::digest(&simulation).await;
        simulation.end().await;
        digest
    })
}

fn run_share(share: u64) {
    if let Ok(seed) = env::var("WAYBILL_SIMULATION_SEED") {
        run(seed.parse().unwrap());
        return;
    }
    for seed in 0..runs() {
        run(share * 1_000_000 + seed);
    }
}

#[test]
fn orders_and_stock_stay_right_whatever_dies_first_share() {
    run_share(1);
}

#[test]
fn orders_and_stock_stay_right_whatever_dies_second_share() {
    run_share(2);
}

#[test]
fn orders_and_stock_stay_right_whatever_dies_third_share() {
    run_share(3);
}

#[test]
fn orders_and_stock_stay_right_whatever_dies_fourth_share() {
    run_share(4);
}

#[test]
fn a_seed_replays_exactly() {
    for seed in [7, 8, 9] {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
}
