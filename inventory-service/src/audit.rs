//! The facts about stock that an operator's audit compares.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use bus::message::ANSWER_MAX_BYTES;
use schema::ids::OrderId;
use schema::inventory_messages::{AuditedReservation, StockAudited, StockLevels, StockMismatch};
use schema::limits::REQUEST_MAX_ITEMS;
use schema::order::json_text_bytes_max;
use schema::order_messages::{AuditPage, Item};
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, DbErr, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QueryResult, QuerySelect as _, Statement,
};
use store::StoreError;
use uuid::Uuid;

use crate::inventory::Inventory;
use crate::tables::{parse_product_id, parse_state, reservation, reservation_line, stock_movement};

/// Bytes that an item takes as JSON but its product; a reservation takes less than two of them beside its items.
const ITEM_JSON_BYTES: usize = 80;
/// Different levels of one answer: those of seconds.
const LEVELS_MAX: u64 = 10_000;

/// Selects products whose row, ledger and held reservations disagree; one statement, so that it reads one snapshot.
const MISMATCHES: &str = "
SELECT p.id, p.on_hand, p.reserved,
       CAST(COALESCE(m.on_hand, 0) AS BIGINT) AS ledger_on_hand,
       CAST(COALESCE(m.reserved, 0) AS BIGINT) AS ledger_reserved,
       CAST(COALESCE(h.held, 0) AS BIGINT) AS held
FROM products p
LEFT JOIN (SELECT product_id, SUM(on_hand_delta) AS on_hand, SUM(reserved_delta) AS reserved
           FROM stock_movements GROUP BY product_id) m ON m.product_id = p.id
LEFT JOIN (SELECT l.product_id, SUM(l.quantity) AS held
           FROM reservations r JOIN reservation_lines l ON l.order_id = r.order_id
           WHERE r.state = 'held' GROUP BY l.product_id) h ON h.product_id = p.id
WHERE p.on_hand <> COALESCE(m.on_hand, 0)
   OR p.reserved <> COALESCE(m.reserved, 0)
   OR p.reserved <> COALESCE(h.held, 0)
ORDER BY p.id
LIMIT 500";

impl Inventory {
    /// Returns a page of reservations, and on the first page the products whose stock does not add up.
    pub async fn audit(&self, audit: &AuditPage) -> Result<StockAudited, StoreError> {
        let mismatches = if audit.after.is_none() { self.mismatches().await? } else { Vec::new() };
        let limit = (audit.limit as usize).clamp(1, REQUEST_MAX_ITEMS);
        let mut select = reservation::Entity::find().order_by_asc(reservation::Column::OrderId);
        if let Some(after) = audit.after {
            select = select.filter(reservation::Column::OrderId.gt(after.0));
        }
        let mut rows = select.limit(limit as u64 + 1).all(self.database.read()).await?;
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        let mut items = self.items_of(rows.iter().map(|row| row.order_id)).await?;
        let reservation = |row: reservation::Model| {
            Ok(AuditedReservation {
                order_id: OrderId(row.order_id),
                state: parse_state(&row.state)?,
                version: u32::try_from(row.version).unwrap_or(u32::MAX),
                items: items.remove(&row.order_id).unwrap_or_default(),
            })
        };
        let mut reservations =
            rows.into_iter().map(reservation).collect::<Result<Vec<AuditedReservation>, StoreError>>()?;
        let kept = fitting(&reservations);
        let has_more = has_more || kept < reservations.len();
        reservations.truncate(kept);
        Ok(StockAudited { mismatches, reservations, has_more })
    }

    /// Returns the units of each product that could be ordered at a time, and within a while before and after it, by the
    /// ledger.
    pub async fn levels(&self, requests: &[StockLevels]) -> Result<Vec<Vec<i64>>, StoreError> {
        let now = self.database.now().await?;
        let mut all = Vec::with_capacity(requests.len());
        for StockLevels { product_id, ago_ms, within_ms } in requests {
            let within = Duration::from_millis(*within_ms);
            let at = now.minus(Duration::from_millis(*ago_ms));
            let (from, to) = (at.minus(within).to_utc(), at.plus(within).to_utc());
            let of_product = || {
                let level = Expr::col(stock_movement::Column::OnHandAfter)
                    .sub(Expr::col(stock_movement::Column::ReservedAfter));
                stock_movement::Entity::find()
                    .select_only()
                    .column_as(level, "level")
                    .filter(stock_movement::Column::ProductId.eq(product_id.as_str()))
            };
            let reader = self.database.read();
            let before: Option<i64> = of_product()
                .filter(stock_movement::Column::CreatedAt.lt(from))
                .order_by_desc(stock_movement::Column::CreatedAt)
                .order_by_desc(stock_movement::Column::Id)
                .limit(1)
                .into_tuple()
                .one(reader)
                .await?;
            let since: Vec<i64> = of_product()
                .distinct()
                .filter(stock_movement::Column::CreatedAt.gte(from))
                .filter(stock_movement::Column::CreatedAt.lte(to))
                .limit(LEVELS_MAX)
                .into_tuple()
                .all(reader)
                .await?;
            // Before its first movement there was none of it.
            let levels: BTreeSet<i64> = since.into_iter().chain([before.unwrap_or(0)]).collect();
            all.push(levels.into_iter().collect());
        }
        Ok(all)
    }

    async fn mismatches(&self) -> Result<Vec<StockMismatch>, StoreError> {
        let reader = self.database.read();
        let statement = Statement::from_string(reader.get_database_backend(), MISMATCHES);
        let rows = reader.query_all_raw(statement).await?;
        Ok(rows.iter().map(mismatch).collect::<Result<_, DbErr>>()?)
    }

    async fn items_of(
        &self,
        orders: impl IntoIterator<Item = Uuid>,
    ) -> Result<HashMap<Uuid, Vec<Item>>, StoreError> {
        let lines = reservation_line::Entity::find()
            .filter(reservation_line::Column::OrderId.is_in(orders))
            .order_by_asc(reservation_line::Column::ProductId)
            .all(self.database.read())
            .await?;
        let mut items: HashMap<Uuid, Vec<Item>> = HashMap::new();
        for line in lines {
            let quantity = u32::try_from(line.quantity).unwrap_or(u32::MAX);
            let item = Item { product_id: parse_product_id(line.product_id)?, quantity };
            items.entry(line.order_id).or_default().push(item);
        }
        Ok(items)
    }
}

/// How many of the reservations a message holds beside the mismatches, one at least.
fn fitting(reservations: &[AuditedReservation]) -> usize {
    let mut bytes = 0;
    let fits = |reservation: &&AuditedReservation| {
        let item = |item: &Item| ITEM_JSON_BYTES + json_text_bytes_max(item.product_id.as_str());
        bytes += 2 * ITEM_JSON_BYTES + reservation.items.iter().map(item).sum::<usize>();
        bytes <= ANSWER_MAX_BYTES / 2
    };
    reservations.iter().take_while(fits).count().max(1)
}

fn mismatch(row: &QueryResult) -> Result<StockMismatch, DbErr> {
    let id: String = row.try_get("", "id")?;
    Ok(StockMismatch {
        product_id: id.parse().map_err(|error| DbErr::Custom(format!("a product's id: {error}")))?,
        on_hand: row.try_get("", "on_hand")?,
        reserved: row.try_get("", "reserved")?,
        ledger_on_hand: row.try_get("", "ledger_on_hand")?,
        ledger_reserved: row.try_get("", "ledger_reserved")?,
        held: row.try_get("", "held")?,
    })
}
