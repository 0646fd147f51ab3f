//! A GraphQL request as clients write it, the same on both transports.

use async_graphql::Variables;
use serde_json::{Map, Value};

use super::engine::GraphqlRequest;

impl GraphqlRequest {
    /// Reads a request from its JSON object. Fields that this gateway doesn't know are ignored.
    ///
    /// # Errors
    ///
    /// Says, fit for a client, which field is not what it must be.
    pub(super) fn from_json(mut fields: Map<String, Value>) -> Result<Self, &'static str> {
        let query = match fields.remove("query") {
            Some(Value::String(query)) => query,
            Some(_) => return Err("query must be a string"),
            None => return Err("query is missing"),
        };
        let operation_name = match fields.remove("operationName") {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) => Some(name),
            Some(_) => return Err("operationName must be a string or null"),
        };
        let variables = object(fields.remove("variables"))
            .ok_or("variables must be an object or null")?
            .map_or_else(Variables::default, |map| Variables::from_json(Value::Object(map)));
        let extensions = object(fields.remove("extensions"))
            .ok_or("extensions must be an object or null")?
            .unwrap_or_default()
            .into_iter()
            .map(|(name, value)| Some((name, async_graphql::Value::from_json(value).ok()?)))
            .collect::<Option<_>>()
            .map(async_graphql::Extensions)
            .ok_or("extensions hold a value that GraphQL can't express")?;
        Ok(Self {
            query,
            // Forms send an empty name where they mean none.
            operation_name: operation_name.filter(|name| !name.is_empty()),
            variables,
            extensions,
        })
    }
}

/// `Some(None)` where there is none, `None` where it is something else than an object.
#[expect(clippy::option_option, reason = "absent and malformed are told apart")]
fn object(value: Option<Value>) -> Option<Option<Map<String, Value>>> {
    match value {
        None | Some(Value::Null) => Some(None),
        Some(Value::Object(map)) => Some(Some(map)),
        Some(_) => None,
    }
}
