//! The demo's customers: who an empty shop knows.

use schema::customer::Customer;
use sea_orm::sea_query::OnConflict;
use sea_orm::{EntityTrait as _, PaginatorTrait as _};
use store::StoreError;

use crate::customers::Customers;
use crate::row::{Column, Entity};

/// Id, name, email address, phone number and address.
const CUSTOMERS: [(&str, &str, &str, Option<&str>, &str); 2] = [
    (
        "CUST01",
        "Ada Lindgren",
        "ada@example.com",
        Some("+1 503 555 0100"),
        "1 Harbour Street, Portland, OR 97201, USA",
    ),
    ("CUST02", "Bruno Okafor", "bruno@example.com", None, "27 Mill Lane, Burlington, VT 05401, USA"),
];

impl Customers {
    /// Fills an empty table with the demo's customers. Copies that start at once do so once.
    pub async fn seed_demo(&self) -> Result<(), StoreError> {
        if Entity::find().count(self.database.read()).await? > 0 {
            return Ok(());
        }
        let keep = OnConflict::column(Column::Id).do_nothing().to_owned();
        self.insert(customers().iter(), &keep).await?;
        tracing::info!(customers = CUSTOMERS.len(), "the demo's customers are known");
        Ok(())
    }
}

fn customers() -> [Customer; 2] {
    CUSTOMERS.map(|(id, name, email, phone, shipping_address)| Customer {
        id: id.parse().expect("the demo's ids are short"),
        name: name.to_owned(),
        email: email.to_owned(),
        phone: phone.map(str::to_owned),
        shipping_address: shipping_address.to_owned(),
    })
}
