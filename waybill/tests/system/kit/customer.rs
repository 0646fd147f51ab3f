//! The gateway as its clients meet it, and the customers who order through it.

use reqwest::{Body, Method, RequestBuilder};
use serde_json::{Value, json};
use testkit::{GraphQlClient, GraphQlSocket, Reply, WAIT_LIMIT, eventually};

use super::Updates;
use super::token::Token;

/// Everything about an order that the API shows without asking another service.
pub(crate) const ORDER_FIELDS: &str = "id status customerId version cursor createdAt updatedAt shippingAddress \
    trackingCompany trackingNumber totalAmount { amount currencyCode } \
    lineItems { id productId productName quantity unitPrice { amount currencyCode } totalPrice { amount } } \
    rejection { code message shortfalls { productId requested available } }";

/// A gateway that is ready.
#[derive(Debug, Clone)]
pub(crate) struct Gateway(GraphQlClient);

impl Gateway {
    pub(crate) fn at(address: &str) -> Self {
        Self(GraphQlClient::new(address))
    }

    /// Host and port.
    pub(crate) fn address(&self) -> &str {
        self.0.address()
    }

    /// A customer who may read, place and fulfil orders of their own.
    pub(crate) fn customer(&self, id: &str) -> Customer {
        self.bearer(&Token::of(id).sign())
    }

    /// A client with any token, or with a text that is none.
    pub(crate) fn bearer(&self, token: &str) -> Customer {
        Customer(self.0.with_token(token))
    }

    /// A client without a token.
    pub(crate) fn anonymous(&self) -> Customer {
        Customer(self.0.clone())
    }

    /// A request without a token.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.0.request(method, path)
    }

    /// A socket that has not sent `connection_init`.
    pub(crate) async fn socket(&self) -> GraphQlSocket {
        self.0.socket().await.unwrap()
    }
}

/// A client of the API.
#[derive(Debug, Clone)]
pub(crate) struct Customer(GraphQlClient);

impl Customer {
    /// Sends a document and its variables.
    pub(crate) async fn sends(&self, query: &str, variables: Value) -> Reply {
        self.0.execute(query, &variables).await.unwrap()
    }

    /// Sends any body.
    pub(crate) async fn posts(&self, body: impl Into<Body>) -> Reply {
        testkit::reply(self.0.post(body)).await.unwrap()
    }

    /// Sends a document with one root field, which must be answered without errors; returns the field's value.
    pub(crate) async fn asks(&self, query: &str, variables: Value) -> Value {
        let data = self.sends(query, variables).await.data();
        let fields = data.as_object().unwrap();
        assert_eq!(fields.len(), 1, "{data}");
        fields.values().next().unwrap().clone()
    }

    /// Places the input's order; returns the payload.
    pub(crate) async fn creates(&self, input: Value) -> Value {
        self.creates_with(json!({ "input": input })).await
    }

    /// Places the input's order without waiting for its outcome; returns the payload.
    pub(crate) async fn creates_without_waiting(&self, input: Value) -> Value {
        self.creates_with(json!({ "input": input, "wait": false })).await
    }

    async fn creates_with(&self, variables: Value) -> Value {
        let query = format!(
            "mutation($input: CreateOrderInput!, $wait: Boolean! = true) {{ createOrder(input: $input, wait: $wait) {{ \
             order {{ {ORDER_FIELDS} }} replayed userErrors {{ code message field }} }} }}"
        );
        self.asks(&query, variables).await
    }

    /// Places an order of these quantities, which must be accepted; returns the order as it is answered.
    pub(crate) async fn places_order(&self, items: &[(&str, u32)]) -> Value {
        let payload = self.creates(json!({ "items": self::items(items) })).await;
        assert_eq!(payload["userErrors"], json!([]), "{payload:#}");
        payload["order"].clone()
    }

    /// Places an order of these quantities; returns it once it is PROCESSING.
    pub(crate) async fn has_ordered(&self, items: &[(&str, u32)]) -> Value {
        let order = self.places_order(items).await;
        self.sees_status(order["id"].as_str().unwrap(), "PROCESSING").await
    }

    /// Updates an order; returns the payload.
    pub(crate) async fn updates(&self, input: Value) -> Value {
        self.changes("updateOrder", "UpdateOrderInput", input).await
    }

    /// Cancels an order; returns the payload.
    pub(crate) async fn cancels(&self, input: Value) -> Value {
        self.changes("cancelOrder", "CancelOrderInput", input).await
    }

    /// Deletes an order; returns the payload.
    pub(crate) async fn deletes(&self, input: Value) -> Value {
        let query = "mutation($input: DeleteOrderInput!) { deleteOrder(input: $input) { \
                     deletedOrderId userErrors { code message field } } }";
        self.asks(query, json!({ "input": input })).await
    }

    async fn changes(&self, field: &str, input_type: &str, input: Value) -> Value {
        let query = format!(
            "mutation($input: {input_type}!) {{ {field}(input: $input) {{ \
             order {{ {ORDER_FIELDS} }} userErrors {{ code message field }} }} }}"
        );
        self.asks(&query, json!({ "input": input })).await
    }

    /// An order, or null.
    pub(crate) async fn reads(&self, id: &str) -> Value {
        let query = format!("query($id: ID!) {{ order(id: $id) {{ {ORDER_FIELDS} }} }}");
        self.asks(&query, json!({ "id": id })).await
    }

    /// The customer's own orders, newest first, up to a hundred.
    pub(crate) async fn lists(&self) -> Vec<Value> {
        let query = format!("{{ orders(first: 100) {{ nodes {{ {ORDER_FIELDS} }} }} }}");
        self.asks(&query, json!({})).await["nodes"].as_array().unwrap().clone()
    }

    /// A product, or null.
    pub(crate) async fn looks_at(&self, product: &str) -> Value {
        let query = "query($id: ID!) { product(id: $id) { id name unitPrice { amount currencyCode } availableQuantity } }";
        self.asks(query, json!({ "id": product })).await
    }

    /// Waits until the order has the status; returns it.
    pub(crate) async fn sees_status(&self, id: &str, status: &str) -> Value {
        eventually(&format!("order {id} is {status}"), async || {
            let order = self.reads(id).await;
            if order["status"] == status { Ok(order) } else { Err(order) }
        })
        .await
    }

    /// Waits until the order is PROCESSING; errors are retried until order-service is back.
    pub(crate) async fn sees_processing_despite_faults(&self, id: &str) {
        let query = "query($id: ID!) { order(id: $id) { status } }";
        eventually(&format!("order {id} is PROCESSING"), async || {
            let reply = self.sends(query, json!({ "id": id })).await;
            if reply.body["data"]["order"]["status"] == "PROCESSING" { Ok(()) } else { Err(reply.body) }
        })
        .await;
    }

    /// Waits until this quantity of the product is available.
    pub(crate) async fn sees_available(&self, product: &str, units: i64) {
        eventually(&format!("{units} of {product} are available"), async || {
            let product = self.looks_at(product).await;
            if product["availableQuantity"] == units { Ok(()) } else { Err(product) }
        })
        .await;
    }

    /// Subscribes to the customer's own orders from now on.
    pub(crate) async fn subscribes(&self) -> Updates {
        self.subscribes_to("").await
    }

    /// Subscribes to orderUpdated with arguments such as `(orderId: "...")`.
    pub(crate) async fn subscribes_to(&self, arguments: &str) -> Updates {
        let socket =
            tokio::time::timeout(WAIT_LIMIT, self.0.connect()).await.expect("connects in time").unwrap();
        Updates::subscribe(socket, arguments).await
    }
}

/// The `items` of an input.
pub(crate) fn items(items: &[(&str, u32)]) -> Value {
    items.iter().map(|(product, quantity)| json!({ "productId": product, "quantity": quantity })).collect()
}
