//! Documents: parsed once, measured before they run, kept for the next request with the same text.

mod absent;
mod lexical;
mod measure;

use std::{sync::Arc, time::Duration};

use async_graphql::{
    ServerError,
    parser::{
        parse_query,
        types::{DocumentOperations, ExecutableDocument, OperationDefinition, OperationType},
    },
};
use moka::future::Cache;

pub(super) use absent::{name_absent_integers, require_variables};

use super::{DocumentLimits, ErrorCode};

/// Documents nobody asked for in this long are forgotten.
const CACHE_IDLE: Duration = Duration::from_secs(3600);

/// Parses documents and refuses those beyond the limits. Cheap to clone.
#[derive(Clone)]
pub(super) struct Documents {
    limits: Arc<DocumentLimits>,
    parsed: Cache<Arc<str>, Arc<ExecutableDocument>>,
}

impl Documents {
    pub(super) fn new(limits: DocumentLimits) -> Self {
        let parsed = Cache::builder()
            .max_capacity(limits.cache_bytes)
            .weigher(|text: &Arc<str>, _| u32::try_from(text.len()).unwrap_or(u32::MAX))
            .time_to_idle(CACHE_IDLE)
            .build();
        Self { limits: Arc::new(limits), parsed }
    }

    /// The parsed form of a document within the limits.
    pub(super) async fn parse(&self, text: &str) -> Result<Arc<ExecutableDocument>, ServerError> {
        if let Some(document) = self.parsed.get(text).await {
            return Ok(document);
        }
        lexical::check(text, &self.limits)?;
        let document = parse_query(text).map_err(|error| ServerError {
            locations: error.positions().collect(),
            ..ErrorCode::GraphqlParseFailed.error(error.to_string()).into()
        })?;
        measure::check(&document, &self.limits)?;
        let document = Arc::new(document);
        self.parsed.insert(text.into(), Arc::clone(&document)).await;
        Ok(document)
    }
}

/// The operation that a request means: the named one, or the only one.
pub(super) fn choose_operation<'a>(
    document: &'a ExecutableDocument,
    name: Option<&str>,
) -> Result<&'a OperationDefinition, ServerError> {
    let chosen = match (&document.operations, name) {
        (DocumentOperations::Single(operation), None) => Some(operation),
        (DocumentOperations::Single(_), Some(_)) => None,
        (DocumentOperations::Multiple(operations), Some(name)) => operations.get(name),
        (DocumentOperations::Multiple(operations), None) if operations.len() == 1 => {
            operations.values().next()
        }
        (DocumentOperations::Multiple(_), None) => None,
    };
    chosen.map(|operation| &operation.node).ok_or_else(|| {
        let message = match name {
            Some(_) => "the document has no operation of that name",
            None => "the document has several operations: operationName must name one",
        };
        ErrorCode::OperationResolutionFailure.error(message).into()
    })
}

/// The kind of operation, as traces name it.
pub(super) fn kind_name(kind: OperationType) -> &'static str {
    match kind {
        OperationType::Query => "query",
        OperationType::Mutation => "mutation",
        OperationType::Subscription => "subscription",
    }
}
