//! The demo's orders, which an empty shop is filled with.
//!
//! They are placed as any client places orders, by GraphQL: under fixed keys, so that a start that was cut off is finished by
//! the next one and nothing is placed twice. Each address says that it is demo data.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use gateway::auth::{Scope, mint};
use serde_json::{Value, json};
use service_kit::config::Secret;

use crate::admin::http_client;

/// Marks the address of each demo order.
const MARK: &str = "[demo]";
/// Also how long the whole takes at most.
const LIMIT: Duration = Duration::from_secs(10);
const PENDING_PAUSE: Duration = Duration::from_millis(100);

struct DemoOrder {
    key: &'static str,
    customer: &'static str,
    address: &'static str,
    items: &'static [(&'static str, u32)],
    /// The statuses that it goes through after PROCESSING.
    then: &'static [&'static str],
}

#[rustfmt::skip]
const ORDERS: [DemoOrder; 7] = [
    DemoOrder { key: "demo-1", customer: "CUST01", address: "1 Harbour Street, Portland", items: &[("PROD01", 2), ("PROD05", 1)], then: &["SHIPPED", "DELIVERED"] },
    DemoOrder { key: "demo-2", customer: "CUST02", address: "27 Mill Lane, Burlington", items: &[("PROD14", 1)], then: &["CANCELLED"] },
    DemoOrder { key: "demo-3", customer: "CUST02", address: "27 Mill Lane, Burlington", items: &[("PROD08", 1), ("PROD12", 1)], then: &["SHIPPED"] },
    DemoOrder { key: "demo-4", customer: "CUST01", address: "1 Harbour Street, Portland", items: &[("PROD28", 2)], then: &[] },
    DemoOrder { key: "demo-5", customer: "CUST01", address: "1 Harbour Street, Portland", items: &[("PROD17", 4), ("PROD18", 1), ("PROD19", 2)], then: &["SHIPPED"] },
    DemoOrder { key: "demo-6", customer: "CUST02", address: "27 Mill Lane, Burlington", items: &[("PROD23", 3)], then: &[] },
    DemoOrder { key: "demo-7", customer: "CUST01", address: "1 Harbour Street, Portland", items: &[("PROD21", 1)], then: &[] },
];

const CREATE: &str =
    "mutation($input: CreateOrderInput!) { createOrder(input: $input) { order { id status version } } }";
const READ: &str = "query($id: ID!) { order(id: $id) { id status version } }";
const UPDATE: &str =
    "mutation($input: UpdateOrderInput!) { updateOrder(input: $input) { order { id status version } } }";
const OLDEST: &str = "{ orders(allCustomers: true, last: 1) { nodes { shippingAddress } } }";

/// Places the demo's orders in a shop that has none but these, through the gateway at this address, with tokens that are
/// made with mock mode's secret.
pub(crate) async fn place(gateway: SocketAddr, secret: &Secret) -> anyhow::Result<()> {
    let placed = tokio::time::timeout(LIMIT, place_all(gateway, secret)).await;
    placed.unwrap_or_else(|_| bail!("the demo's orders are not placed after {} s", LIMIT.as_secs()))
}

async fn place_all(gateway: SocketAddr, secret: &Secret) -> anyhow::Result<()> {
    let operator = Client::new(gateway, secret, "DEMO")?;
    let oldest = operator.sends(OLDEST, json!({})).await?;
    let oldest = &oldest["orders"]["nodes"][0];
    let is_demo = oldest["shippingAddress"].as_str().is_some_and(|address| address.starts_with(MARK));
    if !oldest.is_null() && !is_demo {
        return Ok(());
    }
    for order in &ORDERS {
        let customer = Client::new(gateway, secret, order.customer)?;
        let items = order.items.iter().map(|(id, quantity)| json!({ "productId": id, "quantity": quantity }));
        let input = json!({
            "idempotencyKey": order.key,
            "shippingAddress": format!("{MARK} {}", order.address),
            "items": items.collect::<Value>(),
        });
        let created = customer.sends(CREATE, json!({ "input": input })).await?;
        // One that was deleted since is not placed again.
        let mut state = created["createOrder"]["order"].clone();
        while state["status"] == "PENDING" {
            tokio::time::sleep(PENDING_PAUSE).await;
            let read = customer.sends(READ, json!({ "id": state["id"] })).await?["order"].take();
            state = if read.is_null() { state } else { read };
        }
        let mut previous = "PROCESSING";
        for &status in order.then {
            // An order that was changed since stays as it is.
            if state["status"] == previous {
                let mut input =
                    json!({ "id": state["id"], "status": status, "expectedVersion": state["version"] });
                if status == "SHIPPED" {
                    input["trackingCompany"] = json!("Demo Parcel");
                    input["trackingNumber"] = json!(order.key.to_uppercase());
                }
                let changed = operator.sends(UPDATE, json!({ "input": input })).await?;
                state = changed["updateOrder"]["order"].clone();
            }
            previous = status;
        }
    }
    Ok(())
}

struct Client {
    http: reqwest::Client,
    url: String,
    token: String,
}

impl Client {
    fn new(gateway: SocketAddr, secret: &Secret, customer: &str) -> anyhow::Result<Self> {
        let scopes = [Scope::OrdersRead, Scope::OrdersWrite, Scope::OrdersFulfil, Scope::OrdersAll];
        let token = mint(secret.expose(), customer, scopes.into_iter().collect(), LIMIT)?;
        Ok(Self { http: http_client(LIMIT)?, url: format!("http://{gateway}/graphql"), token })
    }

    async fn sends(&self, query: &str, variables: Value) -> anyhow::Result<Value> {
        let request = self.http.post(&self.url).bearer_auth(&self.token);
        let response = request.json(&json!({ "query": query, "variables": variables })).send().await?;
        let mut answer: Value = response.json().await.context("the gateway's answer is no JSON")?;
        if let Some(error) = answer["errors"][0]["message"].as_str() {
            bail!("{error}");
        }
        Ok(answer["data"].take())
    }
}
