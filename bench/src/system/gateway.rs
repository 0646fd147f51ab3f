//! A gateway as its clients see it.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::GraphQlClient;

use super::catalogue::{CUSTOMERS, customer_id, product_id};
use super::past_orders::OrderRef;
use super::token::{customer_token, staff_token};
use crate::documents::{CREATE_ORDER, ORDER, ORDERS};
use crate::wrk::{GraphQlRequest, Requests};

/// A gateway, with the tokens of every customer.
#[derive(Clone)]
pub(crate) struct Gateway {
    /// Host and port.
    pub(crate) address: String,
    client: GraphQlClient,
    tokens: Vec<String>,
    pub(crate) staff_token: String,
}

impl Gateway {
    pub(crate) fn at(address: &str) -> Result<Self> {
        let tokens = (0..CUSTOMERS).map(|number| customer_token(&customer_id(number)));
        Ok(Self {
            address: address.to_owned(),
            client: GraphQlClient::new(address),
            tokens: tokens.collect::<Result<_>>()?,
            staff_token: staff_token()?,
        })
    }

    /// A client with a token for all orders.
    pub(crate) fn staff(&self) -> GraphQlClient {
        self.client.with_token(&self.staff_token)
    }

    /// The token of the customer of this number.
    pub(crate) fn token(&self, customer: usize) -> &str {
        &self.tokens[customer % CUSTOMERS]
    }

    /// Executes a document as a customer and returns the whole answer, which has data and no errors.
    pub(crate) async fn execute(&self, token: &str, query: &str, variables: &Value) -> Result<Value> {
        let reply = self.client.with_token(token).execute(query, variables).await?;
        ensure!(reply.body.get("errors").is_none() && reply.body["data"].is_object(), "{}", reply.body);
        Ok(reply.body)
    }

    /// Requests for each of the orders, by its customer; and the checked answer to the first.
    pub(crate) async fn order_requests(&self, orders: &[OrderRef]) -> Result<(Requests, Value)> {
        let variables = |order: &OrderRef| json!({ "id": order.id });
        let first = orders.first().context("there are no orders")?;
        let answer = self.execute(self.token(first.customer), ORDER, &variables(first)).await?;
        ensure!(answer["data"]["order"]["id"] == *first.id, "{answer}");
        let request = |order| self.request(order, ORDER, variables(order));
        Ok((Requests::new(orders.iter().map(request), answer.to_string().len())?, answer))
    }

    fn request<'a>(&'a self, order: &OrderRef, query: &'a str, variables: Value) -> GraphQlRequest<'a> {
        GraphQlRequest { token: self.token(order.customer), query, variables }
    }

    /// Requests for each customer's twenty newest orders; and the checked answer to the first.
    pub(crate) async fn page_requests(&self) -> Result<(Requests, Value)> {
        let variables = json!({ "first": 20 });
        let answer = self.execute(self.token(0), ORDERS, &variables).await?;
        let nodes = answer["data"]["orders"]["nodes"].as_array().context("no nodes")?;
        ensure!(nodes.len() == 20 && nodes[0]["customer"]["name"] != Value::Null, "{answer}");
        let requests = self.tokens.iter().map(|token| GraphQlRequest {
            token,
            query: ORDERS,
            variables: variables.clone(),
        });
        Ok((Requests::new(requests, answer.to_string().len())?, answer))
    }

    /// Requests for the page of all orders that begins with the newest of those placed before this time.
    pub(crate) async fn deep_page_requests(&self, before: &str) -> Result<Requests> {
        const CURSOR: &str = "query ($before: DateTime) { orders(allCustomers: true, first: 1, placedBefore: $before) { \
            edges { cursor } } }";
        const PAGE: &str = "query ($after: String) { orders(allCustomers: true, first: 20, after: $after) { \
            nodes { id status version totalAmount { amount currencyCode } createdAt } \
            pageInfo { hasNextPage endCursor } } }";
        let newest = self.execute(&self.staff_token, CURSOR, &json!({ "before": before })).await?;
        let after = &newest["data"]["orders"]["edges"][0]["cursor"];
        let variables = json!({ "after": after });
        let answer = self.execute(&self.staff_token, PAGE, &variables).await?;
        let nodes = answer["data"]["orders"]["nodes"].as_array().context("no nodes")?;
        ensure!(after.is_string() && nodes.len() == 20, "{answer}");
        let request = GraphQlRequest { token: &self.staff_token, query: PAGE, variables };
        Requests::new([request], answer.to_string().len())
    }

    /// Requests for the first twenty products that match each of a hundred searches; open to everybody.
    pub(crate) async fn search_requests(&self) -> Result<Requests> {
        const SEARCH: &str = "query ($search: String) { products(first: 20, search: $search) { \
            nodes { id name unitPrice { amount currencyCode } availableQuantity } } }";
        let variables = |number: usize| json!({ "search": format!("thing {number}") });
        let answer = self.execute(self.token(0), SEARCH, &variables(99)).await?;
        let nodes = answer["data"]["products"]["nodes"].as_array().context("no nodes")?;
        ensure!(!nodes.is_empty(), "{answer}");
        let request =
            |number| GraphQlRequest { token: self.token(0), query: SEARCH, variables: variables(number) };
        Requests::new((0..100).map(request), answer.to_string().len())
    }

    /// Requests for new orders of two products each, by all customers; and the checked answer to one of them.
    pub(crate) async fn create_requests(&self, wait: bool) -> Result<(Requests, Value)> {
        let answer = self.create_order(0, wait).await?;
        let requests = (0..10 * CUSTOMERS).map(|number| GraphQlRequest {
            token: self.token(number),
            query: CREATE_ORDER,
            variables: create_variables(number, wait),
        });
        Ok((Requests::new(requests, answer.to_string().len())?, answer))
    }

    /// Places an order of the customer of this number; returns the whole answer. With `wait` the order is PROCESSING.
    pub(crate) async fn create_order(&self, number: usize, wait: bool) -> Result<Value> {
        let answer = self.create_order_or_pending(number, wait).await?;
        ensure!(!wait || answer["data"]["createOrder"]["order"]["status"] == "PROCESSING", "{answer}");
        Ok(answer)
    }

    /// The same, and the order may be PENDING when the gateway has waited for as long as it does.
    pub(crate) async fn create_order_or_pending(&self, number: usize, wait: bool) -> Result<Value> {
        let variables = create_variables(number, wait);
        let answer = self.execute(self.token(number), CREATE_ORDER, &variables).await?;
        ensure!(answer["data"]["createOrder"]["order"]["id"].is_string(), "{answer}");
        Ok(answer)
    }

    /// The newest orders, at most so many.
    pub(crate) async fn newest_orders(&self, limit: usize) -> Result<Vec<OrderRef>> {
        const PAGE: &str = "query ($after: String) { orders(allCustomers: true, first: 100, after: $after) { \
            nodes { id customerId } pageInfo { hasNextPage endCursor } } }";
        let mut orders = Vec::new();
        let mut after = Value::Null;
        while orders.len() < limit {
            let page = self.execute(&self.staff_token, PAGE, &json!({ "after": after })).await?;
            let page = &page["data"]["orders"];
            for node in page["nodes"].as_array().context("no nodes")? {
                orders.push(OrderRef::new(&node["id"], &node["customerId"])?);
            }
            if page["pageInfo"]["hasNextPage"] != true {
                break;
            }
            after = page["pageInfo"]["endCursor"].clone();
        }
        orders.truncate(limit);
        Ok(orders)
    }

    /// Waits until so many orders are stored and decided.
    pub(crate) async fn settled(&self, limit: Duration) -> Result<()> {
        const PENDING: &str =
            "{ orders(allCustomers: true, first: 1, statuses: [PENDING]) { nodes { id } } }";
        let is_settled = async || {
            let page = self.execute(&self.staff_token, PENDING, &json!({})).await;
            page.is_ok_and(|page| page["data"]["orders"]["nodes"].as_array().is_some_and(Vec::is_empty))
        };
        let deadline = tokio::time::Instant::now() + limit;
        while !is_settled().await {
            ensure!(tokio::time::Instant::now() < deadline, "orders are still PENDING after {limit:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }
}

fn create_variables(number: usize, wait: bool) -> Value {
    let item =
        |product: usize, quantity: usize| json!({ "productId": product_id(product), "quantity": quantity });
    json!({ "input": { "items": [item(number, 1), item(number + 37, 2)] }, "wait": wait })
}
