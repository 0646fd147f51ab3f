//! Documents by seed, over HTTP, and subscriptions over WebSocket, judged by graphql-js on the same schema, the same data
//! and the same events: the same verdict on validity, the same values of all arguments, the same data with the same keys
//! in the same order, the same paths of errors.
//!
//! `WAYBILL_ORACLE_RUNS` says how many documents, `WAYBILL_ORACLE_SEED` the first seed.

mod fuzz;
mod generator;
mod node;
mod observed;
mod sdl;
mod values;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bus::clock::{Clock as _, ManualClock};
use futures::{StreamExt as _, stream};
use gateway::auth::{Scopes, mint};
use schema::cursor::UpdateCursor;
use schema::domain_error::DomainErrorCode;
use schema::order::{OrderStatus, Rejection, RejectionCode, Shortfall};
use schema::pattern::{ORDER_CANCEL, ORDER_DELETE, ORDER_UPDATE};
use serde_json::{Value, json};
use testkit::{GraphQlClient, GraphQlSocket};
use tokio::time::timeout;
use uuid::Uuid;

use self::generator::{Generator, Known, Sample};
use self::node::{Judge, send};
use self::observed::{FixedEvents, Observed};
use self::sdl::Schema;
use crate::kit::live_api::listening;
use crate::kit::services::ServiceData;
use crate::kit::{
    ALL_SCOPES, CommandOutcome, Options, SECRET, TestApi, TestGateway, WAIT_LIMIT, refusal, test_api,
    toy::toy,
};

const RUNS: u64 = 5_000;
const CONCURRENT_REQUESTS: usize = 8;
/// What the server says of a subscription over HTTP.
const SUBSCRIPTIONS: &str = "a subscription is served over WebSocket";
/// Differences that a failure shows.
const MAX_SHOWN: usize = 12;

#[tokio::test(flavor = "multi_thread")]
async fn documents_mean_what_graphql_js_says() {
    let (runs, first) = (setting("WAYBILL_ORACLE_RUNS", RUNS), setting("WAYBILL_ORACLE_SEED", 1));
    let seeds = first..first + runs;
    let live = listening(stocked()).await;
    let events = Arc::new(fixed_events(&live.test));
    let observed = Observed { api: live.test.api.clone(), events: events.clone() };
    let gateway = TestGateway::serving(observed, toy().1, Options::default()).await;
    let token =
        mint(SECRET, "CUST01", Scopes::from_claim(ALL_SCOPES), Duration::from_secs(24 * 3600)).unwrap();
    let schema = Schema::read(gateway::graphql::sdl());
    let client = Client {
        http: GraphQlClient::over(gateway.http.clone(), gateway.address.to_string())
            .with_token(token.clone()),
        address: gateway.address.to_string(),
        token,
    };
    let data = everything(&client, &schema, events.order_ids.len() * 2).await;
    let known = known(&data);
    let Judge { mut requests, mut judgements } =
        Judge::start(&json!({ "sdl": schema.text, "data": data }).to_string()).await;

    let answered = async {
        let answers = stream::iter(seeds.clone())
            .map(|seed| client.ask(Generator::new(&schema, &known, seed).sample()))
            .buffered(CONCURRENT_REQUESTS);
        let mut answers = std::pin::pin!(answers);
        while let Some(line) = answers.next().await {
            send(&mut requests, &line).await;
        }
    };
    let judged = async {
        let mut summary = Summary::default();
        for seed in seeds.clone() {
            summary.add(seed, judgements.next().await);
        }
        summary
    };
    let ((), summary) = tokio::join!(answered, judged);

    println!("{runs} documents from seed {first}: {summary:?}");
    let shown = summary.differences.iter().take(MAX_SHOWN).map(|(seed, difference)| {
        let sample = Generator::new(&schema, &known, *seed).sample();
        format!("seed {seed}: expected {difference}\n{}\n{}", sample.query, sample.variables)
    });
    let shown: Vec<String> = shown.collect();
    assert!(shown.is_empty(), "{} differences:\n{}", summary.differences.len(), shown.join("\n\n"));
    summary.assert_covers(runs);
}

#[derive(Debug, Default)]
struct Summary {
    kinds: BTreeMap<String, u64>,
    allowed: BTreeMap<String, u64>,
    /// By kind: those whose data were not compared.
    unmodelled: BTreeMap<String, u64>,
    differences: Vec<(u64, String)>,
}

impl Summary {
    fn add(&mut self, seed: u64, judgement: node::Judgement) {
        if !judgement.modelled {
            *self.unmodelled.entry(judgement.kind.clone()).or_default() += 1;
        }
        *self.kinds.entry(judgement.kind).or_default() += 1;
        if let Some(name) = judgement.allowed {
            *self.allowed.entry(name).or_default() += 1;
        }
        self.differences.extend(judgement.difference.map(|difference| (seed, difference)));
    }

    /// A generator that makes only one kind of document would find nothing.
    fn assert_covers(&self, runs: u64) {
        let count = |kind: &str| self.kinds.get(kind).copied().unwrap_or_default();
        for (kind, least_percent) in [
            ("syntax", 1),
            ("validation", 15),
            ("request", 2),
            ("query", 15),
            ("mutation", 5),
            ("subscription", 3),
        ] {
            assert!(count(kind) * 100 >= runs * least_percent, "too few of {kind}: {self:?}");
        }
        assert!(count("limited") * 100 <= runs * 3, "too many beyond the limits: {self:?}");
        let without_data = |kind: &str| self.unmodelled.get(kind).copied().unwrap_or_default();
        for kind in ["query", "mutation", "subscription"] {
            assert!(
                without_data(kind) * 4 <= count(kind) * 3,
                "too few data of {kind} were compared: {self:?}"
            );
        }
    }
}

/// CUST01's client.
struct Client {
    http: GraphQlClient,
    address: String,
    token: String,
}

impl Client {
    /// Sends a request; returns it with its answer as a line for the judge. An operation that the server takes for a
    /// subscription is sent over WebSocket as well, for its first message.
    async fn ask(&self, sample: Sample) -> String {
        let Sample { query, operation_name, variables } = sample;
        let (query, operation_name) = (json!(query), json!(operation_name));
        let request = format!(r#""query":{query},"operationName":{operation_name},"variables":{variables}"#);
        let response = self.http.post(format!("{{{request}}}")).send().await.unwrap();
        let (status, body) = (response.status().as_u16(), response.text().await.unwrap());
        let first = match body.contains(SUBSCRIPTIONS) {
            true => self.first_message(&format!("{{{request}}}")).await,
            false => "null".to_owned(),
        };
        format!(r#"{{{request},"status":{status},"body":{},"first":{first}}}"#, json!(body))
    }

    /// The message as it came, since a `Value` has no order of keys.
    async fn first_message(&self, request: &str) -> String {
        let mut socket = self.subscribed(request).await;
        loop {
            let message = timeout(WAIT_LIMIT, socket.stream.next()).await.unwrap().unwrap().unwrap();
            if message.is_text() {
                return message.into_text().unwrap().to_string();
            }
        }
    }

    async fn subscribed(&self, request: &str) -> GraphQlSocket {
        let mut socket = GraphQlSocket::open(&self.address).await.unwrap();
        socket.init(json!({ "authorization": format!("Bearer {}", self.token) })).await;
        socket.send_text(format!(r#"{{"type":"subscribe","id":"1","payload":{request}}}"#)).await;
        socket
    }
}

/// Two events of each of CUST01's orders, one after the other.
fn fixed_events(test: &TestApi) -> FixedEvents {
    let data = test.services.data.lock().unwrap();
    let own: Vec<_> = data.events.iter().filter(|event| event.customer_id.to_string() == "CUST01").collect();
    let cursor = |order_id, version| UpdateCursor { order_id, version }.encode();
    let first = own[0].order_id;
    FixedEvents {
        customer_id: "CUST01".to_owned(),
        order_ids: own.iter().map(|event| event.order_id.to_string()).collect(),
        begin: cursor(first, 0),
        cursors: [cursor(first, 1)].into(),
    }
}

/// An API whose data no operation changes: orders are accepted and not decided, and every change is refused.
fn stocked() -> TestApi {
    let test = test_api();
    *test.services.command_outcome.lock().unwrap() = CommandOutcome::Accepted;
    for pattern in [ORDER_UPDATE, ORDER_CANCEL, ORDER_DELETE] {
        test.services.refuse(pattern, refusal(DomainErrorCode::OrderNotFound));
    }
    let mut data = test.services.data.lock().unwrap();
    for (number, customer) in (1..).zip(["CUST01", "CUST01", "CUST01", "CUST01", "CUST01", "CUST02"]) {
        let mut order = ServiceData::placement(customer, &format!("PROD{number:02}"));
        order.order_id.0 = Uuid::from_u128(0x019a_b1f0_7b2a_7c3d_8e4f_0000_0000_0000 + number);
        data.place(&order);
        data.change(order.order_id, |order| match number {
            1 => {
                order.status = OrderStatus::Shipped;
                order.tracking_company = Some("Parcel Co".into());
                order.tracking_number = Some("PC123".into());
            }
            2 => order.status = OrderStatus::Cancelled,
            3 => {
                let shortfall =
                    Shortfall { product_id: "PROD03".parse().unwrap(), requested: 2, available: 1 };
                let (code, message) = (RejectionCode::OutOfStock, "too few".into());
                order.status = OrderStatus::Rejected;
                order.rejection = Some(Rejection { code, message, shortfalls: vec![shortfall] });
            }
            _ => {}
        });
    }
    drop(data);
    test
}

/// What the gateway answers for everything that CUST01 may see.
async fn everything(client: &Client, schema: &Schema, updates: usize) -> Value {
    let omitted = ["Customer", "OrderConnection"];
    let order = schema.full_selection("Order", &["Customer", "OrderConnection", "Product"]);
    let (product, me) =
        (schema.full_selection("Product", &omitted), schema.full_selection("Customer", &omitted));
    let query = format!(
        "{{ me {me} products(first: 100) {{ edges {{ cursor node {product} }} }} \
         orders(first: 100) {{ edges {{ cursor node {order} }} }} }}"
    );
    let mut data = client.http.execute(&query, &json!({})).await.unwrap().data();
    let update = schema.full_selection("OrderUpdate", &["Customer", "OrderConnection", "Product"]);
    let query = format!("subscription {{ orderUpdated {update} }}");
    let mut socket = client.subscribed(&json!({ "query": query }).to_string()).await;
    let mut seen = Vec::new();
    for _ in 0..updates {
        let message = socket.next().await;
        seen.push(message["payload"]["data"]["orderUpdated"].clone());
    }
    data["updates"] = json!(seen);
    let clock = ManualClock::at("2026-11-23T19:10:51.371Z".parse().unwrap());
    data["now"] = json!(clock.now());
    data
}

fn known(data: &Value) -> Known {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let edges = |list: &str| data[list]["edges"].as_array().unwrap().clone();
    let orders = edges("orders");
    let mut order_ids: Vec<String> = orders.iter().map(|edge| text(&edge["node"]["id"])).collect();
    let oldest = order_ids[order_ids.len() - 1].parse().unwrap();
    order_ids.push("019ab1f0-7b2a-7c3d-8e4f-ffffffffffff".into());
    let mut cursors: Vec<String> =
        orders.iter().chain(&edges("products")[..4]).map(|edge| text(&edge["cursor"])).collect();
    cursors.push(UpdateCursor { order_id: oldest, version: 1 }.encode());
    Known { order_ids, cursors }
}

#[expect(clippy::disallowed_methods, reason = "a long run is asked for by these variables")]
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().expect("a number"))
}
