//! Updates that several sockets get alike.

use std::time::Duration;

use gateway::auth::{Scopes, mint};
use schema::pattern::INVENTORY_GET;
use serde_json::{Value, json};
use testkit::{GraphQlClient, GraphQlSocket};

use crate::kit::live_api::{LiveApi, live_api};
use crate::kit::{SECRET, TestGateway, toy::toy};

const NESTED: &str = "subscription { orderUpdated { version order { lineItems { product { name } } } } }";
/// The same in other words.
const RENAMED: &str =
    "subscription Other { orderUpdated { version order { lineItems { product { name } } } } }";

async fn subscriber(gateway: &TestGateway, customer: &str, document: &str) -> GraphQlSocket {
    let scopes = Scopes::from_claim("orders:read");
    let token = mint(SECRET, customer, scopes, Duration::from_secs(3600)).unwrap();
    let client = GraphQlClient::over(gateway.http.clone(), gateway.address.to_string()).with_token(token);
    let mut socket = client.connect().await.unwrap();
    socket.subscribe(customer, document).await;
    socket
}

async fn update(socket: &mut GraphQlSocket, id: &str) -> Value {
    let message = socket.next().await;
    assert_eq!((&message["type"], &message["id"]), (&json!("next"), &json!(id)), "{message}");
    message["payload"].clone()
}

/// Changes the order until each socket has received an update, and reads all of them.
async fn until_subscribed(
    live: &LiveApi,
    order: schema::ids::OrderId,
    sockets: &mut [GraphQlSocket],
    id: &str,
) {
    let mut seen = vec![0; sockets.len()];
    let mut newest = 0;
    while seen.contains(&0) {
        let position = live.touch(order);
        live.publish(position).await;
        newest += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
        for (socket, seen) in sockets.iter_mut().zip(&mut seen) {
            let received = tokio::time::timeout(Duration::from_millis(20), socket.next());
            if let Ok(message) = received.await {
                assert_eq!(message["id"], id, "{message}");
                *seen = message["payload"]["data"]["orderUpdated"]["version"].as_i64().unwrap();
            }
        }
    }
    let newest = newest + 1;
    for (socket, seen) in sockets.iter_mut().zip(seen) {
        for version in seen + 1..=newest {
            assert_eq!(update(socket, id).await["data"]["orderUpdated"]["version"], version);
        }
    }
}

#[tokio::test]
async fn an_update_is_resolved_once_for_all_that_ask_for_the_same_and_for_no_other_viewer() {
    let live = live_api().await;
    let gateway = TestGateway::serving(live.test.api.clone(), toy().1, Default::default()).await;
    let [adas, bobs] = ["CUST01", "CUST02"].map(|customer| live.test.placed(customer, "PROD01").id);
    live.publish_after(0).await;
    let mut sockets = Vec::new();
    for document in [NESTED, NESTED, NESTED, RENAMED] {
        sockets.push(subscriber(&gateway, "CUST01", document).await);
    }
    let mut others =
        [subscriber(&gateway, "CUST02", NESTED).await, subscriber(&gateway, "CUST02", NESTED).await];
    until_subscribed(&live, adas, &mut sockets, "CUST01").await;
    until_subscribed(&live, bobs, &mut others, "CUST02").await;

    live.test.services.requests();
    let position = live.touch(adas);
    live.publish(position).await;
    let mut updates = Vec::new();
    for socket in &mut sockets {
        updates.push(update(socket, "CUST01").await);
    }
    assert!(updates.iter().all(|update| *update == updates[0]), "{updates:?}");
    let product = &updates[0]["data"]["orderUpdated"]["order"]["lineItems"][0]["product"];
    assert!(product["name"].is_string(), "{product}");
    assert_eq!(live.test.services.requests_for(INVENTORY_GET).len(), 2, "once for each document");
    let position = live.touch(bobs);
    live.publish(position).await;
    let updates = [update(&mut others[0], "CUST02").await, update(&mut others[1], "CUST02").await];
    assert_eq!(updates[0], updates[1]);
    assert_eq!(live.test.services.requests_for(INVENTORY_GET).len(), 1);
}
