//! Somebody who orders.

use serde_json::{Value, json};
use testkit::eventually;

use super::{Shop, Updates};

/// Everything about an order that the API shows without asking another service.
pub(crate) const ORDER_FIELDS: &str = "id status customerId version cursor createdAt updatedAt shippingAddress \
    trackingCompany trackingNumber totalAmount { amount currencyCode } \
    lineItems { id productId productName quantity unitPrice { amount currencyCode } totalPrice { amount } } \
    rejection { code message shortfalls { productId requested available } }";

/// A caller of the API.
#[derive(Debug, Clone)]
pub(crate) struct Customer {
    shop: Shop,
    token: Option<String>,
}

/// An answer: its status and its JSON.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Reply {
    /// The data, of an answer that has no errors.
    #[track_caller]
    pub(crate) fn data(self) -> Value {
        assert!(self.body.get("errors").is_none(), "{:#}", self.body);
        self.body["data"].clone()
    }

    /// The code of the first error.
    pub(crate) fn code(&self) -> Option<&str> {
        self.body["errors"][0]["extensions"]["code"].as_str()
    }
}

impl Customer {
    pub(super) fn new(shop: Shop, token: Option<String>) -> Self {
        Self { shop, token }
    }

    /// Sends a document and its variables.
    pub(crate) async fn sends(&self, query: &str, variables: Value) -> Reply {
        self.posts(json!({ "query": query, "variables": variables }).to_string()).await
    }

    /// Sends any body.
    pub(crate) async fn posts(&self, body: impl Into<reqwest::Body>) -> Reply {
        let mut request = self
            .shop
            .post(body)
            .header("content-type", "application/json")
            .header("accept", "application/graphql-response+json");
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        Reply { status, body: serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status}: {text}")) }
    }

    /// Sends what must be answered without errors, and answers the one field asked for.
    pub(crate) async fn asks(&self, query: &str, variables: Value) -> Value {
        let data = self.sends(query, variables).await.data();
        let fields = data.as_object().unwrap();
        assert_eq!(fields.len(), 1, "{data}");
        fields.values().next().unwrap().clone()
    }

    /// Orders what the input says and answers the payload.
    pub(crate) async fn creates(&self, input: Value) -> Value {
        self.creates_with(json!({ "input": input })).await
    }

    /// Orders without waiting for the outcome, and answers the payload.
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

    /// Orders so many of each product, which must be accepted, and answers the order as it is then.
    pub(crate) async fn places_order(&self, items: &[(&str, u32)]) -> Value {
        let payload = self.creates(json!({ "items": self::items(items) })).await;
        assert_eq!(payload["userErrors"], json!([]), "{payload:#}");
        payload["order"].clone()
    }

    /// Orders so many of each product and sees the order PROCESSING.
    pub(crate) async fn has_ordered(&self, items: &[(&str, u32)]) -> Value {
        let order = self.places_order(items).await;
        self.sees_status(order["id"].as_str().unwrap(), "PROCESSING").await
    }

    /// Changes an order and answers the payload.
    pub(crate) async fn updates(&self, input: Value) -> Value {
        self.changes("updateOrder", "UpdateOrderInput", input).await
    }

    /// Withdraws an order and answers the payload.
    pub(crate) async fn cancels(&self, input: Value) -> Value {
        self.changes("cancelOrder", "CancelOrderInput", input).await
    }

    /// Deletes an order and answers the payload.
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

    /// All of one's own orders, newest first, up to a hundred.
    pub(crate) async fn lists(&self) -> Vec<Value> {
        let query = format!("{{ orders(first: 100) {{ nodes {{ {ORDER_FIELDS} }} }} }}");
        self.asks(&query, json!({})).await["nodes"].as_array().unwrap().clone()
    }

    /// A product, or null.
    pub(crate) async fn looks_at(&self, product: &str) -> Value {
        let query = "query($id: ID!) { product(id: $id) { id name unitPrice { amount currencyCode } availableQuantity } }";
        self.asks(query, json!({ "id": product })).await
    }

    /// Waits until the order has the status, and answers it as it is then.
    pub(crate) async fn sees_status(&self, id: &str, status: &str) -> Value {
        eventually(&format!("order {id} is {status}"), async || {
            let order = self.reads(id).await;
            if order["status"] == status { Ok(order) } else { Err(order) }
        })
        .await
    }

    /// Waits until the order is PROCESSING, whatever is answered until order-service is back.
    pub(crate) async fn sees_processing_despite_faults(&self, id: &str) {
        let query = "query($id: ID!) { order(id: $id) { status } }";
        eventually(&format!("order {id} is PROCESSING"), async || {
            let reply = self.sends(query, json!({ "id": id })).await;
            if reply.body["data"]["order"]["status"] == "PROCESSING" { Ok(()) } else { Err(reply.body) }
        })
        .await;
    }

    /// Waits until so many units are available.
    pub(crate) async fn sees_available(&self, product: &str, units: i64) {
        eventually(&format!("{units} of {product} are available"), async || {
            let product = self.looks_at(product).await;
            if product["availableQuantity"] == units { Ok(()) } else { Err(product) }
        })
        .await;
    }

    /// Follows one's own orders from now on.
    pub(crate) async fn subscribes(&self) -> Updates {
        self.subscribes_to("").await
    }

    /// Follows what the arguments of orderUpdated say, such as `(orderId: "...")`.
    pub(crate) async fn subscribes_to(&self, arguments: &str) -> Updates {
        let mut socket = self.shop.socket().await;
        socket.signs_in(self.token.as_deref()).await;
        socket.subscribes(arguments).await
    }
}

/// Items as an input has them.
pub(crate) fn items(items: &[(&str, u32)]) -> Value {
    items.iter().map(|(product, quantity)| json!({ "productId": product, "quantity": quantity })).collect()
}
