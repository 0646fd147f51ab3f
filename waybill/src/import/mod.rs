//! `waybill import`: puts products and customers from files into the system.

mod table;

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, ensure};
use clap::{Args, Subcommand};
use schema::customer::Customer;
use schema::domain_error::{DomainError, DomainResult};
use schema::inventory_messages::{Adjust, PutProduct};
use schema::money::{Currency, Money};
use schema::product::Product;
use serde::Deserialize;

use crate::admin::{AdminConnection, AdminRequest};
use crate::infrastructure::{SystemArgs, SystemConfig};
use crate::output;
use crate::stock::{delivery_id, receive};
use table::{Entry, required};

/// Records sent in one request.
const BATCH: usize = 100;

/// Put products or customers in
///
/// The file is checked as a whole before anything is sent, and everything that is wrong with it is reported by line. What
/// exists already is changed to what the file says, so that a file may be imported again.
#[derive(Args, Debug)]
pub(crate) struct ImportArgs {
    #[command(subcommand)]
    command: ImportCommand,
}

#[derive(Subcommand, Debug)]
enum ImportCommand {
    /// Put products into the catalogue
    ///
    /// A .csv file with a first line of names, or a .json file with an array of objects: id, name, description, price such
    /// as 14.50 in the system's currency, and optionally quantity.
    ///
    /// quantity is opening stock: it comes in once for each product, from any file and however often. For later
    /// deliveries give each a name with --id, or use `waybill stock receive`.
    Products {
        /// The .csv or .json file
        file: PathBuf,
        /// A name for this delivery; under one name a product's units come in once
        #[arg(long, value_name = "NAME")]
        id: Option<String>,
        #[command(flatten)]
        system: SystemArgs,
    },
    /// Put customers in
    ///
    /// A .csv file with a first line of names, or a .json file with an array of objects: id (the `sub` of their tokens),
    /// name, email, shippingAddress, and optionally phone.
    Customers {
        /// The .csv or .json file
        file: PathBuf,
        #[command(flatten)]
        system: SystemArgs,
    },
}

pub(crate) async fn run(args: ImportArgs) -> anyhow::Result<()> {
    match args.command {
        ImportCommand::Products { file, id, system } => {
            products(&file, id.as_deref(), system.checked()?).await
        }
        ImportCommand::Customers { file, system } => customers(&file, system.checked()?).await,
    }
}

/// A product for the catalogue, and the units that came in with it.
type ProductRecord = (PutProduct, u32);

#[derive(Deserialize)]
struct ProductRow {
    id: Option<String>,
    name: Option<String>,
    description: Option<String>,
    price: Option<String>,
    quantity: Option<String>,
}

impl ProductRow {
    const FIELDS: [&str; 5] = ["id", "name", "description", "price", "quantity"];

    fn convert(self, currency: Currency) -> Result<ProductRecord, String> {
        let id = required("id", self.id)?.parse().map_err(|fault| format!("id {fault}"))?;
        let price = required("price", self.price)?;
        let unit_price = Money::from_decimal(&price, currency)
            .ok_or_else(|| format!("price {price:?} is not an amount in {currency}, such as 14.50"))?;
        let text = self.quantity.unwrap_or_else(|| "0".to_owned());
        let quantity =
            text.parse().map_err(|_| format!("quantity {text:?} is not a whole number of units"))?;
        let name = required("name", self.name)?;
        let description = required("description", self.description)?;
        let product = PutProduct { id, name, description, unit_price };
        product.validate().map_or(Ok((product, quantity)), |error| Err(error.message))
    }
}

async fn products(file: &Path, delivery: Option<&str>, system: SystemConfig) -> anyhow::Result<()> {
    let currency = system.inventory.currency;
    let entries = table::read(file, &ProductRow::FIELDS, |row: ProductRow| row.convert(currency))?;
    let connection = system.connect().await?;
    let units = connection.run(async |connection| put_products(connection, &entries, delivery).await).await?;
    output::print(&format!("{} products are in the catalogue; units counted in: {units}", entries.len()))
}

async fn put_products(
    connection: &AdminConnection,
    entries: &[Entry<ProductRecord>],
    delivery: Option<&str>,
) -> anyhow::Result<u64> {
    let mut units = 0;
    for batch in entries.chunks(BATCH) {
        let products = batch.iter().map(|Entry { value: (product, _), .. }| product.clone()).collect();
        accepted::<_, Product>(batch, connection.call(AdminRequest::PutProducts(products)).await)?;

        let with_stock: Vec<_> =
            batch.iter().filter(|Entry { value: (_, quantity), .. }| *quantity > 0).collect();
        let receipts: Vec<Adjust> = with_stock.iter().map(|entry| receipt(&entry.value, delivery)).collect();
        if receipts.is_empty() {
            continue;
        }
        units += receipts.iter().map(|receipt| receipt.by.unsigned_abs()).sum::<u64>();
        accepted(with_stock, receive(connection, receipts).await)?;
    }
    Ok(units)
}

fn receipt((product, quantity): &ProductRecord, delivery: Option<&str>) -> Adjust {
    let reason = delivery.map_or_else(|| "opening stock".to_owned(), |name| format!("delivery {name}"));
    Adjust {
        adjustment_id: delivery_id(delivery, &product.id),
        product_id: product.id.clone(),
        by: i64::from(*quantity),
        reason,
    }
}

#[derive(Deserialize)]
struct CustomerRow {
    id: Option<String>,
    name: Option<String>,
    email: Option<String>,
    phone: Option<String>,
    shipping_address: Option<String>,
}

impl CustomerRow {
    const FIELDS: [&str; 5] = ["id", "name", "email", "phone", "shipping_address"];

    fn convert(self) -> Result<Customer, String> {
        let customer = Customer {
            id: required("id", self.id)?.parse().map_err(|fault| format!("id {fault}"))?,
            name: required("name", self.name)?,
            email: required("email", self.email)?,
            phone: self.phone,
            shipping_address: required("shipping_address", self.shipping_address)?,
        };
        customer.validate().map_or(Ok(customer), |error| Err(error.message))
    }
}

async fn customers(file: &Path, system: SystemConfig) -> anyhow::Result<()> {
    let entries = table::read(file, &CustomerRow::FIELDS, CustomerRow::convert)?;
    let put = system.connect().await?.run(async |connection| {
        for batch in entries.chunks(BATCH) {
            let customers = batch.iter().map(|entry| entry.value.clone()).collect();
            accepted::<_, Customer>(batch, connection.call(AdminRequest::PutCustomers(customers)).await)?;
        }
        Ok(())
    });
    put.await?;
    output::print(&format!("{} customers are in", entries.len()))
}

/// Checks that the service accepted every record of a batch; reports a refusal with the line of its record.
fn accepted<'a, T: 'a, A>(
    batch: impl IntoIterator<Item = &'a Entry<T>>,
    answer: anyhow::Result<Vec<DomainResult<A>>>,
) -> anyhow::Result<()> {
    let again = "not everything was imported; import the file again, nothing is done twice";
    let refused = |line: u64, error: DomainError| anyhow!("line {line}: {}", error.message).context(again);
    let outcomes = answer.context(again)?;
    let entries: Vec<&Entry<T>> = batch.into_iter().collect();
    ensure!(outcomes.len() == entries.len(), "{} of {} records were answered", outcomes.len(), entries.len());
    for (entry, outcome) in entries.into_iter().zip(outcomes) {
        outcome.into_result().map_err(|error| refused(entry.line, error))?;
    }
    Ok(())
}
