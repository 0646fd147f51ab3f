use std::any::Any;

use async_graphql::Data;
use serde_json::value::RawValue;

/// A request as a transport has received it.
pub(crate) struct GraphqlRequest {
    pub(crate) document: DocumentSource,
    pub(crate) operation_name: Option<String>,
    /// A JSON object. It is kept as text until the declared types say how to read it: numbers keep their digits.
    pub(crate) variables: Option<Box<RawValue>>,
    /// Whether the result says what the operation costs.
    pub(crate) wants_cost: bool,
    pub(crate) data: Data,
}

pub(crate) enum DocumentSource {
    Text(String),
    /// The hash of a document that the client expects the server to have.
    PersistedQuery,
}

impl GraphqlRequest {
    /// Adds data that resolvers can ask for by its type.
    pub(crate) fn data<D: Any + Send + Sync>(mut self, data: D) -> Self {
        self.data.insert(data);
        self
    }
}
