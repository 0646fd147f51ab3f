use std::sync::Arc;

use bus::clock::ManualClock;
use sea_orm::{ConnectionTrait as _, Statement};
use store::Database;
use testkit::PgBouncer;

/// A database of the test's own, with a table of accounts and one of leases.
pub(crate) struct Bank {
    pub(crate) database: Database,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) url: String,
    #[expect(dead_code, reason = "ends with the bank")]
    held: Held,
}

/// What a bank's database is in or behind.
enum Held {
    Nothing,
    #[expect(dead_code, reason = "removed with the bank")]
    Folder(tempfile::TempDir),
    #[expect(dead_code, reason = "ends with the bank")]
    Pooler(PgBouncer),
}

const TABLES: [&str; 4] = [
    "CREATE TABLE accounts (id integer PRIMARY KEY, balance integer NOT NULL CONSTRAINT solvent CHECK (balance >= 0))",
    "INSERT INTO accounts VALUES (1, 100), (2, 100)",
    "CREATE TABLE leases (name varchar(64) PRIMARY KEY, owner varchar(64) NOT NULL, expires_at timestamp with time zone NOT NULL)",
    "INSERT INTO leases VALUES ('work', '', '2000-01-01 00:00:00+00:00')",
];

impl Bank {
    pub(crate) async fn on_sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/bank.db", folder.path().display());
        Self::open(url, Held::Folder(folder)).await
    }

    pub(crate) async fn on_postgres() -> Self {
        Self::open(testkit::postgres_database().await, Held::Nothing).await
    }

    /// Behind a PgBouncer that gives out sessions for the length of a transaction, and fewer than there are connections.
    pub(crate) async fn behind_transaction_pooler() -> Self {
        let url = testkit::postgres_database().await;
        let bouncer = PgBouncer::start(&url, "transaction").await.unwrap();
        Self::open(format!("{}?pool_mode=transaction", bouncer.url(&url)), Held::Pooler(bouncer)).await
    }

    pub(crate) async fn behind_session_pooler() -> Self {
        let url = testkit::postgres_database().await;
        let bouncer = PgBouncer::start(&url, "session").await.unwrap();
        Self::open(bouncer.url(&url), Held::Pooler(bouncer)).await
    }

    async fn open(url: String, held: Held) -> Self {
        let clock = Arc::new(ManualClock::at("2027-01-01T00:00:00.000Z".parse().unwrap()));
        let database = Database::connect(&url, clock.clone()).await.unwrap();
        for sql in TABLES {
            database.write().execute_unprepared(sql).await.unwrap();
        }
        Self { database, clock, url, held }
    }

    pub(crate) async fn balance(&self, account: i32) -> i32 {
        let sql = format!("SELECT balance FROM accounts WHERE id = {account}");
        let statement = Statement::from_string(self.database.backend(), sql);
        let row = self.database.read().query_one_raw(statement).await.unwrap().unwrap();
        row.try_get("", "balance").unwrap()
    }
}

/// Runs each test on SQLite, on PostgreSQL, and on PostgreSQL behind poolers.
macro_rules! on_each_database {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::kit::Bank::on_sqlite().await).await;
            })*
        }
        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::kit::Bank::on_postgres().await).await;
            })*
        }
        mod transaction_pooler {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::kit::Bank::behind_transaction_pooler().await).await;
            })*
        }
        mod session_pooler {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::kit::Bank::behind_session_pooler().await).await;
            })*
        }
    };
}
pub(crate) use on_each_database;
