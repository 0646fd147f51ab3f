//! Subscriptions: every update once, in order, whatever is interrupted or slow.

use bus::events::EventSignal;
use bus::heartbeat::Heartbeat;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use gateway::auth::Viewer;
use gateway::subscriptions::SubscriptionSettings;
use schema::cursor::UpdateCursor;
use schema::domain_error::DomainErrorCode;
use schema::ids::OrderId;
use schema::order::OrderStatus;
use serde_json::{Value, json};
use std::time::Duration;
use testkit::eventually;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::kit::{
    TestApi, WAIT_LIMIT, ada, errors, internal_failure, quick_backoff, refusal, test_api, test_api_with,
    test_api_within, unavailable, viewer, warehouse,
};

/// An API that receives only the live events that a test publishes.
struct LiveApi {
    test: TestApi,
    signals: mpsc::Sender<EventSignal>,
    _running: DropGuard,
}

/// An API that receives live events already, and requests the head only if a test says so.
async fn live_api_with(settings: SubscriptionSettings) -> LiveApi {
    let live = not_listening(test_api_with(settings));
    live.signals.send(EventSignal::Listening).await.unwrap();
    live.until_subscriptions_are_available().await;
    live
}

async fn live_api() -> LiveApi {
    live_api_with(SubscriptionSettings {
        head_interval: WAIT_LIMIT,
        backoff: quick_backoff(),
        ..SubscriptionSettings::default()
    })
    .await
}

fn not_listening(test: TestApi) -> LiveApi {
    let (signals, mut receiver) = mpsc::channel(1_000);
    let stop = CancellationToken::new();
    let (api, running) = (test.api.clone(), stop.clone());
    let source = stream::poll_fn(move |cx| receiver.poll_recv(cx));
    tokio::spawn(async move { api.run_subscription(source, Heartbeat::new(), running).await });
    LiveApi { test, signals, _running: stop.drop_guard() }
}

fn after(order_id: OrderId, version: u32) -> String {
    format!("(after: \"{}\")", UpdateCursor { order_id, version }.encode())
}

type Updates = BoxStream<'static, Value>;

impl LiveApi {
    async fn until_subscriptions_are_available(&self) {
        let knows = async {
            while !self.test.api.subscriptions_are_available() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(WAIT_LIMIT, knows).await.unwrap();
    }

    /// Publishes a stored event live.
    async fn publish(&self, position: i64) {
        let event = self.test.services.data.lock().unwrap().events[position as usize - 1].clone();
        self.signals.send(EventSignal::Event(Box::new(event))).await.unwrap();
    }

    /// Publishes every event that is stored after a position live.
    async fn publish_after(&self, position: i64) {
        for position in position + 1..=self.head() {
            self.publish(position).await;
        }
    }

    fn head(&self) -> i64 {
        self.test.services.data.lock().unwrap().events.len() as i64
    }

    /// Changes an order; answers the event's position.
    fn touch(&self, id: OrderId) -> i64 {
        let number = self.head();
        let change = |order: &mut schema::order::Order| order.tracking_number = Some(number.to_string());
        self.test.services.data.lock().unwrap().change(id, change).position
    }

    fn touch_times(&self, id: OrderId, times: usize) {
        for _ in 0..times {
            self.touch(id);
        }
    }

    /// A subscription that has begun: whatever happens from here on is an update.
    async fn watch(&self, caller: Option<Viewer>, arguments: &str) -> Updates {
        let query = format!("subscription {{ orderUpdated{arguments} {{ orderId version kind cursor }} }}");
        started(self.test.subscribe(caller, &query)).await
    }
}

/// A stream does nothing before it is polled.
async fn started(mut updates: Updates) -> Updates {
    let first = futures::poll!(updates.next());
    match first {
        std::task::Poll::Pending => updates,
        std::task::Poll::Ready(first) => futures::stream::iter(first).chain(updates).boxed(),
    }
}

async fn next(updates: &mut Updates) -> Value {
    tokio::time::timeout(WAIT_LIMIT, updates.next()).await.unwrap().unwrap()
}

async fn next_version(updates: &mut Updates) -> i64 {
    let update = next(updates).await;
    update["data"]["orderUpdated"]["version"].as_i64().unwrap_or_else(|| panic!("{update}"))
}

async fn versions(updates: &mut Updates, count: usize) -> Vec<i64> {
    let mut versions = Vec::new();
    for _ in 0..count {
        versions.push(next_version(updates).await);
    }
    versions
}

/// The subscription's only result is this error.
async fn refused(mut updates: Updates) -> Value {
    let result = next(&mut updates).await;
    assert_eq!(result["data"], Value::Null);
    assert!(updates.next().await.is_none());
    assert_eq!(result["errors"][0]["path"], json!(["orderUpdated"]));
    result["errors"][0]["extensions"].clone()
}

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

#[tokio::test]
async fn a_subscription_is_held_until_the_head_is_known() {
    let test = test_api();
    test.services.fail("order.replay", unavailable("order.replay"));
    let live = not_listening(test);
    live.signals.send(EventSignal::Listening).await.unwrap();
    let id = live.test.placed("CUST01", "PROD01").id;
    let mut updates = live.watch(ada(), "").await;
    let mut resumed = live.watch(ada(), &after(id, 1)).await;
    live.test.services.recover();
    live.until_subscriptions_are_available().await;
    live.touch(id);
    live.publish_after(1).await;
    assert_eq!(next_version(&mut resumed).await, 2);
    // Without a cursor it begins at a moment that only its first update shows.
    let first = eventually("the other one has begun", async || {
        let position = live.touch(id);
        live.publish(position).await;
        updates.next().now_or_never().flatten()
    });
    let first = first.await;
    assert!(first["data"]["orderUpdated"].is_object(), "{first}");
}

#[tokio::test]
async fn a_subscription_is_held_while_what_it_missed_can_not_be_replayed() {
    let live = live_api().await;
    let id = live.test.placed("CUST01", "PROD01").id;
    live.touch(id);
    live.test.services.fail_times("order.replay", unavailable("order.replay"), 3);
    let mut updates = live.watch(ada(), &after(id, 1)).await;
    assert_eq!(next_version(&mut updates).await, 2);
}

#[tokio::test]
async fn a_subscription_that_can_not_begin_within_the_deadline_ends_with_a_retryable_error() {
    let settings = SubscriptionSettings { head_interval: WAIT_LIMIT, ..SubscriptionSettings::default() };
    let live = not_listening(test_api_within(Duration::from_millis(50), settings));
    let refused_for_now = async |arguments: &str| {
        let extensions = refused(live.watch(ada(), arguments).await).await;
        assert_eq!(extensions["retryable"], true, "{extensions}");
    };
    refused_for_now("").await;
    live.signals.send(EventSignal::Listening).await.unwrap();
    live.until_subscriptions_are_available().await;
    live.test.services.fail("order.replay", unavailable("order.replay"));
    let id = live.test.placed("CUST01", "PROD01").id;
    refused_for_now(&after(id, 1)).await;
}

#[tokio::test]
async fn events_that_are_missing_repeated_or_out_of_order_are_sent_once_in_order() {
    let live = live_api().await;
    let mut updates = live.watch(ada(), "").await;
    let id = live.test.placed("CUST01", "PROD01").id;
    for _ in 2..=9 {
        live.touch(id);
    }
    for position in [1, 1, 4, 2, 3, 4, 7, 6, 5, 9, 8, 1] {
        live.publish(position).await;
    }
    assert_eq!(versions(&mut updates, 9).await, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert!(futures::poll!(updates.next()).is_pending());
}

#[tokio::test]
async fn events_during_a_lost_connection_are_sent_after_it() {
    let live = live_api().await;
    let mut updates = live.watch(ada(), "").await;
    let id = live.test.placed("CUST01", "PROD01").id;
    live.publish(1).await;
    live.signals.send(EventSignal::Lost).await.unwrap();
    live.touch_times(id, 1_200);
    live.test.services.fail_times("order.replay", unavailable("order.replay"), 3);
    live.signals.send(EventSignal::Listening).await.unwrap();
    let expected: Vec<i64> = (1..=1_201).collect();
    assert_eq!(versions(&mut updates, 1_201).await, expected);
}

#[tokio::test]
async fn an_event_that_never_arrives_live_is_found_by_requesting_the_head() {
    let settings =
        SubscriptionSettings { head_interval: Duration::from_millis(20), ..SubscriptionSettings::default() };
    let live = live_api_with(settings).await;
    let mut updates = live.watch(ada(), "").await;
    let id = live.test.placed("CUST01", "PROD01").id;
    assert_eq!(next_version(&mut updates).await, 1);
    live.touch(id);
    assert_eq!(next_version(&mut updates).await, 2);
}

#[tokio::test]
async fn a_cursor_brings_what_came_after_it_and_then_what_comes() {
    let live = live_api().await;
    let id = live.test.placed("CUST01", "PROD01").id;
    live.test.placed("CUST02", "PROD01");
    live.touch_times(id, 120);
    live.publish_after(0).await;
    for (version, first) in [(0, 1), (1, 2), (5, 6), (121, 122)] {
        let cursor = UpdateCursor { order_id: id, version }.encode();
        let mut updates = live.watch(ada(), &format!("(after: \"{cursor}\")")).await;
        let old = 122 - first;
        let expected: Vec<i64> = (first..122).collect();
        assert_eq!(versions(&mut updates, old as usize).await, expected, "after {version}");
        assert!(futures::poll!(updates.next()).is_pending());
    }
    let cursor = UpdateCursor { order_id: id, version: 121 }.encode();
    let mut updates = live.watch(ada(), &format!("(after: \"{cursor}\")")).await;
    let before = live.head();
    live.touch(id);
    live.publish_after(before).await;
    assert_eq!(next_version(&mut updates).await, 122);
}

#[tokio::test]
async fn replay_and_live_events_join_without_gap_or_repeat() {
    let live = live_api().await;
    let id = live.test.placed("CUST01", "PROD01").id;
    live.touch_times(id, 60);
    let cursor = UpdateCursor { order_id: id, version: 1 }.encode();
    // The listener is behind when the subscriber begins, and events go on while the subscriber replays.
    let mut updates = live.watch(ada(), &format!("(after: \"{cursor}\")")).await;
    let mut seen = Vec::new();
    for round in 0..200 {
        if round < 100 {
            live.touch(id);
        }
        if round % 3 == 0 {
            let head = live.head();
            live.publish(head - round % 2).await;
        }
        if seen.len() < 160 {
            seen.push(next_version(&mut updates).await);
        }
    }
    let expected: Vec<i64> = (2..=161).collect();
    assert_eq!(seen, expected);
    assert!(futures::poll!(updates.next()).is_pending());
}

#[tokio::test]
async fn a_cursor_that_is_anothers_or_too_old_is_refused_before_anything_else() {
    let live = live_api().await;
    let order = live.test.placed("CUST02", "PROD01");
    let cursor = UpdateCursor { order_id: order.id, version: 1 }.encode();
    let arguments = format!("(after: \"{cursor}\")");
    let extensions = refused(live.watch(ada(), &arguments).await).await;
    assert_eq!(extensions, json!({"code": "CURSOR_INVALID"}));
    live.test.services.refuse("order.replay", refusal(DomainErrorCode::CursorExpired));
    let extensions = refused(live.watch(ada(), &arguments).await).await;
    assert_eq!(extensions, json!({"code": "CURSOR_EXPIRED"}));
}

#[tokio::test]
async fn a_slow_subscriber_replays_what_it_had_no_room_for_and_goes_on() {
    let live = live_api_with(SubscriptionSettings {
        queue_capacity: 4,
        head_interval: WAIT_LIMIT,
        backoff: quick_backoff(),
        ..SubscriptionSettings::default()
    })
    .await;
    let mut slow = live.watch(ada(), "").await;
    let mut other = live.watch(viewer("CUST02", "orders:read"), "").await;
    let id = live.test.placed("CUST01", "PROD01").id;
    live.touch_times(id, 299);
    live.test.placed("CUST02", "PROD01");
    live.publish_after(0).await;
    // The listener has dispatched every event, and the slow subscriber has read none.
    assert_eq!(next_version(&mut other).await, 1);
    live.test.services.requests();
    live.test.services.fail_times("order.replay", unavailable("order.replay"), 2);
    assert_eq!(versions(&mut slow, 300).await, (1..=300).collect::<Vec<i64>>());
    let replays = live.test.services.requests_for("order.replay");
    assert_eq!(replays[0][0]["owner"], json!({"customerId": "CUST01"}));
    assert_eq!(replays[0][0]["after"], 4, "the four that there was room for are not replayed");
    let head = live.head();
    live.touch(id);
    live.publish_after(head).await;
    assert_eq!(next_version(&mut slow).await, 301);
    assert!(live.test.services.requests().is_empty(), "the subscriber reads live events again");
}

#[tokio::test]
async fn a_subscriber_that_can_not_replay_ends_with_an_error_worth_a_retry() {
    let live = live_api_with(SubscriptionSettings {
        queue_capacity: 1,
        head_interval: WAIT_LIMIT,
        backoff: quick_backoff(),
        replay_retries: 2,
        ..SubscriptionSettings::default()
    })
    .await;
    let mut slow = live.watch(ada(), "").await;
    let mut other = live.watch(viewer("CUST02", "orders:read"), "").await;
    let id = live.test.placed("CUST01", "PROD01").id;
    live.touch(id);
    live.test.placed("CUST02", "PROD01");
    live.publish_after(0).await;
    next(&mut other).await;
    live.test.services.fail("order.replay", unavailable("order.replay"));
    assert_eq!(next_version(&mut slow).await, 1);
    let extensions = refused(slow).await;
    assert_eq!(extensions["code"], "SERVICE_UNAVAILABLE");
    assert_eq!(extensions["retryable"], true);
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

#[tokio::test]
async fn a_sequence_that_begins_anew_ends_what_followed_the_old_one() {
    let settings =
        SubscriptionSettings { head_interval: Duration::from_millis(20), ..SubscriptionSettings::default() };
    let live = live_api_with(settings).await;
    let mut updates = live.watch(ada(), "").await;
    for _ in 0..3 {
        live.test.placed("CUST01", "PROD01");
    }
    versions(&mut updates, 3).await;
    live.test.services.data.lock().unwrap().events.truncate(1);
    let extensions = refused(updates).await;
    assert_eq!(extensions["code"], "SERVICE_UNAVAILABLE");
    live.until_subscriptions_are_available().await;
    let mut updates = live.watch(ada(), "").await;
    live.test.placed("CUST01", "PROD01");
    assert_eq!(next_version(&mut updates).await, 1);
}
