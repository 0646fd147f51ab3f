//! A gateway that stops under many subscribers, and the next one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use futures::future::join_all;
use gateway::subscriptions::SubscriptionSettings;
use serde_json::json;
use testkit::{GraphQlClient, GraphQlSocket, Received, eventually_within};
use tokio::sync::watch;

use crate::kit::live_api::{LiveApi, listening};
use crate::kit::{TestGateway, WAIT_LIMIT, another_api, quick_backoff, test_api_with, token, toy::toy};

const SUBSCRIBERS: usize = 1_000;
const CUSTOMERS: usize = 10;
/// Changes of each order before, while no gateway runs, and after.
const CHANGES: usize = 3;
const LIMIT: Duration = Duration::from_secs(120);

fn settings() -> SubscriptionSettings {
    SubscriptionSettings {
        head_interval: WAIT_LIMIT,
        backoff: quick_backoff(),
        ..SubscriptionSettings::default()
    }
}

/// What subscribers look at: the address of the gateway, if there is one.
type Address = watch::Receiver<Option<String>>;

struct Progress {
    subscribed: AtomicUsize,
    closed: AtomicUsize,
    seen: AtomicUsize,
}

/// Follows a customer's orders from a cursor on across gateways, as clients do, until it has seen `last`.
async fn follow(
    mut address: Address,
    customer: String,
    mut after: String,
    mut version: i64,
    last: i64,
    progress: Arc<Progress>,
) {
    let http = testkit::http_client().build().unwrap();
    while version < last {
        let gateway = address.wait_for(Option::is_some).await.unwrap().clone().unwrap();
        let client = GraphQlClient::over(http.clone(), gateway).with_token(token(&customer));
        let Ok(mut socket) = client.connect().await else {
            // Refused, as the old gateway is gone.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let query = "subscription ($after: String) { orderUpdated(after: $after) { cursor version } }";
        socket.try_subscribe("1", query, &json!({ "after": after })).await.unwrap();
        progress.subscribed.fetch_add(1, SeqCst);
        version = read_updates(&mut socket, &mut after, version, last, &progress).await;
    }
}

/// Reads updates, each of which must be the next one, until the socket is closed or the last one is there.
async fn read_updates(
    socket: &mut GraphQlSocket,
    after: &mut String,
    mut version: i64,
    last: i64,
    progress: &Progress,
) -> i64 {
    while version < last {
        match socket.try_receive().await.expect("the socket ends with a close frame") {
            Received::Message(message) => {
                let update = &message["payload"]["data"]["orderUpdated"];
                assert_eq!(update["version"].as_i64(), Some(version + 1), "{message}");
                version += 1;
                *after = update["cursor"].as_str().unwrap().to_owned();
                progress.seen.fetch_add(1, SeqCst);
            }
            Received::Closed(frame) => {
                assert_eq!(frame, Some((1001, "going away".into())));
                progress.closed.fetch_add(1, SeqCst);
                break;
            }
        }
    }
    version
}

async fn reached(what: &str, counter: &AtomicUsize, number: usize) {
    eventually_within(LIMIT, what, async || {
        let now = counter.load(SeqCst);
        if now >= number { Ok(()) } else { Err(now) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_subscribers_miss_nothing_when_their_gateway_is_restarted() {
    let live = listening(test_api_with(settings())).await;
    let gateway = TestGateway::serving(live.test.api.clone(), toy().1, Default::default()).await;
    let customers: Vec<String> = (1..=CUSTOMERS).map(|number| format!("CUST{number:02}")).collect();
    let orders: Vec<_> = customers.iter().map(|customer| live.test.placed(customer, "PROD01").id).collect();
    live.publish_after(0).await;
    let change_all = |live: &LiveApi| orders.iter().for_each(|order| live.touch_times(*order, CHANGES));

    let progress = Arc::new(Progress {
        subscribed: AtomicUsize::new(0),
        closed: AtomicUsize::new(0),
        seen: AtomicUsize::new(0),
    });
    let (announce, address) = watch::channel(Some(gateway.address.to_string()));
    let last = 1 + 3 * CHANGES as i64;
    let followers: Vec<_> = (0..SUBSCRIBERS)
        .map(|number| {
            let (customer, order) = (&customers[number % CUSTOMERS], orders[number % CUSTOMERS]);
            let after = schema::cursor::UpdateCursor { order_id: order, version: 1 }.encode();
            let following = follow(address.clone(), customer.clone(), after, 1, last, Arc::clone(&progress));
            tokio::spawn(following)
        })
        .collect();
    reached("all are subscribed", &progress.subscribed, SUBSCRIBERS).await;
    change_all(&live);
    live.publish_after(CUSTOMERS as i64).await;
    reached("all have seen the first changes", &progress.seen, SUBSCRIBERS * CHANGES).await;

    announce.send(None).unwrap();
    gateway.lifecycle.draining.cancel();
    gateway.lifecycle.closing.cancel();
    reached("every socket is closed", &progress.closed, SUBSCRIBERS).await;
    tokio::time::timeout(WAIT_LIMIT, gateway.served).await.expect("the gateway ends").unwrap();
    change_all(&live);
    assert_eq!(progress.seen.load(SeqCst), SUBSCRIBERS * CHANGES);

    let next = listening(another_api(&live.test.services, settings())).await;
    let restarted = TestGateway::serving(next.test.api.clone(), toy().1, Default::default()).await;
    announce.send(Some(restarted.address.to_string())).unwrap();
    reached("all have resumed", &progress.seen, SUBSCRIBERS * CHANGES * 2).await;
    let head = next.head();
    change_all(&next);
    next.publish_after(head).await;
    let all = tokio::time::timeout(LIMIT, join_all(followers)).await.expect("all have seen the last change");
    all.into_iter().for_each(|followed| followed.unwrap());
    assert_eq!(progress.seen.load(SeqCst), SUBSCRIBERS * CHANGES * 3);
}
