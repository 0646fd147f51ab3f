//! What customer-service does with its database, one plain function a message.

use std::collections::{BTreeMap, HashMap};

use schema::customer::Customer;
use schema::domain_error::DomainError;
use schema::ids::CustomerId;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _};
use store::{Database, StoreError, retrying};

use crate::row::{Column, Entity, active};

/// The customers of one shop, in its database. Cloning shares it.
#[derive(Clone)]
pub struct Customers {
    /// Where they are kept.
    pub database: Database,
}

impl Customers {
    /// The customers of these ids, in the order asked; nothing where there is none.
    pub async fn get(&self, ids: &[CustomerId]) -> Result<Vec<Option<Customer>>, StoreError> {
        let rows = Entity::find()
            .filter(Column::Id.is_in(ids.iter().map(CustomerId::as_str)))
            .all(self.database.read())
            .await?;
        let mut by_id = HashMap::with_capacity(rows.len());
        for row in rows {
            let customer = row.into_customer()?;
            by_id.insert(customer.id.clone(), customer);
        }
        Ok(ids.iter().map(|id| by_id.get(id).cloned()).collect())
    }

    /// Puts customers in the place of those of the same ids, all that are sound in one statement. Of several with one
    /// id the last one counts.
    pub async fn put(
        &self,
        customers: &[Customer],
    ) -> Result<Vec<Result<Customer, DomainError>>, StoreError> {
        let answers: Vec<Result<Customer, DomainError>> = customers
            .iter()
            .map(|customer| customer.validate().map_or_else(|| Ok(customer.clone()), Err))
            .collect();
        let overwrite = OnConflict::column(Column::Id)
            .update_columns([
                Column::Name,
                Column::Email,
                Column::Phone,
                Column::ShippingAddress,
                Column::UpdatedAt,
            ])
            .to_owned();
        self.insert(answers.iter().flatten(), &overwrite).await?;
        Ok(answers)
    }

    /// Inserts rows in the order of their ids, so that writers who overlap wait for one another.
    pub(crate) async fn insert(
        &self,
        customers: impl Iterator<Item = &Customer>,
        on_conflict: &OnConflict,
    ) -> Result<(), StoreError> {
        let now = self.database.now().await?;
        let rows: BTreeMap<&CustomerId, _> =
            customers.map(|customer| (&customer.id, active(customer, now))).collect();
        if rows.is_empty() {
            return Ok(());
        }
        retrying(|| async {
            let insert = Entity::insert_many(rows.values().cloned()).on_conflict(on_conflict.clone());
            insert.exec_without_returning(self.database.write()).await?;
            Ok(())
        })
        .await
    }
}
