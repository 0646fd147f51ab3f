use std::{any::Any, ops::Deref, sync::Arc};

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

/// What a request says of its document.
pub(crate) enum DocumentSource {
    Text(String),
    /// The document, and the hash that the client will name it by.
    Registration {
        text: String,
        hash: String,
    },
    /// The id or hash of a document that the client expects the server to have.
    Id(String),
    /// It has been looked for already.
    Found(DocumentText),
}

/// The text of a document that may be executed.
pub(crate) enum DocumentText {
    Sent(String),
    Kept(Arc<str>),
    /// Will be kept once it is known to be valid.
    Registering {
        text: Arc<str>,
        hash: String,
    },
}

impl Deref for DocumentText {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Sent(text) => text,
            Self::Kept(text) | Self::Registering { text, .. } => text,
        }
    }
}

impl GraphqlRequest {
    /// Adds data that resolvers can ask for by its type.
    pub(crate) fn data<D: Any + Send + Sync>(mut self, data: D) -> Self {
        self.data.insert(data);
        self
    }
}
