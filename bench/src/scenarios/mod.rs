//! Each scenario measures one promise of speed, with its floors in turn, and returns the rows of it.

mod backlog;
mod create_order;
mod create_order_alone;
mod create_order_without_wait;
mod fan_out;
mod idle_socket;
mod memory;
mod one_process;
mod order_by_id;
mod order_page;
mod product_search;
mod stored_orders;
mod two_copies;

use anyhow::{Context as _, Result};
use futures::future::LocalBoxFuture;

use crate::bench::Bench;
use crate::report::Row;

type Run = for<'r, 'a> fn(&'r Bench<'a>) -> LocalBoxFuture<'r, Result<Vec<Row>>>;

/// A scenario by its name.
#[derive(Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// What it measures, in a few words.
    pub(crate) about: &'static str,
    run: Run,
}

macro_rules! scenario {
    ($module:ident) => {
        Scenario { name: $module::NAME, about: $module::ABOUT, run: |bench| Box::pin($module::run(bench)) }
    };
}

/// All of them, in the order in which they run.
pub(crate) const SCENARIOS: &[Scenario] = &[
    scenario!(order_by_id),
    scenario!(order_page),
    scenario!(create_order),
    scenario!(create_order_without_wait),
    scenario!(create_order_alone),
    scenario!(backlog),
    scenario!(fan_out),
    scenario!(idle_socket),
    scenario!(memory),
    scenario!(one_process),
    scenario!(stored_orders),
    scenario!(product_search),
    scenario!(two_copies),
];

impl Scenario {
    /// The scenarios of these names, all if none is given.
    pub(crate) fn named(names: &[String]) -> Result<Vec<Self>> {
        if names.is_empty() {
            return Ok(SCENARIOS.to_vec());
        }
        let find = |name: &String| {
            let found = SCENARIOS.iter().find(|scenario| scenario.name == name);
            found.copied().with_context(|| format!("there is no scenario {name}; `bench list` lists them"))
        };
        names.iter().map(find).collect()
    }

    pub(crate) async fn run(&self, bench: &Bench<'_>) -> Result<Vec<Row>> {
        (self.run)(bench).await.with_context(|| format!("scenario {}", self.name))
    }
}
