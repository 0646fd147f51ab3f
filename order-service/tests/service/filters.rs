//! Lists by product, tracking number and time of placing, within a customer's orders and across all customers.

use std::time::Duration;

use schema::cursor::OrderCursor;
use schema::domain_error::{DomainError, DomainErrorCode, DomainResult};
use schema::ids::OrderId;
use schema::order::{Order, OrderStatus};
use schema::order_messages::{Changes, CreateOrder, ListOrders, OrderFilter, OrderPage, OrderScope};
use schema::page::Page;
use schema::pattern::ORDER_LIST;
use schema::time::Timestamp;

use crate::kit::{OrderService, owner, placement, shipped};
use crate::on_both_databases;

on_both_databases!(
    every_filter_lists_what_it_names_page_by_page_both_ways,
    an_order_that_changes_its_status_meanwhile_is_listed_once,
    a_filter_out_of_bounds_or_without_an_index_is_refused,
    rows_by_product_follow_the_orders_through_fences_changes_and_deletion,
);

const PAGE: u32 = 4;

async fn list(service: &OrderService, list: ListOrders) -> Result<OrderPage, DomainError> {
    service.ask_one::<_, DomainResult<OrderPage>>(ORDER_LIST, &list).await.into_result()
}

fn cursor(order: &Order) -> Option<String> {
    let customer_id = order.customer_id.clone();
    Some(OrderCursor { created_at: order.created_at, order_id: order.id, customer_id }.encode())
}

/// Every order of the list, page by page from the newest.
async fn forwards(service: &OrderService, owner: &OrderScope, filter: &OrderFilter) -> Vec<OrderId> {
    let mut listed = Vec::new();
    let mut after = None;
    loop {
        let page = Page { first: Some(PAGE), after, ..Page::default() };
        let page =
            list(service, ListOrders { owner: owner.clone(), filter: filter.clone(), page }).await.unwrap();
        listed.extend(page.orders.iter().map(|order| order.id));
        after = page.orders.last().and_then(cursor);
        if !page.has_next_page {
            return listed;
        }
    }
}

/// Every order of the list, page by page from the oldest.
async fn backwards(service: &OrderService, owner: &OrderScope, filter: &OrderFilter) -> Vec<OrderId> {
    let mut listed = Vec::new();
    let mut before = None;
    loop {
        let page = Page { last: Some(PAGE), before, ..Page::default() };
        let page =
            list(service, ListOrders { owner: owner.clone(), filter: filter.clone(), page }).await.unwrap();
        listed.extend(page.orders.iter().rev().map(|order| order.id));
        before = page.orders.first().and_then(cursor);
        if !page.has_previous_page {
            listed.reverse();
            return listed;
        }
    }
}

fn tracked(number: &str) -> Changes {
    Changes { tracking_number: Some(number.to_owned()), ..shipped() }
}

/// Orders of two customers, two of each moment, of different products, in different statuses.
async fn orders(service: &OrderService, start: Timestamp) -> Vec<Order> {
    let baskets: [&[(&str, u32)]; 4] =
        [&[("MUG", 1)], &[("TRAY", 1)], &[("MUG", 1), ("TRAY", 1)], &[("RARE", 9)]];
    let placement = |number: u64| CreateOrder {
        placed_at: start.plus(Duration::from_secs(number / 2)),
        ..placement(["CUST01", "CUST02"][number as usize % 3 / 2], baskets[number as usize % 4])
    };
    let placements: Vec<CreateOrder> = (0..40).map(placement).collect();
    let batch: Vec<_> = placements.iter().map(|placement| service.command(placement.clone())).collect();
    service.deliver(&batch).await;
    for (number, CreateOrder { order_id, .. }) in placements.iter().enumerate() {
        match number % 10 {
            _ if number % 4 == 3 => {} // REJECTED
            0 => drop(service.cancel(*order_id).await.unwrap()),
            1 | 2 => drop(service.update(*order_id, tracked(["A", "B"][number / 10 % 2])).await.unwrap()),
            4 => drop(service.delete(*order_id).await.unwrap()),
            _ => {}
        }
    }
    let mut orders = Vec::new();
    for CreateOrder { order_id, .. } in placements {
        orders.extend(service.get(order_id).await);
    }
    orders.sort_by_key(|order| std::cmp::Reverse((order.created_at, order.id)));
    orders
}

async fn every_filter_lists_what_it_names_page_by_page_both_ways(service: OrderService) {
    let start = placement("CUST01", &[]).placed_at;
    let orders = orders(&service, start).await;
    let at = |second| Some(start.plus(Duration::from_secs(second)));
    use OrderStatus::{Cancelled, Processing, Rejected, Shipped};
    let text = |text: &str| Some(text.to_owned());
    let product = |id: &str| Some(id.parse().unwrap());
    let mut not_empty = 0;
    for scope in [OrderScope::Any, owner("CUST01"), owner("CUST02")] {
        for statuses in
            [None, Some(vec![]), Some(vec![Shipped]), Some(vec![Processing, Cancelled, Rejected, Cancelled])]
        {
            for (product_id, tracking_number) in [
                (None, None),
                (product("MUG"), None),
                (product("RARE"), None),
                (product("NO SUCH PRODUCT"), None),
                (None, text("A")),
                (None, text("a")),
            ] {
                for (placed_from, placed_before) in [
                    (None, None),
                    (at(5), None),
                    (None, at(15)),
                    (at(3), at(17)),
                    (at(8), at(8)),
                    (at(9), at(2)),
                ] {
                    let filter = OrderFilter {
                        statuses: statuses.clone(),
                        product_id: product_id.clone(),
                        tracking_number: tracking_number.clone(),
                        placed_from,
                        placed_before,
                    };
                    let expected = orders
                        .iter()
                        .filter(|order| scope.includes(&order.customer_id) && filter.includes(order));
                    let expected: Vec<OrderId> = expected.map(|order| order.id).collect();
                    assert_eq!(forwards(&service, &scope, &filter).await, expected, "{scope:?} {filter:?}");
                    assert_eq!(backwards(&service, &scope, &filter).await, expected, "{scope:?} {filter:?}");
                    not_empty += usize::from(!expected.is_empty());
                }
            }
        }
    }
    assert!(not_empty > 60, "{not_empty} lists have orders");
}

async fn an_order_that_changes_its_status_meanwhile_is_listed_once(service: OrderService) {
    const ORDERS: usize = 30;
    let batch: Vec<_> = (0..ORDERS).map(|_| service.command(placement("CUST01", &[("MUG", 1)]))).collect();
    service.deliver(&batch).await;
    let everything = ListOrders {
        owner: OrderScope::Any,
        filter: OrderFilter::default(),
        page: Page { first: Some(100), ..Page::default() },
    };
    let ids: Vec<OrderId> =
        list(&service, everything.clone()).await.unwrap().orders.iter().map(|order| order.id).collect();
    assert_eq!(ids.len(), ORDERS);
    let moving = OrderFilter {
        statuses: Some(vec![OrderStatus::Shipped, OrderStatus::Processing]),
        ..OrderFilter::default()
    };
    let of_product = OrderFilter { product_id: Some("MUG".parse().unwrap()), ..OrderFilter::default() };
    let shipping = async {
        for &id in &ids {
            service.update(id, shipped()).await.unwrap();
        }
    };
    let listing = async {
        loop {
            for filter in [&moving, &of_product] {
                let page = list(&service, ListOrders { filter: filter.clone(), ..everything.clone() })
                    .await
                    .unwrap();
                let listed: Vec<OrderId> = page.orders.iter().map(|order| order.id).collect();
                assert_eq!(listed, ids, "{filter:?}");
            }
        }
    };
    tokio::select! {
        () = shipping => {}
        () = listing => {}
    }
}

async fn a_filter_out_of_bounds_or_without_an_index_is_refused(service: OrderService) {
    let number =
        |text: &str| OrderFilter { tracking_number: Some(text.to_owned()), ..OrderFilter::default() };
    let both = OrderFilter { product_id: Some("MUG".parse().unwrap()), ..number("A") };
    for (filter, message) in [
        (number(""), "trackingNumber must not be empty"),
        (number(&"9".repeat(101)), "trackingNumber must have at most 100 characters"),
        (number("A\0"), "trackingNumber must not contain control characters"),
        (both, "give productId or trackingNumber, not both"),
    ] {
        let refused =
            list(&service, ListOrders { owner: OrderScope::Any, filter, page: Page::default() }).await;
        let refused = refused.unwrap_err();
        assert_eq!((refused.code, refused.message.as_str()), (DomainErrorCode::InvalidInput, message));
    }
}

/// What `order_products` has to hold, by the tables that it repeats.
const EXPECTED: &str = "SELECT o.id, l.product_id, o.customer_id, o.status, o.created_at \
    FROM orders o JOIN order_line_items l ON l.order_id = o.id WHERE o.deleted_at IS NULL AND NOT o.fenced";

async fn rows_by_product_follow_the_orders_through_fences_changes_and_deletion(service: OrderService) {
    let start = placement("CUST01", &[]).placed_at;
    orders(&service, start).await;
    let fenced = placement("CUST01", &[("MUG", 1), ("TRAY", 1)]);
    service.settle(fenced.order_id, 1).await;
    service.place(fenced.clone()).await.unwrap();
    service.settle(OrderId(uuid::Uuid::now_v7()), 1).await;
    service.backends.state().inventory = crate::backends::Mood::Away;
    let pending = service.order(&[("MUG", 1)]).await;
    assert_eq!(pending.status, OrderStatus::Pending);
    service.backends.state().inventory = crate::backends::Mood::Answers;
    assert_eq!(service.retry_until_settled(pending.id).await.status, OrderStatus::Processing);

    let kept = "SELECT order_id, product_id, customer_id, status, created_at FROM order_products";
    for (of, than) in [(kept, EXPECTED), (EXPECTED, kept)] {
        assert_eq!(service.count(&format!("({of} EXCEPT {than}) AS more")).await, 0, "{of}");
    }
    let (kept, expected) =
        (service.count("order_products").await, service.count(&format!("({EXPECTED}) AS expected")).await);
    assert_eq!(kept, expected);
    assert!(kept > 30, "{kept}");
    let of_fenced = format!(
        "order_products WHERE status = 'PROCESSING' AND order_id = {}",
        id_in_sql(&service, fenced.order_id)
    );
    assert_eq!(service.count(&of_fenced).await, 2);
}

fn id_in_sql(service: &OrderService, id: OrderId) -> String {
    if service.is_on_sqlite() { format!("x'{}'", id.0.simple()) } else { format!("'{}'", id.0) }
}
