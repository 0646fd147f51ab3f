use schema::cursor::OrderCursor;
use schema::domain_error::{DomainError, DomainErrorCode, DomainResult};
use schema::ids::OrderId;
use schema::order::{Order, OrderStatus};
use schema::order_messages::{CreateOrder, ListOrders, OrderFilter, OrderPage, OrderScope};
use schema::page::Page;
use schema::pattern::ORDER_LIST;
use std::time::Duration;

use crate::kit::{OrderService, owner, placement};
use crate::on_both_databases;

on_both_databases!(
    pages_go_both_ways_and_stay_stable_while_orders_are_added,
    statuses_narrow_a_page,
    orders_of_one_moment_are_told_apart,
    a_page_out_of_bounds_or_with_a_strange_cursor_is_refused,
    deleted_orders_are_in_no_page,
    a_page_of_long_orders_comes_in_parts_that_a_message_holds,
);

async fn list(service: &OrderService, question: ListOrders) -> Result<OrderPage, DomainError> {
    service.ask_one::<_, DomainResult<OrderPage>>(ORDER_LIST, &question).await.into_result()
}

async fn page(service: &OrderService, page: Page) -> OrderPage {
    list(service, ListOrders { owner: owner("CUST01"), filter: OrderFilter::default(), page }).await.unwrap()
}

fn in_any_of(statuses: Vec<OrderStatus>) -> OrderFilter {
    OrderFilter { statuses: Some(statuses), ..OrderFilter::default() }
}

fn cursor(order: &Order) -> String {
    let customer_id = order.customer_id.clone();
    OrderCursor { created_at: order.created_at, order_id: order.id, customer_id }.encode()
}

/// So many orders, a second apart, the oldest first.
async fn orders(service: &OrderService, count: u64) -> Vec<OrderId> {
    let mut ids = Vec::new();
    let start = placement("CUST01", &[("MUG", 1)]).placed_at;
    for second in 0..count {
        let placed_at = start.plus(Duration::from_secs(second));
        let placed = service.place(CreateOrder { placed_at, ..placement("CUST01", &[("MUG", 1)]) }).await;
        ids.push(placed.unwrap().order.unwrap().id);
    }
    ids
}

fn ids(page: &OrderPage) -> Vec<OrderId> {
    page.orders.iter().map(|order| order.id).collect()
}

async fn pages_go_both_ways_and_stay_stable_while_orders_are_added(service: OrderService) {
    let mut newest_first = orders(&service, 7).await;
    newest_first.reverse();
    service.place(placement("CUST02", &[("MUG", 1)])).await.unwrap();

    let first = page(&service, Page { first: Some(3), ..Page::default() }).await;
    assert_eq!(ids(&first), newest_first[..3]);
    assert!(first.has_next_page && !first.has_previous_page);
    assert_eq!(first.orders[0].line_items.len(), 1);

    let start = first.orders[0].created_at.plus(Duration::from_secs(60));
    service.place(CreateOrder { placed_at: start, ..placement("CUST01", &[("MUG", 1)]) }).await.unwrap();

    let after = Some(cursor(&first.orders[2]));
    let second = page(&service, Page { first: Some(3), after, ..Page::default() }).await;
    assert_eq!(ids(&second), newest_first[3..6]);
    assert!(second.has_next_page && second.has_previous_page);
    let after = Some(cursor(&second.orders[2]));
    let third = page(&service, Page { first: Some(3), after, ..Page::default() }).await;
    assert_eq!(ids(&third), newest_first[6..]);
    assert!(!third.has_next_page);

    let last = page(&service, Page { last: Some(2), ..Page::default() }).await;
    assert_eq!(ids(&last), newest_first[5..]);
    assert!(last.has_previous_page && !last.has_next_page);
    let before = Some(cursor(&last.orders[0]));
    let earlier = page(&service, Page { last: Some(3), before, ..Page::default() }).await;
    assert_eq!(ids(&earlier), newest_first[2..5]);
    assert!(earlier.has_previous_page && earlier.has_next_page);
}

async fn statuses_narrow_a_page(service: OrderService) {
    let ids_by_age = orders(&service, 6).await;
    for cancelled in [1, 3] {
        service.cancel(ids_by_age[cancelled]).await.unwrap();
    }
    service.place(placement("CUST01", &[("RARE", 9)])).await.unwrap();
    let in_statuses = async |statuses: Vec<OrderStatus>, page: Page, owner: OrderScope| {
        list(&service, ListOrders { owner, filter: in_any_of(statuses), page }).await.unwrap()
    };
    use OrderStatus::{Cancelled, Processing};
    let cancelled = in_statuses(vec![Cancelled], Page::default(), owner("CUST01")).await;
    assert_eq!(ids(&cancelled), [ids_by_age[3], ids_by_age[1]]);
    let two = Page { first: Some(3), ..Page::default() };
    let both = in_statuses(vec![Cancelled, Processing, Cancelled], two, OrderScope::Any).await;
    assert_eq!(ids(&both), [ids_by_age[5], ids_by_age[4], ids_by_age[3]]);
    assert!(both.has_next_page);
    let last = Page { last: Some(2), ..Page::default() };
    let oldest = in_statuses(vec![Cancelled, Processing], last, OrderScope::Any).await;
    assert_eq!(ids(&oldest), [ids_by_age[1], ids_by_age[0]]);
    let all = in_statuses(OrderStatus::ALL.to_vec(), Page::default(), OrderScope::Any).await;
    assert_eq!(all.orders.len(), 7);
    let none = in_statuses(vec![], Page::default(), OrderScope::Any).await;
    assert_eq!((none.orders, none.has_next_page), (vec![], false));
}

async fn orders_of_one_moment_are_told_apart(service: OrderService) {
    let moment = placement("CUST01", &[]).placed_at;
    let batch: Vec<_> = (0..5)
        .map(|_| service.command(CreateOrder { placed_at: moment, ..placement("CUST01", &[("MUG", 1)]) }))
        .collect();
    service.deliver(&batch).await;
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = page(&service, Page { first: Some(2), after, ..Page::default() }).await;
        seen.extend(ids(&page));
        after = page.orders.last().map(cursor);
        if !page.has_next_page {
            break;
        }
    }
    let mut distinct = seen.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!((seen.len(), distinct.len()), (5, 5));
}

async fn a_page_out_of_bounds_or_with_a_strange_cursor_is_refused(service: OrderService) {
    let theirs = service.place(placement("CUST02", &[("MUG", 1)])).await.unwrap().order.unwrap();
    for (page, code) in [
        (Page { first: Some(0), ..Page::default() }, DomainErrorCode::InvalidInput),
        (Page { first: Some(101), ..Page::default() }, DomainErrorCode::InvalidInput),
        (Page { first: Some(1), last: Some(1), ..Page::default() }, DomainErrorCode::InvalidInput),
        (Page { after: Some("nonsense".to_owned()), ..Page::default() }, DomainErrorCode::CursorInvalid),
        (Page { before: Some(cursor(&theirs)), ..Page::default() }, DomainErrorCode::CursorInvalid),
    ] {
        let question =
            ListOrders { owner: owner("CUST01"), filter: OrderFilter::default(), page: page.clone() };
        assert_eq!(list(&service, question).await.unwrap_err().code, code, "{page:?}");
    }
}

async fn deleted_orders_are_in_no_page(service: OrderService) {
    let ids_by_age = orders(&service, 3).await;
    service.delete(ids_by_age[1]).await.unwrap();
    let all = page(&service, Page::default()).await;
    assert_eq!(ids(&all), [ids_by_age[2], ids_by_age[0]]);
}

/// Orders at their extremes, 100 lines of long ids and names: each part is cut where a message would be full.
async fn a_page_of_long_orders_comes_in_parts_that_a_message_holds(service: OrderService) {
    let products: Vec<String> = (0..100).map(|number| format!("{number:🏠>64}")).collect();
    for product in &products {
        service.backends.state().stock.insert(product.parse().unwrap(), 1_000);
    }
    let items: Vec<(&str, u32)> = products.iter().map(|product| (product.as_str(), 1)).collect();
    let mut newest_first = Vec::new();
    for _ in 0..50 {
        newest_first.insert(0, service.order(&items).await.id);
    }
    let all = || ListOrders { owner: owner("CUST01"), filter: OrderFilter::default(), page: Page::default() };
    for forwards in [true, false] {
        let (mut found, mut cursor_at) = (Vec::new(), None);
        let mut parts = 0;
        loop {
            let page = match forwards {
                true => Page { first: Some(100), after: cursor_at.clone(), ..Page::default() },
                false => Page { last: Some(100), before: cursor_at.clone(), ..Page::default() },
            };
            let answers: Vec<DomainResult<OrderPage>> =
                service.request(ORDER_LIST, &[ListOrders { page, ..all() }]).await.unwrap();
            assert!(serde_json::to_string(&answers).unwrap().len() <= bus::message::ANSWER_MAX_BYTES);
            let page = answers.into_iter().next().unwrap().into_result().unwrap();
            parts += 1;
            let end = if forwards { page.orders.last() } else { page.orders.first() };
            cursor_at = end.map(cursor);
            let ids = ids(&page);
            if forwards {
                found.extend(ids)
            } else {
                found.splice(..0, ids).for_each(drop)
            }
            if !(if forwards { page.has_next_page } else { page.has_previous_page }) {
                break;
            }
        }
        assert_eq!(found, newest_first);
        assert!((2..10).contains(&parts), "{parts} parts");
    }
    // Several lists in one request share the message, and each gets on.
    let small = || ListOrders { page: Page { first: Some(5), ..Page::default() }, ..all() };
    let answers: Vec<DomainResult<OrderPage>> =
        service.request(ORDER_LIST, &(0..12).map(|_| small()).collect::<Vec<_>>()).await.unwrap();
    let sizes: Vec<usize> =
        answers.into_iter().map(|answer| answer.into_result().unwrap().orders.len()).collect();
    assert!(sizes[0] == 5 && sizes.iter().all(|&size| size >= 1) && sizes.contains(&1), "{sizes:?}");
}
