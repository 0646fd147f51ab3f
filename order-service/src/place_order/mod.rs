//! The command `order.create`: orders are taken in batches, and each id makes one order.

mod command;
mod round;

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use bus::consumer::{Disposition, Job, MessageHandler};
use schema::ids::OrderId;
use store::StoreError;

use crate::context::Context;
use crate::orders::Stored;
use command::Command;
use round::Rounds;

/// Places orders.
///
/// Customer or inventory away: the order is stored PENDING. The own database away: the batch is held.
pub struct PlaceOrders {
    context: Context,
}

impl PlaceOrders {
    /// With what it takes.
    pub fn new(context: Context) -> Self {
        Self { context }
    }
}

#[async_trait]
impl MessageHandler for PlaceOrders {
    async fn handle(&self, batch: &[Job]) -> Vec<Disposition> {
        let commands: Vec<_> = batch.iter().map(Command::read).collect();
        // The first of an id speaks for it; the others are answered from what comes of it.
        let mut wanted = BTreeMap::new();
        for command in commands.iter().filter_map(|command| command.as_ref().ok()) {
            wanted.entry(command.placement.order_id).or_insert(command);
        }
        let outcomes = Rounds::new(&self.context).place(wanted).await;
        commands.into_iter().map(|command| disposition(command, &outcomes)).collect()
    }
}

fn disposition(
    command: Result<Command<'_>, Disposition>,
    outcomes: &HashMap<OrderId, Result<Stored, StoreError>>,
) -> Disposition {
    let command = match command {
        Ok(command) => command,
        Err(disposition) => return disposition,
    };
    match outcomes.get(&command.placement.order_id) {
        Some(Ok(stored)) => command.answered(stored),
        Some(Err(error)) if !error.is_transient() => Disposition::Retry(error.clone().into()),
        Some(Err(error)) => Disposition::RetryInPlace(error.clone().into()),
        None => Disposition::RetryInPlace(
            StoreError::Contention("others are placing this order".to_owned()).into(),
        ),
    }
}
