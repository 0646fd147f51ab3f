//! Sockets that outlive the token of their handshake.

use std::time::Duration;

use gateway::auth::{Scopes, mint};
use serde_json::{Value, json};
use testkit::{GraphQlClient, GraphQlSocket};

use crate::kit::live_api::{LiveApi, live_api};
use crate::kit::{SECRET, TestGateway, token, toy::toy};

fn token_for(customer: &str, scopes: &str, lifetime: Duration) -> String {
    mint(SECRET, customer, Scopes::from_claim(scopes), lifetime).unwrap()
}

fn ping(token: &str) -> Value {
    json!({ "type": "ping", "payload": { "authorization": format!("Bearer {token}") } })
}

async fn signed_in(gateway: &TestGateway, token: String) -> GraphQlSocket {
    let address = gateway.address.to_string();
    GraphQlClient::over(gateway.http.clone(), address).with_token(token).connect().await.unwrap()
}

#[tokio::test]
async fn a_fresh_token_in_a_ping_keeps_the_socket_and_its_subscriptions() {
    let gateway = TestGateway::start().await;
    let mut socket = signed_in(&gateway, token_for("CUST01", "", Duration::from_secs(2))).await;
    socket.subscribe("t", "subscription { ticks { value } }").await;
    socket.subscribe("w", "{ whoami }").await;
    assert_eq!(socket.next().await["payload"]["data"]["whoami"], "CUST01");
    assert_eq!(socket.next().await["type"], "complete");
    socket.send(ping(&token("CUST01"))).await;
    // The token itself is not sent back.
    assert_eq!(socket.next().await, json!({ "type": "pong" }));
    let mut short = signed_in(&gateway, token_for("CUST01", "", Duration::from_secs(2))).await;
    // Begun later with the same lifetime, it ends no sooner.
    assert_eq!(short.closed().await, (4403, "token expired".into()));
    gateway.inside.ticks.send(7).unwrap();
    assert_eq!(socket.next().await["payload"]["data"]["ticks"]["value"], 7);
    // A ping may say more.
    let payload = json!({ "authorization": format!("Bearer {}", token("CUST01")), "a": 1 });
    socket.send(json!({ "type": "ping", "payload": payload })).await;
    assert_eq!(socket.next().await, json!({ "type": "pong", "payload": { "a": 1 } }));
}

#[tokio::test]
async fn another_customers_token_or_a_bad_one_in_a_ping_closes_the_socket() {
    let gateway = TestGateway::start().await;
    for token in [token("CUST02"), token_for("CUST02", "orders:all", Duration::from_secs(60)), "x".into()] {
        let mut socket = signed_in(&gateway, crate::kit::token("CUST01")).await;
        socket.send(ping(&token)).await;
        assert_eq!(socket.closed().await, (4403, "Forbidden".into()));
    }
    let mut anonymous = gateway.ready_socket().await;
    anonymous.send(ping(&token("CUST01"))).await;
    assert_eq!(anonymous.closed().await.0, 4403);
}

/// Changes the order until the socket has received an update.
async fn until_subscribed(live: &LiveApi, order: schema::ids::OrderId, socket: &mut GraphQlSocket) {
    loop {
        let position = live.touch(order);
        live.publish(position).await;
        let received = tokio::time::timeout(Duration::from_millis(100), socket.next()).await;
        if let Ok(message) = received {
            assert!(message["payload"]["data"]["orderUpdated"].is_object(), "{message}");
            return;
        }
    }
}

/// The next message that is no update.
async fn next_end(socket: &mut GraphQlSocket) -> Value {
    loop {
        let message = socket.next().await;
        if !message["payload"]["data"]["orderUpdated"].is_object() {
            return message;
        }
    }
}

#[tokio::test]
async fn a_reduced_scope_takes_effect_on_running_subscriptions() {
    let live = live_api().await;
    let gateway = TestGateway::serving(live.test.api.clone(), toy().1, Default::default()).await;
    let [mine, other] = ["CUST01", "CUST02"].map(|customer| live.test.placed(customer, "PROD01").id);
    live.publish_after(0).await;
    let hour = Duration::from_secs(3600);
    let mut socket = signed_in(&gateway, token_for("CUST01", "orders:read orders:all", hour)).await;
    let of_other = format!("subscription {{ orderUpdated(orderId: \"{other}\") {{ orderId version }} }}");
    socket.subscribe("other", &of_other).await;
    until_subscribed(&live, other, &mut socket).await;
    socket.subscribe("all", "subscription { orderUpdated(allCustomers: true) { orderId } }").await;
    socket.subscribe("own", "subscription { orderUpdated { orderId version } }").await;
    until_subscribed(&live, mine, &mut socket).await;

    socket.send(ping(&token_for("CUST01", "orders:read", hour))).await;
    let mut ends = Vec::new();
    for _ in 0..3 {
        ends.push(next_end(&mut socket).await);
    }
    let [pong, refused, completed] =
        ["pong", "next", "complete"].map(|kind| ends.iter().find(|end| end["type"] == kind));
    assert!(pong.is_some(), "{ends:?}");
    let refused = refused.expect("the subscription to all customers is refused");
    assert_eq!(refused["id"], "all");
    assert_eq!(refused["payload"]["errors"][0]["extensions"]["code"], "FORBIDDEN");
    assert_eq!(completed.expect("it ends")["id"], "all");

    // What is another customer's comes no more, what is the viewer's own comes on.
    let position = live.touch(other);
    live.publish(position).await;
    let position = live.touch(mine);
    live.publish(position).await;
    let message = socket.next().await;
    assert_eq!(message["id"], "own", "{message}");
    assert_eq!(message["payload"]["data"]["orderUpdated"]["orderId"], json!(mine));

    socket.send(ping(&token_for("CUST01", "orders:write", hour))).await;
    let ends = [next_end(&mut socket).await, next_end(&mut socket).await, next_end(&mut socket).await];
    assert!(ends.iter().any(|end| end["payload"]["errors"][0]["extensions"]["code"] == "FORBIDDEN"));
}
