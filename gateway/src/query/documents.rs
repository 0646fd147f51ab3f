//! Documents: parsed once, checked before they run, kept for the next request with the same text.

use std::{sync::Arc, time::Duration};

use async_graphql::parser::parse_query;
use async_graphql::parser::types::{BaseType, DocumentOperations, ExecutableDocument, OperationDefinition};
use async_graphql::{ServerError, Value, Variables};
use moka::future::Cache;

use super::ErrorCode;
use super::limits::{check_shape, check_tokens};

/// Bytes of document text whose parsed form is kept.
const CACHE_BYTES: u64 = 4 * 1024 * 1024;
/// A document that no request has named for this long leaves the cache.
const CACHE_IDLE: Duration = Duration::from_secs(3600);

/// Parses documents and refuses those beyond the limits. Cheap to clone.
#[derive(Clone)]
pub(super) struct Documents {
    parsed: Cache<Arc<str>, Arc<ExecutableDocument>>,
}

impl Documents {
    pub(super) fn new() -> Self {
        let parsed = Cache::builder()
            .max_capacity(CACHE_BYTES)
            .weigher(|text: &Arc<str>, _| u32::try_from(text.len()).unwrap_or(u32::MAX))
            .time_to_idle(CACHE_IDLE)
            .build();
        Self { parsed }
    }

    /// Returns the parsed form of a document within the limits.
    pub(super) async fn parse(&self, text: &str) -> Result<Arc<ExecutableDocument>, ServerError> {
        if let Some(document) = self.parsed.get(text).await {
            return Ok(document);
        }
        check_tokens(text)?;
        let document = parse_query(text).map_err(|error| ServerError {
            locations: error.positions().collect(),
            ..ErrorCode::GraphqlParseFailed.error(error.to_string()).into()
        })?;
        check_shape(&document)?;
        let document = Arc::new(document);
        self.parsed.insert(text.into(), Arc::clone(&document)).await;
        Ok(document)
    }
}

/// Returns the operation that a request names, or the only one.
pub(super) fn choose_operation<'a>(
    document: &'a ExecutableDocument,
    name: Option<&str>,
) -> Result<&'a OperationDefinition, ServerError> {
    let chosen = match (&document.operations, name) {
        (DocumentOperations::Single(operation), None) => Some(operation),
        (DocumentOperations::Multiple(operations), Some(name)) => operations.get(name),
        (DocumentOperations::Multiple(operations), None) if operations.len() == 1 => {
            operations.values().next()
        }
        _ => None,
    };
    chosen.map(|operation| &operation.node).ok_or_else(|| {
        let message = match name {
            Some(_) => "the document has no operation of that name",
            None => "the document has several operations: operationName must name one",
        };
        ErrorCode::OperationResolutionFailure.error(message).into()
    })
}

/// Refuses an operation whose request leaves out a variable that the operation requires. async-graphql 8.0.0-rc.5 finds
/// that out field by field, when other fields of the operation may have run.
pub(super) fn require_variables(
    operation: &OperationDefinition,
    variables: &Variables,
) -> Result<(), ServerError> {
    for definition in &operation.variable_definitions {
        let (name, variable_type) = (&definition.node.name.node, &definition.node.var_type.node);
        let required = !variable_type.nullable && definition.node.default_value.is_none();
        if required && !variables.contains_key(name) {
            let message = format!("the variable ${name} of type {variable_type} is required");
            return Err(ErrorCode::GraphqlValidationFailed.error_at(definition.pos, message));
        }
    }
    Ok(())
}

/// Sets each variable of type `Int` that the request leaves out, and that has no default, to null. async-graphql weighs
/// a page by its size and, in 8.0.0-rc.5, refuses a document whose size is a variable that was left out, which clients
/// that can page both ways leave out. Other types keep the difference between absent and null: it decides whether an
/// argument's default applies, and no argument of type `Int` has a default.
pub(super) fn set_absent_integers(operation: &OperationDefinition, variables: &mut Variables) {
    for definition in operation.variable_definitions.iter().map(|definition| &definition.node) {
        let variable_type = &definition.var_type.node;
        let is_integer = matches!(&variable_type.base, BaseType::Named(name) if name == "Int");
        if is_integer && variable_type.nullable && definition.default_value.is_none() {
            variables.entry(definition.name.node.clone()).or_insert(Value::Null);
        }
    }
}
