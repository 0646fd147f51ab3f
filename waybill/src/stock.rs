//! `waybill stock`: adds received units to the stock.

use anyhow::{Context, anyhow, ensure};
use clap::{Args, Subcommand};
use schema::domain_error::DomainResult;
use schema::ids::ProductId;
use schema::inventory_messages::Adjust;
use schema::limits::validate_text;
use schema::product::Product;
use uuid::Uuid;

use crate::admin::{AdminConnection, AdminRequest};
use crate::infrastructure::SystemArgs;
use crate::output;

const RECEIPT_MAX: i64 = 1_000_000;
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
    #[arg(value_parser = clap::value_parser!(i64).range(1..=RECEIPT_MAX))]
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

pub(crate) async fn run(args: StockArgs) -> anyhow::Result<()> {
    let StockCommand::Receive(args) = args.command;
    if let Some(fault) = validate_text(&args.reason, REASON_MAX_CHARS, false) {
        return Err(anyhow!("--reason {fault}"));
    }
    let receipt = Adjust {
        adjustment_id: receipt_id(args.id.as_deref(), &args.product),
        product_id: args.product,
        by: args.quantity,
        reason: args.reason,
    };
    let connection = args.system.checked()?.connect().await?;
    let mut received = connection.run(async |connection| receive(connection, vec![receipt]).await).await?;
    let product = received.pop().context("inventory-service answered nothing")?;
    let product = product.into_result().map_err(|error| anyhow!(error.message))?;
    output::print(&format!("{} ({}): {} available", product.id, product.name, product.available_quantity))
}

/// Adds all receipts to the stock; the results have their order.
pub(crate) async fn receive(
    connection: &AdminConnection,
    receipts: Vec<Adjust>,
) -> anyhow::Result<Vec<DomainResult<Product>>> {
    let count = receipts.len();
    let products: Vec<_> = connection.call(AdminRequest::AdjustStock(receipts)).await?;
    ensure!(products.len() == count, "inventory-service answered {} of {count}", products.len());
    Ok(products)
}

/// Returns a receipt's id: always the same for one name and product, random without a name.
fn receipt_id(name: Option<&str>, product: &ProductId) -> Uuid {
    match name {
        Some(name) => Uuid::new_v5(&RECEIPTS, format!("named|{}:{name}|{product}", name.len()).as_bytes()),
        None => Uuid::new_v4(),
    }
}

/// Returns the id of imported units: of a product in a named delivery, or of a product's opening stock.
pub(crate) fn delivery_id(name: Option<&str>, product: &ProductId) -> Uuid {
    match name {
        Some(_) => receipt_id(name, product),
        None => Uuid::new_v5(&RECEIPTS, format!("opening|{product}").as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_receipt_is_one_and_nameless_ones_are_many() {
        let (mug, tray): (ProductId, ProductId) = ("PROD01".parse().unwrap(), "PROD02".parse().unwrap());
        assert_eq!(receipt_id(Some("4711"), &mug), receipt_id(Some("4711"), &mug));
        assert_ne!(receipt_id(Some("4711"), &mug), receipt_id(Some("4711"), &tray));
        assert_ne!(receipt_id(Some("4711"), &mug), receipt_id(Some("4712"), &mug));
        assert_ne!(receipt_id(None, &mug), receipt_id(None, &mug));
    }

    #[test]
    fn opening_stock_comes_in_once() {
        let mug: ProductId = "PROD01".parse().unwrap();
        assert_eq!(delivery_id(None, &mug), delivery_id(None, &mug));
        assert_ne!(delivery_id(None, &mug), delivery_id(Some("4711"), &mug));
    }
}
