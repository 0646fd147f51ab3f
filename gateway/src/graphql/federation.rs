//! The gateway as a subgraph of Apollo Federation 2: entities by their ids, and the SDL that routers are composed from.
//!
//! async-graphql's own `_entities` fails whole if one entity is missing or fails, and can't be turned off; its SDL of a
//! subgraph leaves the subscriptions out.

use std::borrow::Cow;
use std::sync::Arc;

use async_graphql::parser::types::Field;
use async_graphql::registry::{MetaType, Registry};
use async_graphql::resolver_utils::{ContainerType, resolve_container};
use async_graphql::{
    Context, ContextSelectionSet, ID, InputValueResult, Object, ObjectType, OutputType, Positioned, Scalar,
    ScalarType, ServerResult, SimpleObject, Union, Value,
};
use futures::future::join_all;

use super::customer::Customer;
use super::errors::Nullable;
use super::order::Order;
use super::product::Product;
use super::query::Query;
use crate::query::{ErrorCode, GraphqlError};

/// The types that other subgraphs may extend, each by its id.
const ENTITIES: [&str; 3] = ["Order", "Product", "Customer"];

const LINK: &str =
    r#"extend schema @link(url: "https://specs.apollo.dev/federation/v2.5", import: ["@key", "@shareable"])"#;

/// Returns the SDL of an API as one of a subgraph. Every subgraph with Relay's pages has the same `PageInfo`.
pub(crate) fn subgraph_sdl(sdl: &str) -> Arc<str> {
    let is_entity = |line: &str| ENTITIES.iter().any(|name| line.starts_with(&format!("type {name} ")));
    let with_directives = |line: &str| match line {
        line if is_entity(line) => line.replacen(" {", " @key(fields: \"id\") {", 1),
        line if line.starts_with("type PageInfo ") => line.replacen(" {", " @shareable {", 1),
        line => line.to_owned(),
    };
    let lines = sdl.lines().map(with_directives).chain([LINK.to_owned()]);
    lines.collect::<Vec<_>>().join("\n").into()
}

/// The root of a subgraph's queries: those of the API, with `_service` and `_entities`.
pub(crate) struct SubgraphQuery {
    api: Query,
    federation: Federation,
}

impl SubgraphQuery {
    /// A root that shows routers this SDL.
    pub(crate) fn new(sdl: Arc<str>) -> Self {
        Self { api: Query, federation: Federation { sdl } }
    }
}

impl ContainerType for SubgraphQuery {
    async fn resolve_field(&self, ctx: &Context<'_>) -> ServerResult<Option<Value>> {
        match ctx.field().name() {
            "_service" | "_entities" => self.federation.resolve_field(ctx).await,
            _ => self.api.resolve_field(ctx).await,
        }
    }
}

impl OutputType for SubgraphQuery {
    fn type_name() -> Cow<'static, str> {
        Query::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        let root = Query::create_type_info(registry);
        let added = registry.create_fake_output_type::<Federation>();
        if let (Some(MetaType::Object { fields, .. }), MetaType::Object { fields: added, .. }) =
            (registry.types.get_mut(&*Self::type_name()), added)
        {
            fields.extend(added);
        }
        root
    }

    async fn resolve(&self, ctx: &ContextSelectionSet<'_>, _: &Positioned<Field>) -> ServerResult<Value> {
        resolve_container(ctx, self).await
    }
}

impl ObjectType for SubgraphQuery {}

struct Federation {
    sdl: Arc<str>,
}

#[Object]
impl Federation {
    #[graphql(name = "_service")]
    async fn service(&self) -> Service {
        Service { sdl: self.sdl.to_string() }
    }

    /// The entities of these representations within the caller's reach, in their order; null where there is none.
    #[graphql(name = "_entities")]
    async fn entities(&self, ctx: &Context<'_>, representations: Vec<Any>) -> Vec<Nullable<Entity>> {
        let find = async |representation| Entity::find(ctx, representation).await.transpose();
        join_all(representations.iter().map(find)).await
    }
}

#[derive(SimpleObject)]
#[graphql(name = "_Service")]
struct Service {
    sdl: String,
}

#[derive(Union)]
#[graphql(name = "_Entity")]
enum Entity {
    Order(Order),
    Product(Product),
    Customer(Customer),
}

impl Entity {
    async fn find(ctx: &Context<'_>, Any(representation): &Any) -> Result<Option<Self>, GraphqlError> {
        let Value::Object(fields) = representation else { return Err(bad_representation()) };
        let id = match fields.get("id") {
            Some(Value::String(id)) => ID::from(id),
            Some(Value::Number(id)) => ID(id.to_string()),
            _ => return Err(bad_representation()),
        };
        let type_name = match fields.get("__typename") {
            Some(Value::String(name)) => name.as_str(),
            _ => return Err(bad_representation()),
        };
        Ok(match type_name {
            "Order" => Order::find(ctx, &id).await?.map(Self::Order),
            "Product" => Product::find(ctx, &id).await?.map(Self::Product),
            "Customer" => Customer::find(ctx, &id).await?.map(Self::Customer),
            _ => return Err(bad_representation()),
        })
    }
}

fn bad_representation() -> GraphqlError {
    let message = format!("a representation has __typename, one of {}, and id", ENTITIES.join(", "));
    ErrorCode::BadUserInput.error(message)
}

/// An entity as routers name it.
struct Any(Value);

/// An entity as routers name it: __typename and the fields of its key.
#[Scalar(name = "_Any")]
impl ScalarType for Any {
    fn parse(value: Value) -> InputValueResult<Self> {
        // What is no representation is an error of its own entity alone.
        Ok(Self(value))
    }

    fn to_value(&self) -> Value {
        self.0.clone()
    }
}
