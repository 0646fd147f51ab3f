//! Customers as files name them.

use schema::customer::Customer;

use super::table::{FromRecord, Record};

impl FromRecord for Customer {
    const FIELDS: &'static [&'static str] = &["id", "name", "email", "phone", "shipping_address"];
    type Context = ();

    fn from_record(record: &Record, (): &()) -> Result<Self, String> {
        let customer = Self {
            id: record.required("id")?.parse().map_err(|fault| format!("id {fault}"))?,
            name: record.required("name")?.to_owned(),
            email: record.required("email")?.to_owned(),
            phone: record.text("phone").map(str::to_owned),
            shipping_address: record.required("shipping_address")?.to_owned(),
        };
        match customer.validate() {
            Some(refusal) => Err(refusal.message),
            None => Ok(customer),
        }
    }
}
