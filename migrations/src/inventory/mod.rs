//! The tables of inventory-service.

mod m0001_inventory;

use sea_orm::DynIden;
use sea_orm_migration::{MigrationTrait, MigratorTrait};
use store::{Database, StoreError};

/// Applies the pending migrations.
pub async fn migrate(database: &Database) -> Result<(), StoreError> {
    crate::apply::apply::<Migrator>(database).await
}

/// Returns the progress of the migrations, and changes nothing.
pub async fn progress(database: &Database) -> Result<crate::Progress, StoreError> {
    crate::apply::progress::<Migrator>(database).await
}

struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(m0001_inventory::Migration)]
    }

    fn migration_table_name() -> DynIden {
        "inventory_migrations".into()
    }
}
