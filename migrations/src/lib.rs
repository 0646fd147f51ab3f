//! The tables of the three services: for each a list of migrations and a table of applied migrations of its own, so that
//! they may live in one database or in three.
//!
//! Every migration runs under a lock and in one transaction: several copies of a service may start at once, and
//! one that dies in between leaves nothing half done. Tables follow expand and contract: a release works with
//! the tables of the one before it, and removes what only that one needed.

mod customers {
    pub(crate) mod m0001_customers;
}
mod inventory {
    pub(crate) mod m0001_inventory;
    pub(crate) mod m0002_withdrawn;
}
mod orders {
    pub(crate) mod m0001_orders;
    pub(crate) mod m0002_change_answers;
    pub(crate) mod m0003_order_filters;
    pub(crate) mod m0004_bounded_change_answers;
}

use std::collections::HashSet;
use std::pin::Pin;

use sea_orm::sea_query::{
    ConditionalStatement as _, Expr, ForeignKey, ForeignKeyAction, ForeignKeyCreateStatement, Index,
    IndexCreateStatement,
};
use sea_orm::{ConnectionTrait as _, DbBackend, DbErr, DynIden, RuntimeErr, Statement};
use sea_orm_migration::{MigrationName, MigrationTrait, MigratorTraitSelf, SchemaManager, async_trait};
use store::{Database, StoreError, Transaction};

pub const CUSTOMERS: ServiceTables = ServiceTables {
    service: "customers",
    applied: "customers_migrations",
    migrations: &[Migration("0001_customers", |manager| Box::pin(customers::m0001_customers::up(manager)))],
};
pub const INVENTORY: ServiceTables = ServiceTables {
    service: "inventory",
    applied: "inventory_migrations",
    migrations: &[
        Migration("0001_inventory", |manager| Box::pin(inventory::m0001_inventory::up(manager))),
        Migration("0002_withdrawn", |manager| Box::pin(inventory::m0002_withdrawn::up(manager))),
    ],
};
pub const ORDERS: ServiceTables = ServiceTables {
    service: "orders",
    applied: "order_migrations",
    migrations: &[
        Migration("0001_orders", |manager| Box::pin(orders::m0001_orders::up(manager))),
        Migration("0002_change_answers", |manager| Box::pin(orders::m0002_change_answers::up(manager))),
        Migration("0003_order_filters", |manager| Box::pin(orders::m0003_order_filters::up(manager))),
        Migration("0004_bounded_change_answers", |manager| {
            Box::pin(orders::m0004_bounded_change_answers::up(manager))
        }),
    ],
};

/// The lock that the migrations of any service take: they are rare, and one database may have all tables.
const ADVISORY_LOCK: i64 = 0x7761_7962_696c_6c01;

/// The tables of one service, by their migrations.
pub struct ServiceTables {
    /// What the program `migrations` calls the service.
    service: &'static str,
    /// The table of applied migrations.
    applied: &'static str,
    migrations: &'static [Migration],
}

/// Why migrations were not applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MigrateError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Migrations are pending, and the role lacks a privilege for them.
    #[error(
        "the tables of {service} are not up to date (pending: {pending}) and this role may not change them ({reason}): \
         run `migrations {service}` as the role that owns them; if they are up to date, this role lacks SELECT, INSERT, \
         UPDATE or DELETE on them"
    )]
    NotAllowed { service: &'static str, pending: String, reason: String },
}

/// The progress of a service's migrations in one database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The number of applied migrations; 0 if the service's tables are in another database.
    pub applied: usize,
    /// The names of the pending migrations, in the order in which they would be applied.
    pub pending: Vec<String>,
}

impl ServiceTables {
    /// Applies the pending migrations. A second copy waits, and then finds nothing to do. Without a pending migration it
    /// only reads, so that a role that may not create tables can start a service.
    ///
    /// On SQLite the transaction itself is the lock.
    pub async fn migrate(&self, database: &Database) -> Result<(), MigrateError> {
        let pending = self.progress(database).await?.pending;
        if !pending.is_empty() {
            let transaction = database.begin().await?;
            self.apply(transaction).await.map_err(|error| match denied(&error) {
                Some(reason) => {
                    MigrateError::NotAllowed { service: self.service, pending: pending.join(", "), reason }
                }
                None => MigrateError::Store(error.into()),
            })?;
        }
        database.set_probe_table(self.applied);
        Ok(())
    }

    async fn apply(&self, transaction: Transaction) -> Result<(), DbErr> {
        if transaction.get_database_backend() == DbBackend::Postgres {
            let lock = format!(
                "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '60s'; \
                 SELECT pg_advisory_xact_lock({ADVISORY_LOCK})"
            );
            transaction.execute_unprepared(&lock).await?;
        }
        self.up(&transaction, None).await?;
        transaction.commit().await
    }

    /// Returns the progress of the migrations, and changes nothing. Applied migrations that this release doesn't know are
    /// a later release's, whose tables this release works with.
    pub async fn progress(&self, database: &Database) -> Result<Progress, StoreError> {
        let applied = self.applied_names(database).await?;
        let names = self.migrations.iter().map(|migration| migration.0);
        let pending = names.filter(|&name| !applied.contains(name)).map(str::to_owned).collect();
        Ok(Progress { applied: applied.len(), pending })
    }

    /// Reads the names of the applied migrations without creating their table, which a role may lack the privilege for.
    async fn applied_names(&self, database: &Database) -> Result<HashSet<String>, StoreError> {
        let (connection, table) = (database.read(), self.applied);
        let exists = match database.backend() {
            DbBackend::Sqlite => {
                format!("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '{table}'")
            }
            // A table that the role may not read is as good as none: applying tells which privilege is missing.
            _ => format!("SELECT 1 WHERE has_table_privilege(to_regclass('{table}'), 'SELECT')"),
        };
        let query = |sql: String| connection.query_all_raw(Statement::from_string(database.backend(), sql));
        if query(exists).await?.is_empty() {
            return Ok(HashSet::new());
        }
        let rows = query(format!("SELECT version FROM {table}")).await?;
        Ok(rows.iter().map(|row| row.try_get("", "version")).collect::<Result<_, _>>()?)
    }
}

impl MigratorTraitSelf for ServiceTables {
    fn migrations(&self) -> Vec<Box<dyn MigrationTrait>> {
        self.migrations.iter().map(|&migration| Box::new(migration) as _).collect()
    }

    fn migration_table_name(&self) -> DynIden {
        self.applied.into()
    }
}

/// PostgreSQL's message if the role lacks a privilege: SQLSTATE `insufficient_privilege`.
fn denied(error: &DbErr) -> Option<String> {
    let (DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error))) = error
    else {
        return None;
    };
    let error = error.as_database_error()?;
    (error.code()? == "42501").then(|| error.message().to_owned())
}

/// The name of a migration, and its statements.
#[derive(Clone, Copy)]
struct Migration(&'static str, for<'a> fn(&'a SchemaManager<'_>) -> Applying<'a>);

type Applying<'a> = Pin<Box<dyn Future<Output = Result<(), DbErr>> + Send + 'a>>;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        self.0
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    #[expect(
        elided_lifetimes_in_paths,
        reason = "the trait is declared so, and its macro tells the two apart"
    )]
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        (self.1)(manager).await
    }
}

fn index(table: &'static str, name: &str, columns: &[&'static str]) -> IndexCreateStatement {
    let mut index = Index::create().name(name).table(table).take();
    for &column in columns {
        index.col(column);
    }
    index
}

fn partial(mut index: IndexCreateStatement, which: &str) -> IndexCreateStatement {
    index.and_where(Expr::cust(which.to_owned())).take()
}

/// A foreign key from a table's column to another's.
fn reference(
    name: &str,
    from: (&'static str, &'static str),
    to: (&'static str, &'static str),
) -> ForeignKeyCreateStatement {
    let mut key = ForeignKey::create().name(name).from(from.0, from.1).to(to.0, to.1).take();
    key.on_delete(ForeignKeyAction::Restrict).take()
}
