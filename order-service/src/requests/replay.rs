//! `order.replay`: the events that follow a point, in the order of their positions.

use schema::cursor::UpdateCursor;
use schema::domain_error::{DomainError, DomainErrorCode, DomainResult};
use schema::ids::{CustomerId, OrderId};
use schema::limits::REPLAY_MAX;
use schema::order_events::OrderEvent;
use schema::order_messages::{OrderScope, Replay, ReplayFrom, Replayed};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _};
use store::StoreError;

use crate::context::Context;
use crate::orders::{EVENTS, event_of_row, find, read};
use crate::tables::{order_event, order_event_counter};

/// Line items in one answer: with those, the largest answer stays within what the bus carries.
const LINES_MAX: usize = 5_000;
/// How often numbering is asked for again where an event was committed just after it.
const NUMBERINGS: u32 = 3;

/// What follows each point, or why that can't be told.
pub(super) async fn replay(
    context: &Context,
    questions: Vec<Replay>,
) -> Result<Vec<DomainResult<Replayed>>, StoreError> {
    let mut outcomes = Vec::with_capacity(questions.len());
    for question in &questions {
        let head = EVENTS.assign_positions(&context.database).await?;
        let outcome = match start(context, question, head).await? {
            Ok(start) => DomainResult::Done(scan(context, question, start, head).await?),
            Err(refused) => DomainResult::Refused { refused },
        };
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

/// The position that the question starts past.
async fn start(
    context: &Context,
    question: &Replay,
    head: i64,
) -> Result<Result<i64, DomainError>, StoreError> {
    let start = match &question.after {
        None => return Ok(Ok(head)),
        Some(ReplayFrom::Position(position)) => *position,
        Some(ReplayFrom::Cursor(text)) => {
            let Ok(cursor) = UpdateCursor::decode(text) else { return Ok(Err(invalid())) };
            match resolve(context, &question.owner, cursor, head).await? {
                Ok(position) => position,
                Err(refusal) => return Ok(Err(refusal)),
            }
        }
    };
    let floor = order_event_counter::pruned_through(context.database.read()).await?;
    Ok(if start < floor { Err(expired()) } else { Ok(start) })
}

/// The position that a cursor names. `head` was the last one before this call.
async fn resolve(
    context: &Context,
    owner: &OrderScope,
    cursor: UpdateCursor,
    head: i64,
) -> Result<Result<i64, DomainError>, StoreError> {
    // Version 0 is the point just before the first event.
    let (version, back) = if cursor.version == 0 { (1, 1) } else { (cursor.version, 0) };
    for _ in 0..NUMBERINGS {
        match event_at(context, cursor.order_id, version).await? {
            Some((customer_id, _)) if !owner.includes(&customer_id) => return Ok(Err(invalid())),
            Some((_, Some(position))) => return Ok(Ok(position - back)),
            // Committed after the numbering.
            Some((_, None)) => {
                EVENTS.assign_positions(&context.database).await?;
            }
            None => return missing(context, owner, cursor, head).await,
        }
    }
    Err(StoreError::Contention("an event stays without a position".to_owned()))
}

/// What a cursor names whose event there isn't: an order still to come, one whose events are pruned, or nothing.
async fn missing(
    context: &Context,
    owner: &OrderScope,
    cursor: UpdateCursor,
    head: i64,
) -> Result<Result<i64, DomainError>, StoreError> {
    let stored = find(context.database.read(), [cursor.order_id]).await?.remove(&cursor.order_id);
    match stored.filter(|stored| !stored.is_fence()) {
        // Its events will be numbered past the head, which was counted before they were looked for.
        None if cursor.version == 0 => Ok(Ok(head)),
        Some(stored)
            if owner.includes(&stored.order.customer_id) && cursor.version <= stored.order.version =>
        {
            Ok(Err(expired()))
        }
        _ => Ok(Err(invalid())),
    }
}

/// Whose event it is, and its position, if it has one.
async fn event_at(
    context: &Context,
    order_id: OrderId,
    version: u32,
) -> Result<Option<(CustomerId, Option<i64>)>, StoreError> {
    let found: Option<(String, Option<i64>)> = order_event::Entity::find()
        .select_only()
        .columns([order_event::Column::CustomerId, order_event::Column::Position])
        .filter(order_event::Column::OrderId.eq(order_id.0))
        .filter(order_event::Column::Version.eq(i64::from(version)))
        .into_tuple()
        .one(context.database.read())
        .await?;
    found.map(|(customer_id, position)| Ok((read(customer_id)?, position))).transpose()
}

async fn scan(context: &Context, question: &Replay, start: i64, head: i64) -> Result<Replayed, StoreError> {
    let limit = question.limit.min(REPLAY_MAX);
    if start >= head || limit == 0 {
        // A point beyond the head is from a past that this database doesn't know: go on from what there is.
        let next = start.min(head);
        return Ok(Replayed { events: Vec::new(), next, head });
    }
    let mut select = order_event::Entity::find()
        .filter(order_event::Column::Position.gt(start))
        .filter(order_event::Column::Position.lte(head))
        .order_by_asc(order_event::Column::Position)
        .limit(u64::from(limit));
    if let OrderScope::Customer { customer_id } = &question.owner {
        select = select.filter(order_event::Column::CustomerId.eq(customer_id.as_str()));
    }
    if let Some(order_id) = question.order_id {
        select = select.filter(order_event::Column::OrderId.eq(order_id.0));
    }
    let rows = select.all(context.database.read()).await?;
    let all_scanned = rows.len() < limit as usize;
    let mut events: Vec<OrderEvent> =
        rows.into_iter().map(event_of_row).collect::<Result<_, StoreError>>()?;
    let cut = keep_within_bounds(&mut events);
    let next = match events.last() {
        Some(last) if cut || !all_scanned => last.position,
        _ => head,
    };
    Ok(Replayed { events, next, head })
}

/// Cuts the events where their lines become too many, and says whether it did. One event always stays.
fn keep_within_bounds(events: &mut Vec<OrderEvent>) -> bool {
    let mut lines = 0;
    let within = events.iter().take_while(|event| {
        lines += event.order.line_items.len();
        lines <= LINES_MAX
    });
    let most = within.count().max(1);
    let cut = events.len() > most;
    events.truncate(most);
    cut
}

fn invalid() -> DomainError {
    DomainError::at(DomainErrorCode::CursorInvalid, "not a cursor of an order within reach", ["after"])
}

fn expired() -> DomainError {
    DomainError::at(DomainErrorCode::CursorExpired, "what follows this cursor is no longer kept", ["after"])
}
