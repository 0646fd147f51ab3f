//! `waybill import`: puts products and customers from files into the system.

mod table;
mod text;

use std::fmt::{self, Display};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::admin::{AdminConnection, AdminRequest};
use crate::infrastructure::{SystemArgs, SystemConfig};
use crate::output::{self, counted};
use crate::stock::{adjust, delivery_id};
use anyhow::{Context, anyhow, ensure};
use clap::{Args, Subcommand};
use schema::customer::Customer;
use schema::domain_error::{DomainError, DomainResult};
use schema::inventory_messages::{Adjust, Adjusted, PutProduct};
use schema::limits::PRICE_MAX_MINOR;
use schema::money::{Currency, Money};
use schema::product::Product;
use table::{Entry, Field, Row};

/// Records sent in one request.
const BATCH: usize = 100;

/// Put products or customers in
///
/// The file is checked as a whole before anything is sent, and everything that is wrong with it is reported by line. What
/// exists already is changed to what the file says, so that a file may be imported again.
///
/// Tables are read as spreadsheets save them: with commas, semicolons or tabs, in UTF-8, UTF-16 or Windows-1252. With
/// semicolons and tabs a price may have a decimal comma.
#[derive(Args, Debug)]
pub(crate) struct ImportArgs {
    #[command(subcommand)]
    command: ImportCommand,
}

#[derive(Subcommand, Debug)]
enum ImportCommand {
    /// Put products into the catalogue
    ///
    /// A table (.csv, .tsv, .txt) with a first line of names, or a .json file with an array of objects: id, name,
    /// description, price such as 14.50 in the system's currency, and optionally quantity.
    ///
    /// quantity is opening stock: it comes in once for each product, from any file and however often. For later
    /// deliveries give each a name with --id, or use `waybill stock receive`. A product that was withdrawn can be ordered
    /// again.
    Products {
        /// The file
        file: PathBuf,
        /// A name for this delivery; under one name a product's units come in once
        #[arg(long, value_name = "NAME")]
        id: Option<String>,
        #[command(flatten)]
        system: SystemArgs,
    },
    /// Put customers in
    ///
    /// A table (.csv, .tsv, .txt) with a first line of names, or a .json file with an array of objects: id (the `sub` of
    /// their tokens), name, email, shippingAddress, and optionally phone.
    Customers {
        /// The file
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

const PRODUCT_FIELDS: [Field; 5] = [
    Field::required("id"),
    Field::required("name"),
    Field::required("description"),
    Field::required("price"),
    Field::optional("quantity"),
];

fn product(row: &mut Row<'_>, currency: Currency) -> Option<ProductRecord> {
    let id = row.required("id").and_then(|id| parsed_id(row, id));
    let name = row.required("name");
    let description = row.required("description");
    let unit_price = row.required("price").and_then(|price| {
        let amount = amount(price, currency, row.decimal_comma);
        let dearest = Money { amount_minor: PRICE_MAX_MINOR, currency };
        match amount {
            None => {
                let sample = currency.sample_amount();
                row.problem(format!("price {price:?} is not an amount in {currency}, such as {sample}"));
            }
            Some(Money { amount_minor, .. }) if amount_minor > PRICE_MAX_MINOR => {
                row.problem(format!("price {price:?} is more than {}", dearest.to_decimal()));
            }
            Some(_) => {}
        }
        amount.filter(|amount| amount.amount_minor <= PRICE_MAX_MINOR)
    });
    let quantity = row.optional("quantity").unwrap_or("0");
    let quantity = quantity.parse().map_err(|_| {
        row.problem(format!("quantity {quantity:?} is not a whole number of units"));
    });
    let (name, description) = (name?.to_owned(), description?.to_owned());
    let product = PutProduct { id: id?, name, description, unit_price: unit_price? };
    if let Some(error) = product.validate() {
        row.problem(error.message);
    }
    Some((product, quantity.ok()?))
}

/// Reads a price; with `decimal_comma` also one that has a comma before its fraction digits.
fn amount(text: &str, currency: Currency, decimal_comma: bool) -> Option<Money> {
    let comma = decimal_comma && !text.contains('.');
    Money::from_decimal(&if comma { text.replacen(',', ".", 1) } else { text.to_owned() }, currency)
}

fn parsed_id<T: FromStr<Err: Display>>(row: &mut Row<'_>, id: &str) -> Option<T> {
    id.parse().map_err(|error| row.problem(format!("id {error}"))).ok()
}

async fn products(file: &Path, delivery: Option<&str>, system: SystemConfig) -> anyhow::Result<()> {
    let currency = system.inventory.currency;
    let entries = table::read(file, &PRODUCT_FIELDS, |row| product(row, currency))?;
    let connection = system.connect().await?;
    let units = connection.run(async |connection| put_products(connection, &entries, delivery).await).await?;
    output::print(&format!("imported {}; {units}", counted(u64::try_from(entries.len())?, "product")))
}

/// The units of a file, by what became of them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Units {
    came_in: u64,
    were_in: u64,
}

impl fmt::Display for Units {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.came_in {
            0 => formatter.write_str("no units came in")?,
            came_in => write!(formatter, "{} came in", counted(came_in, "unit"))?,
        }
        match self.were_in {
            0 => Ok(()),
            were_in => write!(formatter, ", {} had come in before", counted(were_in, "unit")),
        }
    }
}

async fn put_products(
    connection: &AdminConnection,
    entries: &[Entry<ProductRecord>],
    delivery: Option<&str>,
) -> anyhow::Result<Units> {
    let mut units = Units::default();
    for batch in entries.chunks(BATCH) {
        let products = batch.iter().map(|Entry { value: (product, _), .. }| product.clone()).collect();
        accepted::<_, Product>(batch, connection.call(AdminRequest::PutProducts(products)).await)?;

        let with_stock: Vec<_> =
            batch.iter().filter(|Entry { value: (_, quantity), .. }| *quantity > 0).collect();
        let receipts: Vec<Adjust> = with_stock.iter().map(|entry| receipt(&entry.value, delivery)).collect();
        if receipts.is_empty() {
            continue;
        }
        let adjusted: Vec<Adjusted> =
            accepted(with_stock.iter().copied(), adjust(connection, receipts).await)?;
        for (Entry { value: (_, quantity), .. }, adjusted) in with_stock.iter().zip(adjusted) {
            let count = if adjusted.repeated { &mut units.were_in } else { &mut units.came_in };
            *count += u64::from(*quantity);
        }
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

const CUSTOMER_FIELDS: [Field; 5] = [
    Field::required("id"),
    Field::required("name"),
    Field::required("email"),
    Field::optional("phone"),
    Field::required("shipping_address"),
];

fn customer(row: &mut Row<'_>) -> Option<Customer> {
    let id = row.required("id").and_then(|id| parsed_id(row, id));
    let (name, email) = (row.required("name"), row.required("email"));
    let (phone, shipping_address) = (row.optional("phone"), row.required("shipping_address"));
    let customer = Customer {
        id: id?,
        name: name?.to_owned(),
        email: email?.to_owned(),
        phone: phone.map(str::to_owned),
        shipping_address: shipping_address?.to_owned(),
    };
    if let Some(error) = customer.validate() {
        row.problem(error.message);
    }
    Some(customer)
}

async fn customers(file: &Path, system: SystemConfig) -> anyhow::Result<()> {
    let entries = table::read(file, &CUSTOMER_FIELDS, customer)?;
    let put = system.connect().await?.run(async |connection| {
        for batch in entries.chunks(BATCH) {
            let customers = batch.iter().map(|entry| entry.value.clone()).collect();
            accepted::<_, Customer>(batch, connection.call(AdminRequest::PutCustomers(customers)).await)?;
        }
        Ok(())
    });
    put.await?;
    output::print(&format!("imported {}", counted(u64::try_from(entries.len())?, "customer")))
}

/// Returns what the service answered to each record of a batch; reports a refusal with the line of its record.
fn accepted<'a, T: 'a, A>(
    batch: impl IntoIterator<Item = &'a Entry<T>>,
    answer: anyhow::Result<Vec<DomainResult<A>>>,
) -> anyhow::Result<Vec<A>> {
    let again = "not everything was imported; import the file again, nothing is done twice";
    let refused = |line: u64, error: DomainError| anyhow!("line {line}: {}", error.message).context(again);
    let outcomes = answer.context(again)?;
    let entries: Vec<&Entry<T>> = batch.into_iter().collect();
    ensure!(outcomes.len() == entries.len(), "{} of {} records were answered", outcomes.len(), entries.len());
    let answer = |(entry, outcome): (&Entry<T>, DomainResult<A>)| {
        outcome.into_result().map_err(|error| refused(entry.line, error))
    };
    entries.into_iter().zip(outcomes).map(answer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_may_have_a_decimal_comma_where_commas_do_not_separate_fields() {
        let (usd, kwd) = (Currency::USD, "KWD".parse().unwrap());
        let minor = |text, currency, comma| amount(text, currency, comma).map(|money| money.amount_minor);
        assert_eq!(minor("14,50", usd, true), Some(1450));
        assert_eq!(minor("14.50", usd, true), Some(1450));
        assert_eq!(minor("1,450", kwd, true), Some(1450));
        // Neither the comma of an English table, nor what groups thousands.
        assert_eq!(minor("14,50", usd, false), None);
        for grouped in ["1,450", "1,450.00", "1.450,00", "1,450,000"] {
            assert_eq!(minor(grouped, usd, true), None, "{grouped}");
        }
    }

    #[test]
    fn only_units_that_came_in_are_counted_as_such() {
        let units = |came_in, were_in| Units { came_in, were_in }.to_string();
        assert_eq!(units(20, 0), "20 units came in");
        assert_eq!(units(0, 20), "no units came in, 20 units had come in before");
        assert_eq!(units(1, 0), "1 unit came in");
        assert_eq!(units(0, 0), "no units came in");
    }
}
