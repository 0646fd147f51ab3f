//! `order.settle`: what became of orders that stock is held for.

use std::collections::HashMap;

use schema::ids::OrderId;
use schema::order_messages::{Settle, Settled};
use store::{StoreError, retrying};

use crate::context::Context;
use crate::orders::{Stored, fence, find};

/// How often an id is read again because it changed between reading and fencing.
const ROUNDS: u32 = 5;

/// Each order's state, or that none comes of the attempt asked about: a stalled copy that still has it in hand
/// finds the fence that is committed before this says so.
pub(super) async fn settle(context: &Context, questions: Vec<Settle>) -> Result<Vec<Settled>, StoreError> {
    let database = &context.database;
    for _ in 0..ROUNDS {
        let stored = find(database.read(), questions.iter().map(|question| question.order_id)).await?;
        let settled: Option<Vec<Settled>> =
            questions.iter().map(|question| settled(&stored, question)).collect();
        if let Some(settled) = settled {
            return Ok(settled);
        }
        let now = context.clock.now();
        for question in questions.iter().filter(|question| self::settled(&stored, question).is_none()) {
            retrying(|| fence(database, question, now)).await?;
        }
    }
    Err(StoreError::Contention("orders change while they are being settled".to_owned()))
}

/// What the rows say of it, if they do.
fn settled(stored: &HashMap<OrderId, Stored>, question: &Settle) -> Option<Settled> {
    let stored = stored.get(&question.order_id)?;
    if stored.is_fence() {
        return (stored.attempt >= question.attempt).then_some(Settled::Void);
    }
    let order = &stored.order;
    Some(Settled::Order { status: order.status, version: order.version, deleted: stored.deleted })
}
