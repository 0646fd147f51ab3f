//! The products that the load asks for, received into stock with their ledger rows.

use anyhow::Result;

use super::{Tables, Whose};

/// Products that no load can exhaust.
pub(crate) const ENDLESS: [&str; 6] = ["FAULT1", "FAULT2", "FAULT3", "FAULT4", "FAULT5", "FAULT6"];
/// A product of which there is less than the load asks for.
pub(crate) const RARE: &str = "RARE";
/// How much of it there is.
pub(crate) const RARE_STOCK: i64 = 100;
/// A product that doesn't exist.
pub(crate) const UNKNOWN: &str = "NOSUCH";

const ENDLESS_STOCK: i64 = 10_000_000;

pub(super) async fn receive(tables: &Tables) -> Result<()> {
    let endless = ENDLESS.iter().map(|&id| (id, ENDLESS_STOCK));
    for (id, on_hand) in endless.chain([(RARE, RARE_STOCK)]) {
        let adjustment = tables.random_id();
        let sql = format!(
            "INSERT INTO products (id, name, description, search_text, unit_price, currency, on_hand, reserved, \
             created_at, updated_at) VALUES ('{id}', 'Product {id}', '', 'product', 1250, 'USD', {on_hand}, 0, \
             CURRENT_TIMESTAMP, CURRENT_TIMESTAMP); \
             INSERT INTO stock_movements (product_id, kind, adjustment_id, on_hand_delta, reserved_delta, \
             on_hand_after, reserved_after, reason, created_at) VALUES ('{id}', 'receive', {adjustment}, {on_hand}, \
             0, {on_hand}, 0, 'for the load', CURRENT_TIMESTAMP)"
        );
        tables.run(Whose::Inventory, &sql).await?;
    }
    Ok(())
}
