//! Subscriptions: every update once, in order, whatever is interrupted or slow.

use bus::events::EventSignal;
use futures::{FutureExt, StreamExt};
use gateway::subscriptions::SubscriptionSettings;
use schema::cursor::UpdateCursor;
use schema::domain_error::DomainErrorCode;
use serde_json::json;
use std::time::Duration;
use testkit::eventually;

use crate::kit::live_api::{
    after, live_api, live_api_with, next, next_version, not_listening, refused, versions,
};
use crate::kit::{WAIT_LIMIT, ada, quick_backoff, refusal, test_api, test_api_within, unavailable, viewer};

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
