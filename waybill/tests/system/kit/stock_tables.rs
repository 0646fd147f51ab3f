//! inventory-service's tables, read past the service.

use sea_orm::{ConnectionTrait as _, Database, Statement};

/// What the tables say of a product.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stock {
    /// The product's own row.
    pub(crate) on_hand: i64,
    pub(crate) reserved: i64,
    /// The sums of its movements.
    pub(crate) ledger_on_hand: i64,
    pub(crate) ledger_reserved: i64,
    /// What orders hold of it.
    pub(crate) held: i64,
}

impl Stock {
    /// Stock on which the product's row, the ledger and the reservations agree.
    pub(crate) fn consistent(on_hand: i64, reserved: i64) -> Self {
        Self { on_hand, reserved, ledger_on_hand: on_hand, ledger_reserved: reserved, held: reserved }
    }
}

pub(crate) struct StockTables {
    url: String,
}

impl StockTables {
    pub(super) fn at(url: String) -> Self {
        Self { url }
    }

    /// What the tables say of a product.
    pub(crate) async fn stock_of(&self, product: &str) -> Stock {
        let database = Database::connect(&self.url).await.unwrap();
        let sum = |what: &str, of: &str| {
            format!(
                "CAST((SELECT COALESCE(SUM({what}), 0) FROM {of} AND product_id = products.id) AS BIGINT)"
            )
        };
        let on_hand = sum("on_hand_delta", "stock_movements WHERE true");
        let reserved = sum("reserved_delta", "stock_movements WHERE true");
        let held = sum(
            "quantity",
            "reservation_lines JOIN reservations USING (order_id) WHERE reservations.state = 'held'",
        );
        let sql = format!(
            "SELECT on_hand, reserved, {on_hand} AS ledger_on_hand, {reserved} AS ledger_reserved, {held} AS held \
             FROM products WHERE id = '{product}'"
        );
        let statement = Statement::from_string(database.get_database_backend(), sql);
        let row = database.query_one_raw(statement).await.unwrap().expect("the product has a row");
        let number = |column: &str| row.try_get::<i64>("", column).unwrap();
        let stock = Stock {
            on_hand: number("on_hand"),
            reserved: number("reserved"),
            ledger_on_hand: number("ledger_on_hand"),
            ledger_reserved: number("ledger_reserved"),
            held: number("held"),
        };
        database.close().await.unwrap();
        stock
    }
}
