//! `order.get`, `order.list` and `order.history`. Lists are pages by keyset, newest first: stable while orders are added.

use std::collections::HashMap;

use bus::message::ANSWER_MAX_BYTES;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use schema::cursor::OrderCursor;
use schema::domain_error::DomainResult;
use schema::ids::CustomerId;
use schema::order::Order;
use schema::order_messages::{FoundOrder, HistoryEntry, ListOrders, OrderLookup, OrderPage, OrderRef};
use schema::page::PageBounds;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QuerySelect as _};
use store::StoreError;
use uuid::Uuid;

use crate::context::Context;
use crate::orders::{self, EVENTS, find, parse, readable, with_lines};
use crate::tables::order;

/// Pages of one request that are read at the same time.
const PAGES_AT_ONCE: usize = 4;

/// Returns each order, or `None` if its scope has none of that id.
pub(super) async fn get(
    context: &Context,
    lookups: Vec<OrderLookup>,
) -> Result<Vec<Option<FoundOrder>>, StoreError> {
    let ids = lookups.iter().map(|lookup| lookup.order.order_id);
    let rows = find(context.database.read(), ids).await?;
    let found = |OrderLookup { order: asked, creation }: &OrderLookup| {
        let row = rows.get(&asked.order_id)?;
        let readable = !row.is_fence() && asked.owner.includes(&row.order.customer_id);
        (readable && (*creation || !row.deleted)).then(|| FoundOrder {
            order: row.order.clone(),
            created_by: creation.then_some(row.created_by),
            deleted: row.deleted,
        })
    };
    Ok(lookups.iter().map(found).collect())
}

/// Returns each order's changes, oldest first; none if its scope has no order of that id.
pub(super) async fn history(
    context: &Context,
    refs: Vec<OrderRef>,
) -> Result<Vec<Vec<HistoryEntry>>, StoreError> {
    EVENTS.assign_positions(&context.database).await?;
    let connection = context.database.read();
    let rows: Vec<(Uuid, String)> = order::Entity::find()
        .select_only()
        .columns([order::Column::Id, order::Column::CustomerId])
        .filter(readable())
        .filter(order::Column::Id.is_in(refs.iter().map(|order| order.order_id.0)))
        .into_tuple()
        .all(connection)
        .await?;
    let customers = rows.into_iter().map(|(id, customer_id)| Ok((id, parse(customer_id)?)));
    let customers: HashMap<Uuid, CustomerId> = customers.collect::<Result<_, StoreError>>()?;
    let in_scope = |asked: &&OrderRef| {
        customers.get(&asked.order_id.0).is_some_and(|customer_id| asked.owner.includes(customer_id))
    };
    let ids = refs.iter().filter(in_scope).map(|asked| asked.order_id.0).collect();
    let entries = orders::history(connection, ids).await?;
    let entries_of = |asked: &OrderRef| match in_scope(&asked) {
        true => entries.get(&asked.order_id.0).cloned().unwrap_or_default(),
        false => Vec::new(),
    };
    Ok(refs.iter().map(entries_of).collect())
}

/// Returns a page for each request, or a refusal of its size or cursors.
pub(super) async fn list(
    context: &Context,
    requests: Vec<ListOrders>,
) -> Result<Vec<DomainResult<OrderPage>>, StoreError> {
    let read = async |request: &ListOrders| match request.bounds() {
        Ok(bounds) => {
            let page = page(context, request, &bounds).await?;
            Ok(DomainResult::Done((page, bounds.reads_forwards())))
        }
        Err(refused) => Ok::<_, StoreError>(DomainResult::Refused { refused }),
    };
    let mut reading = std::pin::pin!(stream::iter(&requests).map(read).buffered(PAGES_AT_ONCE));
    let mut pages = Vec::with_capacity(requests.len());
    let mut room = ANSWER_MAX_BYTES;
    while let Some(page) = reading.try_next().await? {
        pages.push(match page {
            DomainResult::Done((mut page, forwards)) => {
                room = cut_to_size(&mut page, forwards, room);
                DomainResult::Done(page)
            }
            DomainResult::Refused { refused } => DomainResult::Refused { refused },
        });
    }
    Ok(pages)
}

/// Cuts a page to what has room in the answer, at the end that further pages follow at, and returns the room that is left.
/// One order always stays, so that a client gets on.
fn cut_to_size(page: &mut OrderPage, forwards: bool, room: usize) -> usize {
    let (count, mut left, mut kept) = (page.orders.len(), room, 0);
    while kept < count {
        let index = if forwards { kept } else { count - 1 - kept };
        let bytes = page.orders[index].json_bytes_max();
        if kept > 0 && bytes > left {
            break;
        }
        left = left.saturating_sub(bytes);
        kept += 1;
    }
    if forwards {
        page.orders.truncate(kept);
        page.has_next_page |= kept < count;
    } else {
        page.orders.drain(..count - kept);
        page.has_previous_page |= kept < count;
    }
    left
}

async fn page(
    context: &Context,
    request: &ListOrders,
    bounds: &PageBounds<OrderCursor>,
) -> Result<OrderPage, StoreError> {
    let connection = context.database.read();
    let rows = orders::page_rows(connection, request, bounds).await?;
    let page = bounds.cut(rows);
    let orders: Vec<Order> =
        with_lines(connection, page.rows).await?.into_iter().map(|row| row.order).collect();
    Ok(OrderPage { orders, has_next_page: page.has_next_page, has_previous_page: page.has_previous_page })
}
