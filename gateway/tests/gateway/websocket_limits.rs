//! What one customer may keep open, and what one client or operation may not do to the others.

use std::collections::HashMap;
use std::sync::atomic::Ordering::SeqCst;

use gateway::subscriptions::SubscriptionSettings;
use schema::pattern::ORDER_REPLAY;
use serde_json::{Value, json};
use testkit::{GraphQlClient, GraphQlSocket, eventually};

use crate::kit::live_api::{LiveApi, live_api_with};
use crate::kit::{TestGateway, WAIT_LIMIT, quick_backoff, token, toy::toy};

async fn signed_in(gateway: &TestGateway, customer: &str) -> GraphQlSocket {
    let client = GraphQlClient::over(gateway.http.clone(), gateway.address.to_string());
    client.with_token(token(customer)).connect().await.unwrap()
}

async fn running(gateway: &TestGateway, subscriptions: usize) {
    eventually(&format!("{subscriptions} subscriptions run"), async || {
        gateway.inside.running.load(SeqCst) == subscriptions
    })
    .await;
}

#[tokio::test]
async fn a_customers_sockets_are_bounded_and_another_customers_are_not_counted_with_them() {
    let gateway = TestGateway::with_limits(|limits| limits.max_sockets_per_customer = 2).await;
    let mut sockets = [signed_in(&gateway, "CUST01").await, signed_in(&gateway, "CUST01").await];
    let init = json!({ "type": "connection_init",
        "payload": { "authorization": format!("Bearer {}", token("CUST01")) } });
    let mut refused = gateway.socket().await;
    refused.send(init.clone()).await;
    assert_eq!(refused.closed().await, (1013, "too many sockets of this customer".into()));
    signed_in(&gateway, "CUST02").await;
    gateway.ready_socket().await;
    sockets[0].stream.close(None).await.unwrap();
    eventually("there is room again", async || {
        let mut socket = gateway.socket().await;
        socket.try_init(init["payload"].clone()).await
    })
    .await;
}

#[tokio::test]
async fn a_customers_subscriptions_are_bounded_over_all_its_sockets() {
    let gateway = TestGateway::with_limits(|limits| limits.max_subscriptions_per_customer = 2).await;
    let [mut first, mut second] = [signed_in(&gateway, "CUST01").await, signed_in(&gateway, "CUST01").await];
    let mut other = signed_in(&gateway, "CUST02").await;
    let ticks = "subscription { ticks { value } }";
    first.subscribe("1", ticks).await;
    second.subscribe("1", ticks).await;
    other.subscribe("1", ticks).await;
    running(&gateway, 3).await;
    second.subscribe("2", ticks).await;
    let message = second.next().await;
    assert_eq!((&message["type"], &message["id"]), (&json!("error"), &json!("2")));
    assert_eq!(message["payload"][0]["extensions"]["code"], "RATE_LIMITED");
    // Queries are not counted, and one subscription less makes room.
    second.subscribe("3", "{ hello }").await;
    assert_eq!(second.next().await["payload"]["data"]["hello"], "world");
    assert_eq!(second.next().await["type"], "complete");
    first.send(json!({ "type": "complete", "id": "1" })).await;
    running(&gateway, 2).await;
    second.subscribe("2", ticks).await;
    running(&gateway, 3).await;
}

#[tokio::test]
async fn a_busy_operation_does_not_starve_the_others_of_its_socket() {
    let gateway = TestGateway::start().await;
    let mut socket = gateway.ready_socket().await;
    for id in ["f1", "f2", "f3"] {
        socket.subscribe(id, "subscription { flood }").await;
    }
    socket.subscribe("t", "subscription { ticks { value } }").await;
    running(&gateway, 4).await;
    let mut seen: HashMap<String, usize> = HashMap::new();
    for number in 0..5 {
        gateway.inside.ticks.send(number).unwrap();
        socket.subscribe("q", "{ hello }").await;
        let (mut ticked, mut answered, mut between) = (false, false, 0);
        while !(ticked && answered) {
            let message = socket.next().await;
            let id = message["id"].as_str().unwrap().to_owned();
            ticked |= message["payload"]["data"]["ticks"]["value"] == number;
            answered |= id == "q" && message["type"] == "complete";
            between += 1;
            *seen.entry(id).or_default() += 1;
            // What the kernel holds of 64 KiB items is a few hundred at most.
            assert!(between < 1_000, "neither the tick nor the query came: {seen:?}");
        }
    }
    // The busy ones take turns as well, once what the first one sent before the others began is read.
    seen.clear();
    for _ in 0..300 {
        *seen.entry(socket.next().await["id"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    let floods = ["f1", "f2", "f3"].map(|id| seen[id]);
    assert!(floods.iter().all(|count| count * 6 > floods.iter().sum()), "{seen:?}");
}

/// Selects much, so that few updates fill what the kernel buffers.
fn large_update() -> String {
    let fields: String = (0..20)
        .map(|number| format!("o{number}: order {{ id status shippingAddress lineItems {{ product {{ id name description }} }} }} "))
        .collect();
    format!("subscription {{ orderUpdated {{ version {fields} }} }}")
}

fn version(message: &Value) -> Option<i64> {
    message["payload"]["data"]["orderUpdated"]["version"].as_i64()
}

/// Changes the order until the socket has received an update, whose version is returned.
async fn until_subscribed(live: &LiveApi, order: schema::ids::OrderId, socket: &mut GraphQlSocket) -> i64 {
    loop {
        let position = live.touch(order);
        live.publish(position).await;
        let received = tokio::time::timeout(std::time::Duration::from_millis(100), socket.next()).await;
        if let Ok(message) = received {
            return version(&message).unwrap();
        }
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_for_a_while_then_gets_every_update_once_and_holds_up_no_other() {
    const UPDATES: i64 = 2_500;
    let live = live_api_with(SubscriptionSettings {
        head_interval: WAIT_LIMIT,
        backoff: quick_backoff(),
        queue_capacity: 8,
        ..SubscriptionSettings::default()
    })
    .await;
    let gateway = TestGateway::serving(live.test.api.clone(), toy().1, Default::default()).await;
    let order = live.test.placed("CUST01", "PROD01").id;
    live.publish_after(0).await;
    let (mut slow, mut reader) = (signed_in(&gateway, "CUST01").await, signed_in(&gateway, "CUST01").await);
    slow.subscribe("s", &large_update()).await;
    reader.subscribe("r", "subscription { orderUpdated { version } }").await;
    let slow_since = until_subscribed(&live, order, &mut slow).await;
    let mut read = until_subscribed(&live, order, &mut reader).await;
    live.test.services.requests();

    let last = live.touch(order);
    live.publish(last).await;
    for _ in 1..UPDATES {
        let position = live.touch(order);
        live.publish(position).await;
    }
    let newest = {
        let data = live.test.services.data.lock().unwrap();
        i64::from(data.events.last().unwrap().version)
    };
    while read < newest {
        let next = version(&reader.next().await).unwrap();
        assert_eq!(next, read + 1);
        read = next;
    }
    // All that time the slow client has read nothing; what it missed is replayed for it alone.
    for expected in slow_since + 1..=newest {
        assert_eq!(version(&slow.next().await), Some(expected));
    }
    let replays = live.test.services.requests_for(ORDER_REPLAY).len();
    assert!(replays > 0, "the slow client never fell behind");
    let position = live.touch(order);
    live.publish(position).await;
    assert_eq!(version(&slow.next().await), Some(newest + 1));
}
