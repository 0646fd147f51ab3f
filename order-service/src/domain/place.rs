//! Decides new orders by their input and by the checked facts about customer and stock.

use std::collections::HashMap;

use schema::ids::ProductId;
use schema::inventory_messages::ReservedItem;
use schema::money::{Currency, Money};
use schema::order::{LineItem, Order, OrderStatus, Rejection, RejectionCode, Shortfall};

/// Products named in one rejection message.
const NAMED_PRODUCTS: usize = 3;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckedFacts {
    /// customer-service has not answered.
    Nothing,
    UnknownCustomer,
    Customer {
        /// The address of orders that name none.
        address: String,
        /// inventory-service's answer, if there is one yet.
        stock: Option<Stock>,
    },
    /// The order has been PENDING for too long.
    Expired,
}

/// inventory-service's answer about an order's stock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stock {
    /// Everything is held, at these names and prices.
    Held(Vec<ReservedItem>),
    /// Nothing is held: some products are short.
    Short { shortfalls: Vec<Shortfall>, items: Vec<ReservedItem> },
    /// Nothing is held: these products are not in the catalogue.
    Unknown(Vec<ProductId>),
}

/// Decides a PENDING order by the facts: it becomes PROCESSING, REJECTED, or stays PENDING. Its version and times stay.
pub fn decide(mut order: Order, facts: &CheckedFacts) -> Order {
    let rejection = match facts {
        CheckedFacts::Nothing => None,
        CheckedFacts::UnknownCustomer => {
            let message = format!("there is no customer {}", order.customer_id);
            Some(rejection(RejectionCode::UnknownCustomer, message))
        }
        CheckedFacts::Expired => {
            let message = "the order could not be confirmed in time".to_owned();
            Some(rejection(RejectionCode::Expired, message))
        }
        CheckedFacts::Customer { address, stock } => {
            order.shipping_address.get_or_insert_with(|| address.clone());
            match stock {
                None => None,
                Some(Stock::Held(items)) => {
                    // Waiting would not help an order that can't be priced: it is refused, and its event releases the stock.
                    match price(&mut order, items) {
                        Ok(()) => {
                            order.status = OrderStatus::Processing;
                            None
                        }
                        Err(reason) => Some(rejection(RejectionCode::UnknownProduct, reason.to_string())),
                    }
                }
                Some(Stock::Short { shortfalls, items }) => {
                    // It is refused anyway: prices only make the refusal easier to read.
                    let _ = price(&mut order, items);
                    Some(out_of_stock(&order, shortfalls))
                }
                Some(Stock::Unknown(product_ids)) => {
                    let names = product_ids.iter().map(ProductId::to_string);
                    let message = format!("the catalogue doesn't have {}", listed(names, product_ids.len()));
                    Some(rejection(RejectionCode::UnknownProduct, message))
                }
            }
        }
    };
    if rejection.is_some() {
        order.status = OrderStatus::Rejected;
        order.rejection = rejection;
    }
    order
}

/// Why an order can't be priced, for the customer to read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Unpriceable {
    #[error("there is no price for {0}")]
    NoPrice(ProductId),
    #[error("the products' prices are in different currencies: {0} and {1}")]
    Currencies(Currency, Currency),
    #[error("the total is more than an order can have")]
    TooMuch,
}

/// Sets names, prices and the total; changes nothing if there is no total.
fn price(order: &mut Order, items: &[ReservedItem]) -> Result<(), Unpriceable> {
    let by_product: HashMap<&ProductId, &ReservedItem> =
        items.iter().map(|item| (&item.product_id, item)).collect();
    let priced = |line: &LineItem| {
        let item = by_product.get(&line.product_id);
        let item = item.ok_or_else(|| Unpriceable::NoPrice(line.product_id.clone()))?;
        let amount = item.unit_price.times(line.quantity).ok_or(Unpriceable::TooMuch)?;
        let (product_name, unit_price) = (Some(item.name.clone()), Some(item.unit_price));
        Ok((LineItem { product_name, unit_price, ..line.clone() }, amount))
    };
    let priced: Result<Vec<_>, Unpriceable> = order.line_items.iter().map(priced).collect();
    let (line_items, amounts): (Vec<LineItem>, Vec<Money>) = priced?.into_iter().unzip();
    order.total_amount = Some(total(&amounts)?);
    order.line_items = line_items;
    Ok(())
}

fn total(amounts: &[Money]) -> Result<Money, Unpriceable> {
    let currency = amounts.first().ok_or(Unpriceable::TooMuch)?.currency;
    if let Some(other) = amounts.iter().find(|amount| amount.currency != currency) {
        return Err(Unpriceable::Currencies(currency, other.currency));
    }
    Money::sum(currency, amounts.iter().copied()).ok_or(Unpriceable::TooMuch)
}

fn out_of_stock(order: &Order, shortfalls: &[Shortfall]) -> Rejection {
    let named = shortfalls.iter().map(|shortfall| {
        let line = order.line_items.iter().find(|line| line.product_id == shortfall.product_id);
        let name = line.and_then(|line| line.product_name.as_deref());
        let name = name.unwrap_or(shortfall.product_id.as_str());
        format!("{name} ({} available, {} asked for)", shortfall.available, shortfall.requested)
    });
    let message = format!("not enough in stock: {}", listed(named, shortfalls.len()));
    Rejection { code: RejectionCode::OutOfStock, message, shortfalls: shortfalls.to_vec() }
}

/// Lists the first few names, and how many more there are.
fn listed(names: impl Iterator<Item = String>, count: usize) -> String {
    let mut text = names.take(NAMED_PRODUCTS).collect::<Vec<_>>().join(", ");
    if count > NAMED_PRODUCTS {
        text.push_str(&format!(" and {} more", count - NAMED_PRODUCTS));
    }
    text
}

fn rejection(code: RejectionCode, message: String) -> Rejection {
    Rejection { code, message, shortfalls: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::order_messages::{CreateOrder, Item};
    use schema::time::Timestamp;

    fn product(id: &str) -> ProductId {
        id.parse().unwrap()
    }

    fn placement(address: Option<&str>) -> CreateOrder {
        CreateOrder {
            order_id: "019ab1f0-7b2a-7c3d-8e4f-5a6b7c8d9e0f".parse().unwrap(),
            customer_id: "CUST01".parse().unwrap(),
            items: vec![
                Item { product_id: product("PROD01"), quantity: 2 },
                Item { product_id: product("PROD02"), quantity: 1 },
            ],
            shipping_address: address.map(str::to_owned),
            idempotency_key: None,
            placed_at: now(),
        }
    }

    fn now() -> Timestamp {
        "2026-11-23T19:10:51.371Z".parse().unwrap()
    }

    fn reserved(id: &str, quantity: u32, amount_minor: i64) -> ReservedItem {
        let unit_price = Money { amount_minor, currency: Currency::USD };
        ReservedItem { product_id: product(id), quantity, name: format!("Thing {id}"), unit_price }
    }

    fn items() -> Vec<ReservedItem> {
        vec![reserved("PROD02", 1, 5000), reserved("PROD01", 2, 1450)]
    }

    fn found(stock: Option<Stock>) -> CheckedFacts {
        CheckedFacts::Customer { address: "1 Harbour Street".to_owned(), stock }
    }

    fn placed(facts: &CheckedFacts) -> Order {
        decide(placement(None).pending_order(1, now()), facts)
    }

    #[test]
    fn held_stock_makes_it_processing_with_prices_and_total() {
        let order = placed(&found(Some(Stock::Held(items()))));
        assert_eq!(order.status, OrderStatus::Processing);
        assert_eq!(order.total_amount.unwrap().amount_minor, 7900);
        assert_eq!(order.line_items[0].product_name.as_deref(), Some("Thing PROD01"));
        assert_eq!(order.shipping_address.as_deref(), Some("1 Harbour Street"));
        assert_eq!((order.version, order.rejection), (1, None));
    }

    #[test]
    fn too_little_stock_rejects_it_with_prices_and_shortfalls() {
        let shortfall = Shortfall { product_id: product("PROD01"), requested: 2, available: 1 };
        let stock = Stock::Short { shortfalls: vec![shortfall.clone()], items: items() };
        let order = placed(&found(Some(stock)));
        let rejection = order.rejection.unwrap();
        assert_eq!((order.status, rejection.code), (OrderStatus::Rejected, RejectionCode::OutOfStock));
        assert_eq!(rejection.message, "not enough in stock: Thing PROD01 (1 available, 2 asked for)");
        assert_eq!(rejection.shortfalls, [shortfall]);
        assert_eq!(order.total_amount.unwrap().amount_minor, 7900);
    }

    #[test]
    fn what_can_not_be_known_rejects_it_without_prices() {
        let many = (1..=5).map(|n| product(&format!("P{n}"))).collect();
        for (facts, code, message) in [
            (CheckedFacts::UnknownCustomer, RejectionCode::UnknownCustomer, "there is no customer CUST01"),
            (
                found(Some(Stock::Unknown(many))),
                RejectionCode::UnknownProduct,
                "the catalogue doesn't have P1, P2, P3 and 2 more",
            ),
            (CheckedFacts::Expired, RejectionCode::Expired, "the order could not be confirmed in time"),
        ] {
            let order = placed(&facts);
            let rejection = order.rejection.unwrap();
            assert_eq!((order.status, rejection.code), (OrderStatus::Rejected, code));
            assert_eq!(rejection.message, message);
            assert_eq!(order.total_amount, None);
        }
    }

    #[test]
    fn until_both_have_answered_it_is_pending() {
        let nothing = placed(&CheckedFacts::Nothing);
        assert_eq!((nothing.status, nothing.shipping_address), (OrderStatus::Pending, None));
        let customer = placed(&found(None));
        assert_eq!(customer.status, OrderStatus::Pending);
        assert_eq!(customer.shipping_address.as_deref(), Some("1 Harbour Street"));
    }

    #[test]
    fn the_address_given_is_kept() {
        let draft = placement(Some("2 Hill Road")).pending_order(1, now());
        assert_eq!(decide(draft, &found(None)).shipping_address.as_deref(), Some("2 Hill Road"));
    }

    #[test]
    fn what_can_never_be_priced_rejects_it_at_once() {
        let euro = |mut item: ReservedItem| {
            item.unit_price.currency = "EUR".parse().unwrap();
            item
        };
        for (items, message) in [
            (
                vec![reserved("PROD01", 2, i64::MAX), reserved("PROD02", 1, 1)],
                "the total is more than an order can have",
            ),
            (
                vec![reserved("PROD01", 2, i64::MAX / 2), reserved("PROD02", 1, 2)],
                "the total is more than an order can have",
            ),
            (
                vec![reserved("PROD01", 2, 1450), euro(reserved("PROD02", 1, 5000))],
                "the products' prices are in different currencies: USD and EUR",
            ),
            (vec![reserved("PROD01", 2, 1450)], "there is no price for PROD02"),
        ] {
            let order = placed(&found(Some(Stock::Held(items))));
            let rejection = order.rejection.unwrap();
            assert_eq!((order.status, order.total_amount), (OrderStatus::Rejected, None));
            assert_eq!(
                (rejection.code, rejection.message.as_str()),
                (RejectionCode::UnknownProduct, message)
            );
            assert!(order.line_items.iter().all(|line| line.unit_price.is_none()));
        }
    }
}
