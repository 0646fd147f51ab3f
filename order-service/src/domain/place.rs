//! Placing an order: from what was asked for, and what was found out about customer and stock.

use std::collections::HashMap;

use schema::ids::ProductId;
use schema::inventory_messages::ReservedItem;
use schema::money::Money;
use schema::order::{LineItem, Order, OrderStatus, Rejection, RejectionCode, Shortfall};

/// Products named in one message to a customer.
const NAMED_PRODUCTS: usize = 3;

/// What is known of an order that is to be placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// Something that it takes doesn't answer.
    Nothing,
    /// There is no such customer.
    UnknownCustomer,
    /// The customer exists.
    Customer {
        /// Where their orders go that name no address.
        address: String,
        /// What inventory says of the stock, if anything yet.
        stock: Option<Stock>,
    },
    /// It has waited for longer than the shop allows.
    Expired,
}

/// What inventory says of an order's stock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stock {
    /// Everything is held, at these names and prices.
    Held(Vec<ReservedItem>),
    /// Nothing is held: there is too little.
    Short {
        /// What was missing.
        shortfalls: Vec<Shortfall>,
        /// Names and prices of everything asked for.
        items: Vec<ReservedItem>,
    },
    /// Nothing is held: the catalogue has no such products.
    Unknown(Vec<ProductId>),
}

/// The PENDING order as `finding` makes it: PROCESSING, REJECTED, or still PENDING. Its version and times stay.
pub fn decide(mut order: Order, finding: &Finding) -> Order {
    match finding {
        Finding::Nothing => {}
        Finding::UnknownCustomer => reject(&mut order, unknown_customer),
        Finding::Expired => reject(&mut order, |_| {
            plain(RejectionCode::Expired, "the order could not be confirmed in time".to_owned())
        }),
        Finding::Customer { address, stock } => {
            order.shipping_address.get_or_insert_with(|| address.clone());
            match stock {
                None => {}
                // Without a total it stays PENDING, and what is held goes back when it expires.
                Some(Stock::Held(items)) if price(&mut order, items) => {
                    order.status = OrderStatus::Processing;
                }
                Some(Stock::Held(_)) => {}
                Some(Stock::Short { shortfalls, items }) => {
                    price(&mut order, items);
                    reject(&mut order, |order| out_of_stock(order, shortfalls));
                }
                Some(Stock::Unknown(product_ids)) => reject(&mut order, |_| unknown_products(product_ids)),
            }
        }
    }
    order
}

fn reject(order: &mut Order, why: impl FnOnce(&Order) -> Rejection) {
    order.rejection = Some(why(order));
    order.status = OrderStatus::Rejected;
}

/// Sets names, prices and the total, or nothing where a product is missing or the sum is out of range.
fn price(order: &mut Order, items: &[ReservedItem]) -> bool {
    let by_product: HashMap<&ProductId, &ReservedItem> =
        items.iter().map(|item| (&item.product_id, item)).collect();
    let priced: Option<Vec<LineItem>> = order
        .line_items
        .iter()
        .map(|line| {
            let item = by_product.get(&line.product_id)?;
            Some(LineItem {
                product_name: Some(item.name.clone()),
                unit_price: Some(item.unit_price),
                ..line.clone()
            })
        })
        .collect();
    let Some(line_items) = priced else { return false };
    let Some(total) = total(&line_items) else { return false };
    order.line_items = line_items;
    order.total_amount = Some(total);
    true
}

fn total(line_items: &[LineItem]) -> Option<Money> {
    let amounts: Option<Vec<Money>> =
        line_items.iter().map(|line| line.unit_price?.times(line.quantity)).collect();
    let amounts = amounts?;
    let currency = amounts.first()?.currency;
    if amounts.iter().any(|amount| amount.currency != currency) {
        return None;
    }
    Money::sum(currency, amounts)
}

fn unknown_customer(order: &Order) -> Rejection {
    plain(RejectionCode::UnknownCustomer, format!("there is no customer {}", order.customer_id))
}

fn unknown_products(product_ids: &[ProductId]) -> Rejection {
    let names = product_ids.iter().map(ProductId::to_string);
    let message = format!("the catalogue doesn't have {}", listed(names, product_ids.len()));
    plain(RejectionCode::UnknownProduct, message)
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

/// The first few of them, and how many more there are.
fn listed(names: impl Iterator<Item = String>, count: usize) -> String {
    let mut text = names.take(NAMED_PRODUCTS).collect::<Vec<_>>().join(", ");
    if count > NAMED_PRODUCTS {
        text.push_str(&format!(" and {} more", count - NAMED_PRODUCTS));
    }
    text
}

fn plain(code: RejectionCode, message: String) -> Rejection {
    Rejection { code, message, shortfalls: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::money::Currency;
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

    fn found(stock: Option<Stock>) -> Finding {
        Finding::Customer { address: "1 Harbour Street".to_owned(), stock }
    }

    fn placed(finding: &Finding) -> Order {
        decide(placement(None).pending_order(1, now()), finding)
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
        for (finding, code, message) in [
            (Finding::UnknownCustomer, RejectionCode::UnknownCustomer, "there is no customer CUST01"),
            (
                found(Some(Stock::Unknown(many))),
                RejectionCode::UnknownProduct,
                "the catalogue doesn't have P1, P2, P3 and 2 more",
            ),
            (Finding::Expired, RejectionCode::Expired, "the order could not be confirmed in time"),
        ] {
            let order = placed(&finding);
            let rejection = order.rejection.unwrap();
            assert_eq!((order.status, rejection.code), (OrderStatus::Rejected, code));
            assert_eq!(rejection.message, message);
            assert_eq!(order.total_amount, None);
        }
    }

    #[test]
    fn until_both_have_answered_it_is_pending() {
        let nothing = placed(&Finding::Nothing);
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
    fn a_total_beyond_what_money_holds_leaves_it_pending() {
        let dear = vec![reserved("PROD01", 2, i64::MAX), reserved("PROD02", 1, 1)];
        let order = placed(&found(Some(Stock::Held(dear))));
        assert_eq!((order.status, order.total_amount), (OrderStatus::Pending, None));
    }
}
