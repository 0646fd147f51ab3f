//! Products and customers, imported by `waybill import` as an operator does it.

use std::fmt::Write as _;

use anyhow::Result;
use testkit::Program;

/// The customers of every system that is measured.
pub(crate) const CUSTOMERS: usize = 100;

/// Units of each product: what no measurement sells out.
const QUANTITY: u32 = 2_000_000_000;

/// How many products there are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Catalogue {
    pub(crate) products: usize,
}

impl Default for Catalogue {
    fn default() -> Self {
        Self { products: 100 }
    }
}

/// The id of the customer of this number, from 0 to below [`CUSTOMERS`]; others are taken round.
pub(crate) fn customer_id(number: usize) -> String {
    format!("CUST{:03}", number % CUSTOMERS)
}

/// The id of a product that every catalogue has; numbers from 100 are taken round.
pub(crate) fn product_id(number: usize) -> String {
    format!("PROD{:06}", number % 100)
}

impl Catalogue {
    /// Imports it. `waybill` makes the command with these arguments for the system's broker or data.
    pub(crate) async fn import(self, waybill: impl Fn(&[&str]) -> Result<Program>) -> Result<()> {
        let folder = tempfile::tempdir()?;
        let mut products = String::from("id,name,description,price,quantity\n");
        for number in 0..self.products {
            let description = "A thing of everyday use made of enamelled steel";
            let price = number % 90 + 10;
            writeln!(products, "PROD{number:06},Thing {number},{description},{price}.50,{QUANTITY}")?;
        }
        let mut customers = String::from("id,name,email,phone,shippingAddress\n");
        for number in 0..CUSTOMERS {
            let id = customer_id(number);
            writeln!(customers, "{id},Customer {number},{id}@example.com,,{number} Harbour Street")?;
        }
        for (kind, table) in [("products", products), ("customers", customers)] {
            let file = folder.path().join(format!("{kind}.csv"));
            std::fs::write(&file, table)?;
            let file = file.display().to_string();
            let finished = waybill(&["import", kind, &file])?.run().await;
            anyhow::ensure!(finished.code == 0, "{finished:?}");
        }
        Ok(())
    }
}
