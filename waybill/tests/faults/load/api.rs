//! The public API as a customer's client uses it: sends mutations and reads off the answer whether they were done.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use testkit::{GraphQlClient, http_client, refused_connection};
use uuid::Uuid;

/// How long a client waits for an answer before it counts the outcome as unknown.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

const CREATE: &str = "mutation ($input: CreateOrderInput!, $wait: Boolean!) {
    createOrder(input: $input, wait: $wait) {
        replayed order { id status version cursor } userErrors { code message }
    } }";

/// What an order asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Basket {
    pub(crate) items: Vec<BasketItem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) shipping_address: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BasketItem {
    pub(crate) product_id: String,
    pub(crate) quantity: i64,
}

impl Basket {
    /// One of one product.
    pub(crate) fn single(product_id: &str) -> Self {
        Self {
            items: vec![BasketItem { product_id: product_id.to_owned(), quantity: 1 }],
            shipping_address: None,
        }
    }
}

/// An order as an answer shows it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Shown {
    #[serde(rename = "id")]
    pub(crate) order_id: Uuid,
    pub(crate) status: String,
    pub(crate) version: i64,
    pub(crate) cursor: String,
}

/// What an answer says was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was done.
    Ok { order: Shown, replayed: Option<bool> },
    /// The caller's fault, by `userErrors`' first code.
    Refused(String),
    /// Nothing was done, by the error's code or because no connection was made.
    Nothing { code: String, retryable: bool },
    /// It may have been done.
    Unknown(String),
}

/// One customer's client of all gateways. Clones share which gateway is next.
#[derive(Clone)]
pub(crate) struct Api {
    customer: String,
    gateways: Vec<GraphQlClient>,
    turn: Arc<AtomicUsize>,
}

/// The HTTP client of the tests.
pub(crate) fn http() -> &'static reqwest::Client {
    static CLIENT: LazyLock<reqwest::Client> = LazyLock::new(|| {
        http_client().connect_timeout(Duration::from_secs(2)).timeout(ANSWER_LIMIT).build().unwrap()
    });
    &CLIENT
}

impl Api {
    pub(crate) fn new(customer: &str, gateways: &[String], token: &str) -> Self {
        let client = |address: &String| GraphQlClient::over(http().clone(), address).with_token(token);
        let gateways = gateways.iter().map(client).collect();
        Self { customer: customer.to_owned(), gateways, turn: Arc::default() }
    }

    pub(crate) fn customer(&self) -> &str {
        &self.customer
    }

    /// The next gateway, in rotation.
    pub(crate) fn gateway(&self) -> &GraphQlClient {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        &self.gateways[turn % self.gateways.len()]
    }

    /// Sends createOrder once. Where a gateway refuses the connection, the others are tried.
    pub(crate) async fn create_order(&self, basket: &Basket, key: Option<&str>, wait: bool) -> Outcome {
        let mut input = json!(basket);
        if let Some(key) = key {
            input["idempotencyKey"] = json!(key);
        }
        self.mutate("createOrder", CREATE, json!({ "input": input, "wait": wait })).await
    }

    /// Sends one of the changes (`cancelOrder`, `updateOrder`) once.
    pub(crate) async fn change_order(&self, field: &str, input: Value) -> Outcome {
        let kind = format!("{}{}Input", field[..1].to_uppercase(), &field[1..]);
        let document = format!(
            "mutation ($input: {kind}!) {{ {field}(input: $input) {{ order {{ id status version cursor }} \
             userErrors {{ code message }} }} }}"
        );
        self.mutate(field, &document, json!({ "input": input })).await
    }

    /// Deletes an order; says what was done.
    pub(crate) async fn delete_order(&self, id: Uuid) -> Result<(), Outcome> {
        let document = "mutation ($input: DeleteOrderInput!) {
            deleteOrder(input: $input) { deletedOrderId userErrors { code } } }";
        let answer = self.send(document, &json!({ "input": { "id": id } })).await.map_err(Outcome::from)?;
        let payload = payload("deleteOrder", &answer)?;
        if payload["deletedOrderId"].is_null() {
            return Err(Outcome::Unknown(format!("an answer that can't be read: {answer}")));
        }
        Ok(())
    }

    /// Looks an order up; says whether that was answered, or which code the error has.
    pub(crate) async fn read_order(&self, id: Uuid) -> Result<(), String> {
        match self.send("query ($id: ID!) { order(id: $id) { id status } }", &json!({ "id": id })).await {
            Ok(answer) if answer.get("errors").is_none() => Ok(()),
            Ok(answer) => {
                Err(answer["errors"][0]["extensions"]["code"].as_str().unwrap_or("none").to_owned())
            }
            Err(unsent) => Err(format!("{unsent:?}")),
        }
    }

    /// Returns a query's data, or the answer's errors.
    pub(crate) async fn query(&self, document: &str, variables: Value) -> Result<Value> {
        let answer =
            self.send(document, &variables).await.map_err(|unsent| anyhow!("not answered: {unsent:?}"))?;
        anyhow::ensure!(answer.get("errors").is_none(), "{}", answer["errors"]);
        Ok(answer["data"].clone())
    }

    async fn mutate(&self, field: &str, document: &str, variables: Value) -> Outcome {
        match self.send(document, &variables).await {
            Ok(answer) => outcome(field, &answer),
            Err(unsent) => unsent.into(),
        }
    }

    async fn send(&self, document: &str, variables: &Value) -> Result<Value, Unsent> {
        for _ in 0..self.gateways.len() {
            match self.gateway().execute(document, variables).await {
                Ok(reply) => return Ok(reply.body),
                Err(error) if refused_connection(&error) => {}
                Err(error) => return Err(Unsent::Broken(format!("{error:?}"))),
            }
        }
        Err(Unsent::Refused)
    }
}

/// Why there is no answer.
#[derive(Debug)]
enum Unsent {
    /// No gateway takes a connection.
    Refused,
    /// The connection broke, for this reason.
    Broken(String),
}

impl From<Unsent> for Outcome {
    fn from(unsent: Unsent) -> Self {
        match unsent {
            Unsent::Refused => Self::Nothing { code: "CONNECTION_REFUSED".to_owned(), retryable: true },
            Unsent::Broken(reason) => Self::Unknown(reason),
        }
    }
}

/// Returns the payload of a mutation that was done; else what was done.
fn payload<'a>(field: &str, answer: &'a Value) -> Result<&'a Value, Outcome> {
    let payload = &answer["data"][field];
    if let Some(error) = answer["errors"].get(0) {
        let extensions = &error["extensions"];
        let code = extensions["code"].as_str().unwrap_or("none").to_owned();
        return Err(match extensions["outcome"].as_str() {
            Some("NONE") => Outcome::Nothing { code, retryable: extensions["retryable"] == json!(true) },
            _ => Outcome::Unknown(code),
        });
    }
    match payload["userErrors"].get(0) {
        Some(refusal) => Err(Outcome::Refused(refusal["code"].as_str().unwrap_or("none").to_owned())),
        None => Ok(payload),
    }
}

fn outcome(field: &str, answer: &Value) -> Outcome {
    let payload = match payload(field, answer) {
        Ok(payload) => payload,
        Err(outcome) => return outcome,
    };
    match serde_json::from_value(payload["order"].clone()).context("an order") {
        Ok(order) => Outcome::Ok { order, replayed: payload["replayed"].as_bool() },
        Err(_) => Outcome::Unknown(format!("an answer that can't be read: {answer}")),
    }
}
