//! `waybill stock`: receives units, writes them off, and takes products out of the catalogue.

use anyhow::{Context, anyhow, ensure};
use clap::{Args, Subcommand};
use schema::domain_error::DomainResult;
use schema::ids::ProductId;
use schema::inventory_messages::{Adjust, Adjusted};
use schema::limits::validate_text;
use schema::product::Product;
use uuid::Uuid;

use crate::admin::{AdminConnection, AdminRequest};
use crate::infrastructure::SystemArgs;
use crate::output;

const UNITS_MAX: i64 = 1_000_000;
const REASON_MAX_CHARS: usize = 200;
/// The namespace of the ids of named receipts.
const RECEIPTS: Uuid = Uuid::from_u128(0x6f0b_1f52_9c7e_4c1b_8d3a_57a1_6b11_0002);

/// Change what is in stock
#[derive(Args, Debug)]
pub(crate) struct StockArgs {
    #[command(subcommand)]
    command: StockCommand,
}

#[derive(Subcommand, Debug)]
enum StockCommand {
    Receive(ReceiveArgs),
    WriteOff(WriteOffArgs),
    Withdraw(WithdrawArgs),
}

/// Bring units of a product in
///
/// The units can be ordered as soon as the command ends. Works on a running system, on a stopped one (its files in
/// DATA_DIR are opened meanwhile), and with RABBITMQ_URL on the services behind that broker.
#[derive(Args, Debug)]
#[command(after_help = "Example: waybill stock receive PROD01 50 --reason 'delivery 4711' --id 4711")]
struct ReceiveArgs {
    /// Which product
    product: ProductId,
    /// How many units came in
    #[arg(value_parser = clap::value_parser!(i64).range(1..=UNITS_MAX))]
    quantity: i64,
    /// Why, for the ledger
    #[arg(long, value_name = "TEXT", default_value = "received")]
    reason: String,
    /// A name for this receipt; under one name a product's units come in once, however often the command is repeated
    #[arg(long, value_name = "NAME")]
    id: Option<String>,
    #[command(flatten)]
    system: SystemArgs,
}

/// Take units of a product off the stock: lost, broken, or counted too high
///
/// Units that are held for orders can't be taken.
#[derive(Args, Debug)]
#[command(after_help = "Example: waybill stock write-off PROD01 3 --reason 'broken' --id count-2026-11")]
struct WriteOffArgs {
    /// Which product
    product: ProductId,
    /// How many units are gone
    #[arg(value_parser = clap::value_parser!(i64).range(1..=UNITS_MAX))]
    quantity: i64,
    /// Why, for the ledger
    #[arg(long, value_name = "TEXT", default_value = "written off")]
    reason: String,
    /// A name for this correction; under one name a product's units are written off once
    #[arg(long, value_name = "NAME")]
    id: Option<String>,
    #[command(flatten)]
    system: SystemArgs,
}

/// Take a product out of the catalogue
///
/// It can't be ordered any more and is not listed. Orders that have it keep it, and its stock and ledger stay. Importing the
/// product again brings it back.
#[derive(Args, Debug)]
struct WithdrawArgs {
    /// Which product
    product: ProductId,
    #[command(flatten)]
    system: SystemArgs,
}

pub(crate) async fn run(args: StockArgs) -> anyhow::Result<()> {
    match args.command {
        StockCommand::Receive(args) => {
            adjust_one(args.product, args.quantity, args.reason, args.id.as_deref(), &args.system).await
        }
        StockCommand::WriteOff(args) => {
            adjust_one(args.product, -args.quantity, args.reason, args.id.as_deref(), &args.system).await
        }
        StockCommand::Withdraw(args) => withdraw(args).await,
    }
}

async fn adjust_one(
    product: ProductId,
    by: i64,
    reason: String,
    name: Option<&str>,
    system: &SystemArgs,
) -> anyhow::Result<()> {
    if let Some(fault) = validate_text(&reason, REASON_MAX_CHARS, false) {
        return Err(anyhow!("--reason {fault}"));
    }
    let adjustment_id = adjustment_id(name, by, &product);
    let adjustment = Adjust { adjustment_id, product_id: product, by, reason };
    let connection = system.checked()?.connect().await?;
    let mut adjusted = connection.run(async |connection| adjust(connection, vec![adjustment]).await).await?;
    let adjusted = adjusted.pop().context("inventory-service answered nothing")?;
    let Adjusted { product, repeated } = adjusted.into_result().map_err(|error| anyhow!(error.message))?;
    let repeated = if repeated { "; nothing changed, this was done before" } else { "" };
    output::print(&format!(
        "{} ({}): {} available{repeated}",
        product.id, product.name, product.available_quantity
    ))
}

async fn withdraw(args: WithdrawArgs) -> anyhow::Result<()> {
    let request = AdminRequest::WithdrawProducts(vec![args.product]);
    let connection = args.system.checked()?.connect().await?;
    let mut withdrawn: Vec<DomainResult<Product>> =
        connection.run(async |connection| connection.call(request).await).await?;
    let product = withdrawn.pop().context("inventory-service answered nothing")?;
    let product = product.into_result().map_err(|error| anyhow!(error.message))?;
    output::print(&format!("{} ({}) can't be ordered any more", product.id, product.name))
}

/// Makes all adjustments of the stock; the results have their order.
pub(crate) async fn adjust(
    connection: &AdminConnection,
    adjustments: Vec<Adjust>,
) -> anyhow::Result<Vec<DomainResult<Adjusted>>> {
    let count = adjustments.len();
    let adjusted: Vec<_> = connection.call(AdminRequest::AdjustStock(adjustments)).await?;
    ensure!(adjusted.len() == count, "inventory-service answered {} of {count}", adjusted.len());
    Ok(adjusted)
}

/// Returns an adjustment's id: always the same for one name and product, random without a name. A receipt and a correction
/// of one name are two.
fn adjustment_id(name: Option<&str>, by: i64, product: &ProductId) -> Uuid {
    let kind = if by < 0 { "written off" } else { "named" };
    match name {
        Some(name) => Uuid::new_v5(&RECEIPTS, format!("{kind}|{}:{name}|{product}", name.len()).as_bytes()),
        None => Uuid::new_v4(),
    }
}

/// Returns the id of imported units: of a product in a named delivery, or of a product's opening stock.
pub(crate) fn delivery_id(name: Option<&str>, product: &ProductId) -> Uuid {
    match name {
        Some(_) => adjustment_id(name, 1, product),
        None => Uuid::new_v5(&RECEIPTS, format!("opening|{product}").as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_receipt_is_one_and_nameless_ones_are_many() {
        let (mug, tray): (ProductId, ProductId) = ("PROD01".parse().unwrap(), "PROD02".parse().unwrap());
        let id = |name, by, product| adjustment_id(name, by, product);
        assert_eq!(id(Some("4711"), 1, &mug), id(Some("4711"), 5, &mug));
        assert_ne!(id(Some("4711"), 1, &mug), id(Some("4711"), 1, &tray));
        assert_ne!(id(Some("4711"), 1, &mug), id(Some("4712"), 1, &mug));
        assert_ne!(id(Some("4711"), 1, &mug), id(Some("4711"), -1, &mug));
        assert_ne!(id(None, 1, &mug), id(None, 1, &mug));
    }

    #[test]
    fn opening_stock_comes_in_once() {
        let mug: ProductId = "PROD01".parse().unwrap();
        assert_eq!(delivery_id(None, &mug), delivery_id(None, &mug));
        assert_ne!(delivery_id(None, &mug), delivery_id(Some("4711"), &mug));
    }
}
