//! The customers in their database, and the requests for them.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use bus::failure::Failure;
use bus::rpc_server::{Request, RequestHandler, no_handler, respond};
use schema::customer::Customer;
use schema::domain_error::{DomainError, DomainResult};
use schema::ids::CustomerId;
use schema::limits::REQUEST_MAX_ITEMS;
use schema::pattern::{CUSTOMER_GET, CUSTOMER_PUT};
use sea_orm::sea_query::OnConflict;
use sea_orm::{EntityTrait as _, PaginatorTrait as _, QueryFilter as _};
use serde_json::value::RawValue;
use store::bulk::is_any;
use store::{Database, StoreError, retrying};

use crate::tables::{Column, Entity, active};

/// Clones share the database.
#[derive(Clone)]
pub struct Customers {
    pub database: Database,
}

impl Customers {
    /// Returns the customers of these ids in the order requested; none for an unknown id.
    pub async fn get(&self, ids: &[CustomerId]) -> Result<Vec<Option<Customer>>, StoreError> {
        let rows = Entity::find()
            .filter(is_any(self.database.backend(), Column::Id, ids.iter().map(CustomerId::as_str)))
            .all(self.database.read())
            .await?;
        let mut by_id = HashMap::with_capacity(rows.len());
        for row in rows {
            let customer = row.into_customer()?;
            by_id.insert(customer.id.clone(), customer);
        }
        Ok(ids.iter().map(|id| by_id.get(id).cloned()).collect())
    }

    /// Inserts or overwrites customers, all valid ones in one statement. Of several with one id the last one counts.
    pub async fn put(
        &self,
        customers: &[Customer],
    ) -> Result<Vec<Result<Customer, DomainError>>, StoreError> {
        let results: Vec<Result<Customer, DomainError>> = customers
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
        self.insert(results.iter().flatten(), &overwrite).await?;
        Ok(results)
    }

    /// Fills an empty table with the demo customers. Copies that start at the same time insert them once.
    pub async fn seed_demo(&self) -> Result<(), StoreError> {
        if Entity::find().count(self.database.read()).await? > 0 {
            return Ok(());
        }
        let keep = OnConflict::column(Column::Id).do_nothing().to_owned();
        self.insert(demo_customers().iter(), &keep).await?;
        tracing::info!(customers = DEMO_CUSTOMERS.len(), "demo customers inserted");
        Ok(())
    }

    /// Inserts rows in the order of their ids, so that overlapping writers wait for one another without a deadlock.
    async fn insert(
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

#[async_trait]
impl RequestHandler for Customers {
    async fn handle(&self, Request { envelope, .. }: Request) -> Result<Box<RawValue>, Failure> {
        match envelope.pattern.as_str() {
            CUSTOMER_GET => respond(&self.get(&envelope.items(REQUEST_MAX_ITEMS)?).await?),
            CUSTOMER_PUT => {
                let results = self.put(&envelope.items(REQUEST_MAX_ITEMS)?).await?;
                respond(&results.into_iter().map(DomainResult::from).collect::<Vec<_>>())
            }
            other => Err(no_handler(other)),
        }
    }
}

/// Id, name, email address, phone number and address.
const DEMO_CUSTOMERS: [(&str, &str, &str, Option<&str>, &str); 2] = [
    (
        "CUST01",
        "Ada Lindgren",
        "ada@example.com",
        Some("+1 503 555 0100"),
        "1 Harbour Street, Portland, OR 97201, USA",
    ),
    ("CUST02", "Bruno Okafor", "bruno@example.com", None, "27 Mill Lane, Burlington, VT 05401, USA"),
];

fn demo_customers() -> [Customer; 2] {
    DEMO_CUSTOMERS.map(|(id, name, email, phone, shipping_address)| Customer {
        id: id.parse().expect("the demo ids are short"),
        name: name.to_owned(),
        email: email.to_owned(),
        phone: phone.map(str::to_owned),
        shipping_address: shipping_address.to_owned(),
    })
}
