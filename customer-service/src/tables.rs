//! The table `customers`.

use schema::customer::Customer;
use schema::time::Timestamp;
use sea_orm::ActiveValue::Set;
use store::StoreError;
use store::entity::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "customers")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) phone: Option<String>,
    pub(crate) shipping_address: String,
    pub(crate) created_at: DateTimeUtc,
    pub(crate) updated_at: DateTimeUtc,
}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub(crate) fn into_customer(self) -> Result<Customer, StoreError> {
        let id =
            self.id.parse().map_err(|error| StoreError::Data(format!("invalid customer id: {error}")))?;
        Ok(Customer {
            id,
            name: self.name,
            email: self.email,
            phone: self.phone,
            shipping_address: self.shipping_address,
        })
    }
}

/// A row created at `now`; an update of an existing row keeps its `created_at`.
pub(crate) fn active(customer: &Customer, now: Timestamp) -> ActiveModel {
    ActiveModel {
        id: Set(customer.id.to_string()),
        name: Set(customer.name.clone()),
        email: Set(customer.email.clone()),
        phone: Set(customer.phone.clone()),
        shipping_address: Set(customer.shipping_address.clone()),
        created_at: Set(now.to_utc()),
        updated_at: Set(now.to_utc()),
    }
}
