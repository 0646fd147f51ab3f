//! C: the same documents answered by async-graphql and axum alone, with the same data and no backend.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use async_graphql::{Context, EmptySubscription, ID, InputObject, Object, Schema, SimpleObject};
use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;
use testkit::{Process, free_port};
use tokio::net::TcpListener;

use crate::system::own_program;
use crate::usage::Watched;

/// The fields of an answer's data that the floor answers with.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum Data {
    Order {
        order: Order,
    },
    Orders {
        orders: OrderConnection,
    },
    #[serde(rename_all = "camelCase")]
    CreateOrder {
        create_order: CreateOrderPayload,
    },
}

#[derive(Clone, Deserialize, SimpleObject)]
#[serde(rename_all = "camelCase")]
struct Order {
    id: ID,
    status: String,
    version: i32,
    customer_id: Option<ID>,
    customer: Option<Customer>,
    total_amount: Option<Money>,
    shipping_address: Option<String>,
    cursor: Option<String>,
    line_items: Vec<LineItem>,
    created_at: Option<String>,
    updated_at: Option<String>,
}

#[derive(Clone, Deserialize, SimpleObject)]
struct Customer {
    id: ID,
    name: String,
    email: String,
}

#[derive(Clone, Deserialize, SimpleObject)]
#[serde(rename_all = "camelCase")]
struct Money {
    amount: String,
    currency_code: String,
}

#[derive(Clone, Deserialize, SimpleObject)]
#[serde(rename_all = "camelCase")]
struct LineItem {
    id: ID,
    product_id: ID,
    product_name: Option<String>,
    quantity: i32,
    unit_price: Option<Money>,
    product: Option<Product>,
}

#[derive(Clone, Deserialize, SimpleObject)]
#[serde(rename_all = "camelCase")]
struct Product {
    id: ID,
    name: String,
    description: String,
    unit_price: Money,
    available_quantity: i32,
}

#[derive(Clone, Deserialize, SimpleObject)]
#[serde(rename_all = "camelCase")]
struct OrderConnection {
    nodes: Vec<Order>,
    page_info: PageInfo,
}

#[derive(Clone, Deserialize, SimpleObject)]
#[serde(rename_all = "camelCase")]
struct PageInfo {
    has_next_page: bool,
    end_cursor: Option<String>,
}

#[derive(Clone, Deserialize, SimpleObject)]
#[serde(rename_all = "camelCase")]
struct CreateOrderPayload {
    order: Option<Order>,
    user_errors: Vec<UserError>,
}

#[derive(Clone, Deserialize, SimpleObject)]
struct UserError {
    code: String,
    message: String,
}

#[derive(InputObject)]
struct CreateOrderInput {
    items: Vec<OrderItemInput>,
    shipping_address: Option<String>,
    idempotency_key: Option<String>,
}

#[derive(InputObject)]
struct OrderItemInput {
    product_id: ID,
    quantity: i32,
}

struct Query;

#[Object]
impl Query {
    async fn order(&self, context: &Context<'_>, id: ID) -> async_graphql::Result<Option<Order>> {
        drop(id);
        Ok(match context.data::<Data>()? {
            Data::Order { order } => Some(order.clone()),
            _ => None,
        })
    }

    async fn orders(
        &self,
        context: &Context<'_>,
        first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<Option<OrderConnection>> {
        drop((first, after));
        Ok(match context.data::<Data>()? {
            Data::Orders { orders } => Some(orders.clone()),
            _ => None,
        })
    }
}

struct Mutation;

#[Object]
impl Mutation {
    async fn create_order(
        &self,
        context: &Context<'_>,
        input: CreateOrderInput,
        wait: bool,
    ) -> async_graphql::Result<Option<CreateOrderPayload>> {
        drop((input, wait));
        Ok(match context.data::<Data>()? {
            Data::CreateOrder { create_order } => Some(create_order.clone()),
            _ => None,
        })
    }
}

type FloorSchema = Schema<Query, Mutation, EmptySubscription>;

/// Answers on this port with the data of the file, until the process is ended.
pub(crate) async fn serve_graphql(port: u16, answer: &Path) -> Result<()> {
    let answer: Value = serde_json::from_slice(&std::fs::read(answer)?)?;
    let data: Data = serde_json::from_value(answer["data"].clone()).context("an answer of another form")?;
    let schema = Schema::build(Query, Mutation, EmptySubscription).data(data).finish();
    let routes =
        Router::new().route("/graphql", post(execute)).route("/readyz", get(async || "")).with_state(schema);
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    Ok(axum::serve(listener, routes).await?)
}

async fn execute(
    State(schema): State<FloorSchema>,
    Json(request): Json<async_graphql::Request>,
) -> Json<async_graphql::Response> {
    Json(schema.execute(request).await)
}

/// A process that answers like this.
pub(crate) struct GraphQlFloor {
    process: Process,
    pub(crate) address: String,
    _folder: TempDir,
}

impl GraphQlFloor {
    /// Starts one that gives this answer, with its data, to every document that it was given to.
    pub(crate) async fn start(answer: &Value) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let file: PathBuf = folder.path().join("answer.json");
        std::fs::write(&file, answer.to_string())?;
        let port = free_port();
        let arguments =
            ["serve-graphql", "--port", &port.to_string(), "--answer", &file.display().to_string()];
        let process = own_program(&arguments)?.start();
        let address = format!("127.0.0.1:{port}");
        process.answers(&address, "/readyz").await?;
        Ok(Self { process, address, _folder: folder })
    }

    pub(crate) fn watched(&self) -> Watched {
        vec![("floor", self.process.id())]
    }
}
