//! The services' tables, read and written from outside, on either engine.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use serde::de::DeserializeOwned;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection as _, Row as _};
use testkit::Postgres;

/// Whose tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    Orders,
    Inventory,
}

/// How a column is written into a row's JSON.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Column {
    /// A number or a text.
    Plain(&'static str),
    /// An id, as hexadecimal digits.
    Uuid(&'static str),
    /// A condition, as 0 or 1.
    Holds(&'static str, &'static str),
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
    /// Every row of a table as JSON.
    pub(crate) async fn rows<T: DeserializeOwned>(
        &self,
        whose: Whose,
        table: &str,
        columns: &[Column],
    ) -> Result<Vec<T>> {
        let fields: Vec<String> = columns.iter().map(|column| self.field(*column)).collect();
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

    /// Runs a statement that answers nothing.
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

    fn field(&self, column: Column) -> String {
        match (self, column) {
            (_, Column::Plain(name)) => format!("'{name}', {name}"),
            (Self::Postgres { .. }, Column::Uuid(name)) => format!("'{name}', {name}::text"),
            (Self::Sqlite(_), Column::Uuid(name)) => {
                format!("'{name}', CASE WHEN {name} IS NULL THEN NULL ELSE lower(hex({name})) END")
            }
            (_, Column::Holds(name, condition)) => {
                format!("'{name}', CASE WHEN {condition} THEN 1 ELSE 0 END")
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
