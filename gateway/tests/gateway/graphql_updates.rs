//! Subscriptions: who sees which updates, and what an update says.

use futures::StreamExt;
use schema::cursor::UpdateCursor;
use schema::order::OrderStatus;
use serde_json::{Value, json};

use crate::kit::live_api::{Updates, live_api, next, next_version, refused, started, versions};
use crate::kit::{ada, errors, internal_failure, unavailable, viewer, warehouse};

#[tokio::test]
async fn an_update_says_what_happened() {
    let live = live_api().await;
    let query = "subscription { orderUpdated { cursor kind orderId version status previousStatus occurredAt
        order { id version status lineItems { quantity } } } }";
    let mut updates = started(live.test.subscribe(ada(), query)).await;
    let order = live.test.placed("CUST01", "PROD01");
    live.test.services.data.lock().unwrap().change(order.id, |order| order.status = OrderStatus::Cancelled);
    live.test.services.data.lock().unwrap().delete(order.id);
    live.publish_after(0).await;
    let id = order.id.to_string();
    let update = |kind: &str, version: u32, status: &str, previous: Value, order: Value| {
        json!({"data": {"orderUpdated": {
            "cursor": UpdateCursor { order_id: id.parse().unwrap(), version }.encode(), "kind": kind, "orderId": id,
            "version": version, "status": status, "previousStatus": previous,
            "occurredAt": "2026-11-23T19:10:51.371Z", "order": order}}})
    };
    let shown = |version: u32, status: &str| json!({"id": id, "version": version, "status": status, "lineItems": [{"quantity": 2}]});
    let created = update("CREATED", 1, "PROCESSING", Value::Null, shown(1, "PROCESSING"));
    assert_eq!(next(&mut updates).await, created);
    let cancelled = update("STATUS_CHANGED", 2, "CANCELLED", json!("PROCESSING"), shown(2, "CANCELLED"));
    assert_eq!(next(&mut updates).await, cancelled);
    assert_eq!(next(&mut updates).await, update("DELETED", 3, "CANCELLED", Value::Null, Value::Null));
}

#[tokio::test]
async fn a_subscriber_sees_only_what_it_may_and_wants() {
    let live = live_api().await;
    let mut earlier = live.watch(ada(), "").await;
    let watched = live.test.placed("CUST01", "PROD01").id;
    live.publish_after(0).await;
    next(&mut earlier).await;
    let of_order = format!("(orderId: \"{watched}\")");
    let mut own = live.watch(ada(), "").await;
    let mut one = live.watch(ada(), &of_order).await;
    let mut both = live.watch(ada(), &format!("(orderId: \"{watched}\", customerId: \"CUST01\")")).await;
    let mut stranger = live.watch(viewer("CUST02", "orders:read"), &of_order).await;
    let mut staff = live.watch(warehouse(), &of_order).await;
    let mut staff_of_other = live.watch(warehouse(), "(customerId: \"CUST02\")").await;
    let mut wrong_pair =
        live.watch(warehouse(), &format!("(orderId: \"{watched}\", customerId: \"CUST02\")")).await;
    let other = live.test.placed("CUST02", "PROD01").id;
    let own_other = live.test.placed("CUST01", "PROD01").id;
    live.touch(watched);
    live.publish_after(1).await;
    let ids = async |updates: &mut Updates, count: usize| {
        let mut ids = Vec::new();
        for _ in 0..count {
            ids.push(next(updates).await["data"]["orderUpdated"]["orderId"].as_str().unwrap().to_owned());
        }
        ids
    };
    assert_eq!(ids(&mut own, 2).await, [own_other.to_string(), watched.to_string()]);
    for updates in [&mut one, &mut both, &mut staff] {
        assert_eq!(ids(updates, 1).await, [watched.to_string()]);
    }
    assert_eq!(ids(&mut staff_of_other, 1).await, [other.to_string()]);
    for updates in
        [&mut own, &mut one, &mut both, &mut stranger, &mut staff, &mut staff_of_other, &mut wrong_pair]
    {
        assert!(futures::poll!(updates.next()).is_pending());
    }
}

#[tokio::test]
async fn a_warehouse_sees_the_updates_of_all_customers_in_order_and_resumes_anywhere_among_them() {
    let live = live_api().await;
    let mut all = live.watch(warehouse(), "(allCustomers: true)").await;
    let mut own = live.watch(warehouse(), "(allCustomers: false)").await;
    let customers = ["CUST01", "CUST02", "STRANGER"];
    let orders = customers.map(|customer| live.test.placed(customer, "PROD01").id);
    for index in [2, 0, 1, 1, 2] {
        live.touch(orders[index]);
    }
    live.publish_after(0).await;
    let expected: Vec<(String, i64)> = [(0, 1), (1, 1), (2, 1), (2, 2), (0, 2), (1, 2), (1, 3), (2, 3)]
        .map(|(index, version)| (orders[index].to_string(), version))
        .into();
    let mut cursors = Vec::new();
    for expected in &expected {
        let update = next(&mut all).await["data"]["orderUpdated"].clone();
        let seen = (update["orderId"].as_str().unwrap().to_owned(), update["version"].as_i64().unwrap());
        assert_eq!(seen, *expected);
        cursors.push(update["cursor"].as_str().unwrap().to_owned());
    }
    for updates in [&mut all, &mut own] {
        assert!(futures::poll!(updates.next()).is_pending());
    }
    for (seen, cursor) in cursors.iter().enumerate() {
        let mut resumed =
            live.watch(warehouse(), &format!("(allCustomers: true, after: \"{cursor}\")")).await;
        for (order_id, version) in &expected[seen + 1..] {
            let update = next(&mut resumed).await["data"]["orderUpdated"].clone();
            assert_eq!((&update["orderId"], &update["version"]), (&json!(order_id), &json!(version)));
        }
        assert!(futures::poll!(resumed.next()).is_pending());
    }
    let mut one = live.watch(warehouse(), &format!("(allCustomers: true, orderId: \"{}\")", orders[1])).await;
    let before = live.head();
    live.touch(orders[0]);
    live.touch(orders[1]);
    live.publish_after(before).await;
    assert_eq!(versions(&mut all, 2).await, [3, 4]);
    assert_eq!(versions(&mut one, 1).await, [4]);
    assert!(futures::poll!(one.next()).is_pending());
}

#[tokio::test]
async fn a_warehouse_that_reads_slowly_misses_nothing_of_any_customer() {
    let live = live_api().await;
    let mut all = live.watch(warehouse(), "(allCustomers: true)").await;
    let orders = ["CUST01", "CUST02"].map(|customer| live.test.placed(customer, "PROD01").id);
    // Far more than the subscription's queue holds.
    for _ in 0..300 {
        for order in orders {
            live.touch(order);
        }
    }
    live.publish_after(0).await;
    let expected: Vec<i64> = (1..=301).flat_map(|version| [version, version]).collect();
    assert_eq!(versions(&mut all, 602).await, expected);
    let before = live.head();
    live.touch(orders[0]);
    live.publish_after(before).await;
    assert_eq!(next_version(&mut all).await, 302);
    assert!(futures::poll!(all.next()).is_pending());
}

#[tokio::test]
async fn what_may_not_be_watched_is_refused() {
    let live = live_api().await;
    let cases = [
        (None, "", "UNAUTHENTICATED"),
        (viewer("CUST01", "orders:write"), "", "FORBIDDEN"),
        (ada(), "(customerId: \"CUST02\")", "FORBIDDEN"),
        (ada(), "(allCustomers: true)", "FORBIDDEN"),
        (viewer("WAREHOUSE", "orders:all"), "(allCustomers: true)", "FORBIDDEN"),
        (warehouse(), "(allCustomers: true, customerId: \"CUST01\")", "BAD_USER_INPUT"),
        (ada(), "(orderId: \"no id\")", "BAD_USER_INPUT"),
        (warehouse(), "(customerId: \"\")", "BAD_USER_INPUT"),
        (ada(), "(after: \"\")", "CURSOR_INVALID"),
        (ada(), "(after: \"bm90IGEgY3Vyc29y\")", "CURSOR_INVALID"),
    ];
    for (caller, arguments, code) in cases {
        let extensions = refused(live.watch(caller, arguments).await).await;
        assert_eq!(extensions["code"], code, "{arguments}");
        assert_eq!(extensions.get("retryable"), None, "{arguments}");
    }
}

const NESTED: &str =
    "subscription { orderUpdated { version order { customer { name } lineItems { product { id } } } } }";

#[tokio::test]
async fn an_update_whose_nested_fields_fail_for_a_while_is_resolved_again() {
    let live = live_api().await;
    let mut updates = started(live.test.subscribe(ada(), NESTED)).await;
    live.test.services.fail_times("customer.get", unavailable("customer.get"), 2);
    live.test.placed("CUST01", "PROD01");
    live.publish_after(0).await;
    let order = json!({"customer": {"name": "Name of CUST01"}, "lineItems": [{"product": {"id": "PROD01"}}]});
    assert_eq!(next(&mut updates).await, json!({"data": {"orderUpdated": {"version": 1, "order": order}}}));
    assert!(futures::poll!(updates.next()).is_pending());
}

#[tokio::test]
async fn an_update_whose_nested_fields_keep_failing_ends_the_operation_before_it() {
    let live = live_api().await;
    let mut updates = started(live.test.subscribe(ada(), NESTED)).await;
    let id = live.test.placed("CUST01", "PROD01").id;
    live.publish_after(0).await;
    assert_eq!(next_version(&mut updates).await, 1);
    live.test.services.fail("inventory.get", unavailable("inventory.get"));
    live.touch(id);
    live.touch(id);
    live.publish_after(1).await;
    let extensions = refused(updates).await;
    assert_eq!(extensions["code"], "SERVICE_UNAVAILABLE");
    assert_eq!(extensions["retryable"], true);
}

#[tokio::test]
async fn a_nested_field_that_a_retry_can_not_help_is_null_and_the_update_is_sent() {
    let live = live_api().await;
    let mut updates = started(live.test.subscribe(ada(), NESTED)).await;
    live.test.services.fail("customer.get", internal_failure());
    live.test.placed("CUST01", "PROD01");
    live.publish_after(0).await;
    let update = next(&mut updates).await;
    let path = "orderUpdated.order.customer".to_owned();
    assert_eq!(errors(&update), [("INTERNAL_SERVER_ERROR".to_owned(), path)]);
    let order = json!({"customer": null, "lineItems": [{"product": {"id": "PROD01"}}]});
    assert_eq!(update["data"], json!({"orderUpdated": {"version": 1, "order": order}}));
}

#[tokio::test]
async fn each_update_is_resolved_afresh() {
    let live = live_api().await;
    let query = "subscription { orderUpdated { order { lineItems { product { availableQuantity } } } } }";
    let mut updates = started(live.test.subscribe(ada(), query)).await;
    let id = live.test.placed("CUST01", "PROD01").id;
    for quantity in [100, 7] {
        let product_id = "PROD01".parse().unwrap();
        live.test.services.data.lock().unwrap().products.get_mut(&product_id).unwrap().available_quantity =
            quantity;
        let before = live.head() - 1;
        live.publish_after(before).await;
        let lines = json!([{"product": {"availableQuantity": quantity}}]);
        assert_eq!(
            next(&mut updates).await,
            json!({"data": {"orderUpdated": {"order": {"lineItems": lines}}}})
        );
        live.touch(id);
    }
}

#[tokio::test]
async fn an_order_that_does_not_exist_yet_can_be_watched() {
    let live = live_api().await;
    let placement = crate::kit::services::ServiceData::placement("CUST01", "PROD01");
    let mut updates = live.watch(ada(), &format!("(orderId: \"{}\")", placement.order_id)).await;
    live.test.services.data.lock().unwrap().place(&placement);
    live.publish_after(0).await;
    assert_eq!(next_version(&mut updates).await, 1);
}
