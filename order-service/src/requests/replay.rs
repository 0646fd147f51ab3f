//! `order.replay`: the events that follow a point, in the order of their positions.

use bus::message::ANSWER_MAX_BYTES;
use schema::cursor::UpdateCursor;
use schema::domain_error::{DomainError, DomainErrorCode, DomainResult};
use schema::ids::{CustomerId, OrderId};
use schema::limits::REPLAY_MAX;
use schema::order_events::OrderEvent;
use schema::order_messages::{OrderScope, Replay, ReplayFrom, Replayed};
use sea_orm::sea_query::Query;
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _,
};
use store::{Database, StoreError};

use super::Refusable;
use crate::context::Context;
use crate::orders::{EVENTS, event_from_row, find, parse};
use crate::tables::order_event;

/// Bytes that everything of an event takes as JSON but its order.
const EVENT_JSON_BYTES: usize = 400;
/// How often positions are assigned again because an event was committed just after it.
const ASSIGNMENTS: u32 = 3;

/// Returns what follows each point, or a refusal of the cursor.
pub(super) async fn replay(
    context: &Context,
    requests: Vec<Replay>,
) -> Result<Vec<DomainResult<Replayed>>, StoreError> {
    let mut results = Vec::with_capacity(requests.len());
    let room = ANSWER_MAX_BYTES / requests.len().max(1);
    for request in &requests {
        let head = EVENTS.assign_positions(&context.database).await?;
        results.push(match start(context, request, head).await? {
            Ok(start) => DomainResult::Done(scan(context, request, start, head, room).await?),
            Err(refused) => DomainResult::Refused { refused },
        });
    }
    Ok(results)
}

/// Returns the position that the replay starts past.
async fn start(context: &Context, request: &Replay, head: i64) -> Refusable<i64> {
    let start = match &request.after {
        None => return Ok(Ok(head)),
        Some(ReplayFrom::Position(position)) => *position,
        Some(ReplayFrom::Cursor(text)) => {
            let Ok(cursor) = UpdateCursor::decode(text) else { return Ok(Err(invalid())) };
            match position_of(context, &request.owner, cursor, head).await? {
                Ok(position) => position,
                Err(refusal) => return Ok(Err(refusal)),
            }
        }
    };
    Ok(if start < pruned_through(&context.database).await? { Err(expired()) } else { Ok(start) })
}

/// Returns the last position whose event is no longer kept; 0 if all are.
async fn pruned_through(database: &Database) -> Result<i64, StoreError> {
    let select = Query::select().column("pruned_through").from(EVENTS.counter).take();
    let row = database.read().query_one(&select).await?;
    let row = row.ok_or_else(|| StoreError::Data("the event counter has no row".to_owned()))?;
    Ok(row.try_get("", "pruned_through")?)
}

/// Returns the position that a cursor names. `head` was the last position before this call.
async fn position_of(
    context: &Context,
    scope: &OrderScope,
    cursor: UpdateCursor,
    head: i64,
) -> Refusable<i64> {
    // Version 0 is the point just before the first event.
    let (version, back) = if cursor.version == 0 { (1, 1) } else { (cursor.version, 0) };
    for _ in 0..ASSIGNMENTS {
        match event_at(context, cursor.order_id, version).await? {
            Some((customer_id, _)) if !scope.includes(&customer_id) => {
                return Ok(Err(invalid()));
            }
            Some((_, Some(position))) => return Ok(Ok(position - back)),
            // Committed after positions were assigned.
            Some((_, None)) => {
                EVENTS.assign_positions(&context.database).await?;
            }
            None => return without_event(context, scope, cursor, head).await,
        }
    }
    Err(StoreError::Contention("an event stays without a position".to_owned()))
}

/// Returns the customer and position of an order's event.
async fn event_at(
    context: &Context,
    order_id: OrderId,
    version: u32,
) -> Result<Option<(CustomerId, Option<i64>)>, StoreError> {
    let event: Option<(String, Option<i64>)> = order_event::Entity::find()
        .select_only()
        .columns([order_event::Column::CustomerId, order_event::Column::Position])
        .filter(order_event::Column::OrderId.eq(order_id.0))
        .filter(order_event::Column::Version.eq(i64::from(version)))
        .into_tuple()
        .one(context.database.read())
        .await?;
    event.map(|(customer_id, position)| Ok((parse(customer_id)?, position))).transpose()
}

/// Resolves a cursor without an event: it names an order still to be created, an order whose events are pruned, or nothing.
async fn without_event(
    context: &Context,
    scope: &OrderScope,
    cursor: UpdateCursor,
    head: i64,
) -> Refusable<i64> {
    let row = find(context.database.read(), [cursor.order_id]).await?.remove(&cursor.order_id);
    match row.filter(|row| !row.is_fence()) {
        // Its events will get positions past the head, which was read before the events were looked for.
        None if cursor.version == 0 => Ok(Ok(head)),
        Some(row) if scope.includes(&row.order.customer_id) && cursor.version <= row.order.version => {
            Ok(Err(expired()))
        }
        _ => Ok(Err(invalid())),
    }
}

async fn scan(
    context: &Context,
    request: &Replay,
    start: i64,
    head: i64,
    room: usize,
) -> Result<Replayed, StoreError> {
    let limit = request.limit.min(REPLAY_MAX);
    if start >= head || limit == 0 {
        // A point beyond the head is from a past that this database does not know: the replay continues from the head.
        let next = start.min(head);
        return Ok(Replayed { events: Vec::new(), next, head });
    }
    let mut select = order_event::Entity::find()
        .filter(order_event::Column::Position.gt(start))
        .filter(order_event::Column::Position.lte(head))
        .order_by_asc(order_event::Column::Position)
        .limit(u64::from(limit));
    if let OrderScope::Customer { customer_id } = &request.owner {
        select = select.filter(order_event::Column::CustomerId.eq(customer_id.as_str()));
    }
    if let Some(order_id) = request.order_id {
        select = select.filter(order_event::Column::OrderId.eq(order_id.0));
    }
    let rows = select.all(context.database.read()).await?;
    let all_scanned = rows.len() < limit as usize;
    let mut events: Vec<OrderEvent> =
        rows.into_iter().map(event_from_row).collect::<Result<_, StoreError>>()?;
    let is_cut = cut_to_size(&mut events, room);
    let next = match events.last() {
        Some(last) if is_cut || !all_scanned => last.position,
        _ => head,
    };
    Ok(Replayed { events, next, head })
}

/// Drops the events that have no room, and returns whether there were any. One event always stays.
fn cut_to_size(events: &mut Vec<OrderEvent>, room: usize) -> bool {
    let mut bytes = 0;
    let within = events.iter().take_while(|event| {
        bytes += EVENT_JSON_BYTES + event.order.json_bytes_max();
        bytes <= room
    });
    let kept = within.count().max(1);
    let is_cut = events.len() > kept;
    events.truncate(kept);
    is_cut
}

fn invalid() -> DomainError {
    DomainError::at(DomainErrorCode::CursorInvalid, "not a cursor of an order within reach", ["after"])
}

fn expired() -> DomainError {
    DomainError::at(DomainErrorCode::CursorExpired, "what follows this cursor is no longer kept", ["after"])
}
