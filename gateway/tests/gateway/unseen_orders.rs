//! Accepted orders that order-service never receives, because the broker drops what it has confirmed.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bus::failure::{Failure, FailureCode};
use bus::heartbeat::Heartbeat;
use gateway::orders::unseen::UnseenOrderSettings;
use gateway::subscriptions::SubscriptionSettings;
use schema::pattern::ORDER_GET;
use serde_json::json;
use testkit::eventually;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::kit::{CommandOutcome, TestApi, WAIT_LIMIT, ada, test_api, test_api_of, unavailable};

fn watched(test: &TestApi) -> DropGuard {
    let (api, stop) = (test.api.clone(), CancellationToken::new());
    let running = stop.clone();
    tokio::spawn(async move { api.run_unseen_orders(Heartbeat::new(), running).await });
    stop.drop_guard()
}

fn commands_are(test: &TestApi, outcome: CommandOutcome) {
    *test.services.command_outcome.lock().unwrap() = outcome;
}

/// Places an order, which is PENDING.
async fn place(test: &TestApi) {
    let document = "mutation { createOrder(input: {items: [{productId: \"PROD01\", quantity: 2}]}) {
        order { status version } userErrors { code } } }";
    let response = test.run(ada(), document).await;
    let order = json!({"status": "PENDING", "version": 0});
    assert_eq!(response, json!({"data": {"createOrder": {"order": order, "userErrors": []}}}));
}

fn placements(test: &TestApi) -> usize {
    test.services.placements.lock().unwrap().len()
}

async fn asked_again(test: &TestApi) {
    let asked = || test.services.asked_for_idle.load(Ordering::SeqCst);
    let before = asked();
    eventually("it was asked thrice whether commands wait", async || asked() >= before + 3).await;
}

#[tokio::test]
async fn an_accepted_order_that_order_service_does_not_know_is_placed_again_under_its_ids() {
    let test = test_api();
    let _watched = watched(&test);
    commands_are(&test, CommandOutcome::Accepted);
    place(&test).await;
    commands_are(&test, CommandOutcome::Answered);
    eventually("the order is stored", async || test.services.data.lock().unwrap().orders.len() == 1).await;
    let placements = test.services.placements.lock().unwrap().clone();
    let message_ids = test.services.message_ids.lock().unwrap().clone();
    assert_eq!(placements[0], placements[1]);
    assert_eq!(message_ids[0], message_ids[1]);
    assert_eq!(placements.len(), 2);
}

#[tokio::test]
async fn no_order_is_placed_again_while_its_command_may_wait_or_order_service_is_away() {
    let test = test_api();
    test.services.commands_wait.store(true, Ordering::SeqCst);
    test.services.fail(ORDER_GET, unavailable(ORDER_GET));
    let _watched = watched(&test);
    commands_are(&test, CommandOutcome::Accepted);
    place(&test).await;
    asked_again(&test).await;
    assert!(test.services.requests().is_empty(), "the order's command waits");
    test.services.commands_wait.store(false, Ordering::SeqCst);
    asked_again(&test).await;
    assert_eq!(placements(&test), 1, "order-service does not answer");
    test.services.recover();
    eventually("it is placed again", async || placements(&test) > 1).await;
}

#[tokio::test]
async fn an_order_that_order_service_has_is_asked_about_once_and_one_that_was_answered_late_never() {
    let test = test_api();
    commands_are(&test, CommandOutcome::DoneWithoutAnswer);
    place(&test).await;
    place(&test).await;
    let message_ids = test.services.message_ids.lock().unwrap().clone();
    let asked = test.services.placements.lock().unwrap()[1].order_id.to_string();
    assert!(test.services.reply(message_ids[0], Ok(())), "it is remembered until its answer");
    assert!(!test.services.reply(message_ids[0], Ok(())), "and no longer");

    let _watched = watched(&test);
    let requests = eventually("order-service is asked", async || {
        let requests = test.services.requests_for(ORDER_GET);
        if requests.is_empty() { None } else { Some(requests) }
    })
    .await;
    let ids: Vec<&str> = requests
        .iter()
        .flat_map(|request| request.as_array().unwrap())
        .map(|order| order["orderId"].as_str().unwrap())
        .collect();
    assert_eq!(ids, [asked.as_str()]);
    // Nothing is left to ask about, so the next order is the first that is asked about again.
    commands_are(&test, CommandOutcome::Accepted);
    place(&test).await;
    commands_are(&test, CommandOutcome::Answered);
    eventually("the last one is placed again", async || placements(&test) == 4).await;
    let ids = test.services.requests_for(ORDER_GET);
    assert!(ids.iter().all(|request| request.as_array().unwrap().len() == 1), "{ids:?}");
}

#[tokio::test]
async fn an_order_that_is_unknown_while_no_command_waits_is_not_placed_again_at_once() {
    let test = test_api();
    // Between two retries its command is for a moment in no queue.
    test.services.commands_wait_once_asked.store(true, Ordering::SeqCst);
    commands_are(&test, CommandOutcome::Accepted);
    place(&test).await;
    let _watched = watched(&test);
    asked_again(&test).await;
    assert_eq!(test.services.requests_for(ORDER_GET).len(), 1);
    assert_eq!(placements(&test), 1);
    let message_id = test.services.message_ids.lock().unwrap()[0];
    assert!(test.services.reply(message_id, Err(Failure::new(FailureCode::Internal, "it always fails"))));
    test.services.commands_wait.store(false, Ordering::SeqCst);
    place(&test).await;
    commands_are(&test, CommandOutcome::Answered);
    eventually("the next one is placed again", async || placements(&test) == 3).await;
    let placed = test.services.message_ids.lock().unwrap().clone();
    assert!(!placed[1..].contains(&message_id), "a dead letter is an operator's");
}

#[tokio::test]
async fn an_order_that_becomes_a_dead_letter_is_not_placed_once_more() {
    let test = test_api();
    let _watched = watched(&test);
    commands_are(&test, CommandOutcome::Accepted);
    place(&test).await;
    commands_are(&test, CommandOutcome::DeadLettered);
    eventually("it is placed again", async || placements(&test) == 2).await;
    commands_are(&test, CommandOutcome::Accepted);
    place(&test).await;
    commands_are(&test, CommandOutcome::Answered);
    eventually("the next one is placed again", async || placements(&test) == 4).await;
    assert_eq!(test.services.data.lock().unwrap().orders.len(), 1);
}

#[tokio::test]
async fn orders_beyond_the_bound_are_accepted_and_not_watched() {
    let (interval, patience) = (Duration::from_millis(10), Duration::from_millis(50));
    let bounds = [
        UnseenOrderSettings { max_orders: 1, patience, interval, ..UnseenOrderSettings::default() },
        UnseenOrderSettings { max_bytes: 500, patience, interval, ..UnseenOrderSettings::default() },
    ];
    for settings in bounds {
        let test = test_api_of(WAIT_LIMIT, SubscriptionSettings::default(), settings);
        commands_are(&test, CommandOutcome::Accepted);
        place(&test).await;
        place(&test).await;
        commands_are(&test, CommandOutcome::Answered);
        let first = test.services.placements.lock().unwrap()[0].order_id;
        let _watched = watched(&test);
        eventually("the first is placed again", async || placements(&test) == 3).await;
        // With the room that it left the next one is watched again.
        commands_are(&test, CommandOutcome::Accepted);
        place(&test).await;
        commands_are(&test, CommandOutcome::Answered);
        eventually("the last is placed again", async || placements(&test) == 5).await;
        let stored = test.services.data.lock().unwrap().orders.clone();
        assert!(stored.contains_key(&first) && stored.len() == 2, "{settings:?}");
    }
}
