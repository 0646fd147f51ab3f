//! The services' tables, read and written from outside the services, on either engine.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use schema::ids::OrderId;
use schema::inventory_messages::{AuditedReservation, ReservationState};
use schema::order_messages::Item;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection as _, Row as _};
use testkit::Postgres;
use waybill::audit::{Facts, Ledger, OrderFacts};

/// The rows that `order_products` has too many or too few, read at one moment.
const STALE_ROWS_BY_PRODUCT: &str = "
    WITH kept AS (SELECT order_id, product_id, customer_id, status, created_at FROM order_products),
        expected AS (SELECT o.id, l.product_id, o.customer_id, o.status, o.created_at
            FROM orders o JOIN order_line_items l ON l.order_id = o.id WHERE o.deleted_at IS NULL AND NOT o.fenced)
    SELECT product_id FROM (SELECT * FROM kept EXCEPT SELECT * FROM expected) more
    UNION ALL SELECT product_id FROM (SELECT * FROM expected EXCEPT SELECT * FROM kept) fewer";

/// Whose tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    Orders,
    Inventory,
}

/// A field of a row's JSON, and the column or condition that it comes from.
#[derive(Debug, Clone, Copy)]
enum Field {
    /// A number or a text, under the column's own name.
    Plain(&'static str),
    Named(&'static str, &'static str),
    Uuid(&'static str, &'static str),
    Bool(&'static str, &'static str),
    Json(&'static str),
}

/// Where the tables are.
#[derive(Clone)]
pub(crate) enum Tables {
    Postgres {
        server: Arc<Postgres>,
        orders: String,
        inventory: String,
    },
    /// A folder as `waybill up` keeps it.
    Sqlite(PathBuf),
}

impl Tables {
    /// All facts that the tables hold. Fails if `order_products` doesn't repeat the orders that it was made from.
    pub(crate) async fn facts(&self) -> Result<Facts> {
        use Field::{Bool, Json, Named, Plain, Uuid};
        #[derive(Deserialize)]
        struct Reservation {
            order_id: OrderId,
            state: ReservationState,
            version: u32,
        }
        let orders = [
            Uuid("order_id", "id"),
            Plain("customer_id"),
            Plain("idempotency_key"),
            Plain("status"),
            Plain("version"),
            Plain("fingerprint"),
            Json("rejection"),
            Bool("deleted", "deleted_at IS NOT NULL"),
        ];
        let mut orders: Vec<OrderFacts> =
            self.rows(Whose::Orders, "orders WHERE NOT fenced", &orders).await?;
        let mut items = self.items(Whose::Orders, "order_line_items").await?;
        for order in &mut orders {
            order.items = items.remove(&order.order_id).unwrap_or_default();
        }
        let events = [
            Uuid("order_id", "order_id"),
            Plain("customer_id"),
            Plain("version"),
            Plain("kind"),
            Plain("status"),
            Plain("previous_status"),
            Plain("position"),
            Bool("published", "published_at IS NOT NULL"),
        ];
        let reservations = [Uuid("order_id", "order_id"), Plain("state"), Plain("version")];
        let reservations: Vec<Reservation> =
            self.rows(Whose::Inventory, "reservations", &reservations).await?;
        let mut items = self.items(Whose::Inventory, "reservation_lines").await?;
        let reservations = reservations.into_iter().map(|row| AuditedReservation {
            order_id: row.order_id,
            state: row.state,
            version: row.version,
            items: items.remove(&row.order_id).unwrap_or_default(),
        });
        let products = [Named("product_id", "id"), Plain("on_hand"), Plain("reserved")];
        let movements = [
            Plain("id"),
            Plain("product_id"),
            Plain("kind"),
            Uuid("order_id", "order_id"),
            Plain("on_hand_delta"),
            Plain("reserved_delta"),
            Plain("on_hand_after"),
            Plain("reserved_after"),
        ];
        let ledger = Ledger {
            products: self.rows(Whose::Inventory, "products", &products).await?,
            movements: self.rows(Whose::Inventory, "stock_movements", &movements).await?,
            received: None,
        };
        Ok(Facts {
            complete: true,
            orders,
            events: self.rows(Whose::Orders, "order_events", &events).await?,
            reservations: reservations.collect(),
            ledger: Some(ledger),
            ..Facts::default()
        })
    }

    /// Checks that the rows by which orders are listed by product say what the orders do.
    pub(crate) async fn check_rows_by_product(&self) -> Result<()> {
        let stale = self.texts(Whose::Orders, STALE_ROWS_BY_PRODUCT).await?;
        ensure!(stale.is_empty(), "order_products is not as the orders are, for the products {stale:?}");
        Ok(())
    }

    async fn items(&self, whose: Whose, table: &str) -> Result<HashMap<OrderId, Vec<Item>>> {
        #[derive(Deserialize)]
        struct Line {
            order_id: OrderId,
            #[serde(flatten)]
            item: Item,
        }
        let fields = [
            Field::Uuid("order_id", "order_id"),
            Field::Named("productId", "product_id"),
            Field::Plain("quantity"),
        ];
        let mut items: HashMap<OrderId, Vec<Item>> = HashMap::new();
        for Line { order_id, item } in self.rows(whose, table, &fields).await? {
            items.entry(order_id).or_default().push(item);
        }
        Ok(items)
    }

    /// Every row of a table, read from its JSON.
    async fn rows<T: DeserializeOwned>(&self, whose: Whose, table: &str, fields: &[Field]) -> Result<Vec<T>> {
        let fields: Vec<String> = fields.iter().map(|field| self.field(*field)).collect();
        let object = match self {
            Self::Postgres { .. } => "json_build_object",
            Self::Sqlite(_) => "json_object",
        };
        let lines =
            self.texts(whose, &format!("SELECT {object}({}) FROM {table}", fields.join(", "))).await?;
        lines.iter().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }

    /// A statement's first column, one text a row.
    pub(crate) async fn texts(&self, whose: Whose, sql: &str) -> Result<Vec<String>> {
        match self {
            Self::Postgres { server, .. } => {
                let rows = server.query(self.url(whose), sql).await?;
                Ok(rows.lines().map(str::to_owned).collect())
            }
            Self::Sqlite(_) => {
                let mut connection = open(&self.file(whose)).await?;
                let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(&mut connection).await?;
                connection.close().await?;
                rows.iter().map(|row| Ok(row.try_get_unchecked::<String, _>(0)?)).collect()
            }
        }
    }

    /// Runs a statement that returns nothing.
    pub(crate) async fn run(&self, whose: Whose, sql: &str) -> Result<()> {
        match self {
            Self::Postgres { server, .. } => server.query(self.url(whose), sql).await.map(drop),
            Self::Sqlite(_) => {
                let mut connection = open(&self.file(whose)).await?;
                sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await?;
                Ok(connection.close().await?)
            }
        }
    }

    /// A fresh random id as this engine writes it.
    pub(crate) fn random_id(&self) -> &'static str {
        match self {
            Self::Postgres { .. } => "gen_random_uuid()",
            Self::Sqlite(_) => "randomblob(16)",
        }
    }

    fn field(&self, field: Field) -> String {
        match (self, field) {
            (_, Field::Plain(name)) => format!("'{name}', {name}"),
            (Self::Postgres { .. }, Field::Json(name)) => format!("'{name}', {name}"),
            (Self::Sqlite(_), Field::Json(name)) => format!("'{name}', json({name})"),
            (_, Field::Named(name, column)) => format!("'{name}', {column}"),
            (Self::Postgres { .. }, Field::Uuid(name, column)) => format!("'{name}', {column}::text"),
            (Self::Sqlite(_), Field::Uuid(name, column)) => {
                format!("'{name}', CASE WHEN {column} IS NULL THEN NULL ELSE lower(hex({column})) END")
            }
            (Self::Postgres { .. }, Field::Bool(name, condition)) => format!("'{name}', {condition}"),
            (Self::Sqlite(_), Field::Bool(name, condition)) => {
                format!("'{name}', json(CASE WHEN {condition} THEN 'true' ELSE 'false' END)")
            }
        }
    }

    fn url(&self, whose: Whose) -> &str {
        match (self, whose) {
            (Self::Postgres { orders, .. }, Whose::Orders) => orders,
            (Self::Postgres { inventory, .. }, Whose::Inventory) => inventory,
            (Self::Sqlite(_), _) => unreachable!("SQLite is reached by its file"),
        }
    }

    fn file(&self, whose: Whose) -> PathBuf {
        match (self, whose) {
            (Self::Sqlite(folder), Whose::Orders) => folder.join("orders.sqlite"),
            (Self::Sqlite(folder), Whose::Inventory) => folder.join("inventory.sqlite"),
            (Self::Postgres { .. }, _) => unreachable!("PostgreSQL is reached by its URL"),
        }
    }
}

/// Opens a database that a process may be using.
pub(crate) async fn open(file: &Path) -> Result<SqliteConnection> {
    let options =
        SqliteConnectOptions::new().filename(file).busy_timeout(Duration::from_secs(20)).foreign_keys(false);
    Ok(SqliteConnection::connect_with(&options).await?)
}
