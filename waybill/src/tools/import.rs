//! `waybill import`: products and customers of one's own.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::{Args, Subcommand};
use schema::customer::Customer;
use schema::domain_error::{DomainError, DomainResult};
use schema::inventory_messages::{Adjust, PutProduct};

use super::products::ProductRecord;
use super::stock::{delivery_id, receive};
use super::table::{self, Entry};
use crate::admin::{AdminConnection, SystemArgs};
use crate::output;

/// Records sent in one request.
const BATCH: usize = 100;

/// Put products or customers into the shop
///
/// The file is checked as a whole before anything is sent, and everything that is wrong with it is told by line. What is
/// there already is changed to what the file says, so that a file may be imported again.
#[derive(Args, Debug)]
pub(crate) struct ImportArgs {
    #[command(subcommand)]
    command: ImportCommand,
}

#[derive(Subcommand, Debug)]
enum ImportCommand {
    Products(ProductsArgs),
    Customers(CustomersArgs),
}

/// Put products into the catalogue
///
/// A .csv file with a first line of names, or a .json file with an array of objects: id, name, description, price such as
/// 14.50 in the shop's currency, and optionally quantity.
///
/// quantity is opening stock: it comes in once for each product, from whichever file and however often. For later
/// deliveries give each a name with --id, or use `waybill stock receive`.
#[derive(Args, Debug)]
struct ProductsArgs {
    /// The .csv or .json file
    file: PathBuf,
    /// A name for this delivery; under one name a product's units come in once
    #[arg(long, value_name = "NAME")]
    id: Option<String>,
    #[command(flatten)]
    system: SystemArgs,
}

/// Put customers in
///
/// A .csv file with a first line of names, or a .json file with an array of objects: id (the `sub` of their tokens), name,
/// email, shippingAddress, and optionally phone.
#[derive(Args, Debug)]
struct CustomersArgs {
    /// The .csv or .json file
    file: PathBuf,
    #[command(flatten)]
    system: SystemArgs,
}

/// Runs the command.
pub(crate) async fn run(args: ImportArgs) -> anyhow::Result<()> {
    match args.command {
        ImportCommand::Products(args) => products(args).await,
        ImportCommand::Customers(args) => customers(args).await,
    }
}

async fn products(args: ProductsArgs) -> anyhow::Result<()> {
    let system = args.system.check()?;
    let entries: Vec<Entry<ProductRecord>> = table::read(&args.file, &system.currency())?;
    let connection = system.connect().await?;
    let imported = put_products(&connection, &entries, args.id.as_deref()).await;
    connection.close().await;
    let units = imported?;
    output::print(&format!("{} products are in the catalogue; units counted in: {units}", entries.len()))
}

async fn put_products(
    connection: &AdminConnection,
    entries: &[Entry<ProductRecord>],
    delivery: Option<&str>,
) -> anyhow::Result<u64> {
    let mut units = 0;
    for batch in entries.chunks(BATCH) {
        let products: Vec<PutProduct> = batch.iter().map(|entry| entry.value.product.clone()).collect();
        accepted(batch, connection.put_products(products).await)?;

        let with_stock: Vec<&Entry<ProductRecord>> =
            batch.iter().filter(|entry| entry.value.quantity > 0).collect();
        let receipts: Vec<Adjust> = with_stock.iter().map(|entry| receipt(&entry.value, delivery)).collect();
        if receipts.is_empty() {
            continue;
        }
        for (entry, outcome) in
            with_stock.iter().zip(receive(connection, receipts.clone()).await.context(AGAIN)?)
        {
            outcome.into_result().map_err(|refusal| refused(entry.line, &refusal))?;
        }
        units += receipts.iter().map(|receipt| receipt.by.unsigned_abs()).sum::<u64>();
    }
    Ok(units)
}

fn receipt(record: &ProductRecord, delivery: Option<&str>) -> Adjust {
    let reason = delivery.map_or_else(|| "opening stock".to_owned(), |name| format!("delivery {name}"));
    Adjust {
        adjustment_id: delivery_id(delivery, &record.product.id),
        product_id: record.product.id.clone(),
        by: i64::from(record.quantity),
        reason,
    }
}

async fn customers(args: CustomersArgs) -> anyhow::Result<()> {
    let system = args.system.check()?;
    let entries: Vec<Entry<Customer>> = table::read(&args.file, &())?;
    let connection = system.connect().await?;
    let imported = put_customers(&connection, &entries).await;
    connection.close().await;
    imported?;
    output::print(&format!("{} customers are in", entries.len()))
}

async fn put_customers(connection: &AdminConnection, entries: &[Entry<Customer>]) -> anyhow::Result<()> {
    for batch in entries.chunks(BATCH) {
        let customers: Vec<Customer> = batch.iter().map(|entry| entry.value.clone()).collect();
        accepted(batch, connection.put_customers(customers).await)?;
    }
    Ok(())
}

const AGAIN: &str = "not everything was imported; import the file again, nothing is done twice";

/// Checks that the service accepted every record of one batch; a refusal is reported with the line of its record.
fn accepted<T, A>(batch: &[Entry<T>], answer: anyhow::Result<Vec<DomainResult<A>>>) -> anyhow::Result<()> {
    let outcomes = answer.context(AGAIN)?;
    ensure!(outcomes.len() == batch.len(), "{} of {} records were answered", outcomes.len(), batch.len());
    for (entry, outcome) in batch.iter().zip(outcomes) {
        outcome.into_result().map_err(|refusal| refused(entry.line, &refusal))?;
    }
    Ok(())
}

fn refused(line: u64, refusal: &DomainError) -> anyhow::Error {
    anyhow::anyhow!("line {line}: {}", refusal.message).context(AGAIN)
}
