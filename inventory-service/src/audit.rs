//! The facts about stock that an operator's audit compares.

use std::collections::HashMap;

use schema::ids::OrderId;
use schema::inventory_messages::{AuditedReservation, StockAudited, StockMismatch};
use schema::limits::REQUEST_MAX_ITEMS;
use schema::order_messages::{AuditPage, Item};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, DbErr, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QueryResult, QuerySelect as _, Statement,
};
use store::StoreError;
use uuid::Uuid;

use crate::inventory::Inventory;
use crate::tables::{parse_product_id, parse_state, reservation, reservation_line};

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
        let reservations = rows.into_iter().map(reservation).collect::<Result<_, StoreError>>()?;
        Ok(StockAudited { mismatches, reservations, has_more })
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
