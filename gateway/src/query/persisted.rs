//! Documents that requests name instead of sending them: trusted ones, from a manifest that the clients' build has
//! written, and those that clients register by their hash while they run.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::{DocumentSource, DocumentText, ErrorCode, GraphqlError};

/// Memory of the documents that clients have registered.
const REGISTERED_BYTES: u64 = 16 * 1024 * 1024;
/// A document that no request has named for this long is forgotten.
const REGISTERED_IDLE: Duration = Duration::from_secs(24 * 3600);
/// Larger manifests are refused.
const MAX_MANIFEST_BYTES: u64 = 64 * 1024 * 1024;
/// How a document's hash may begin (GraphQL over HTTP, appendix A).
const HASH_PREFIX: &str = "sha256:";

/// Which documents requests may name.
#[derive(Clone, Debug)]
pub struct PersistedSettings {
    pub trusted: Option<TrustedDocuments>,
    /// Whether clients may register documents (automatic persisted queries). Never if trusted documents are enforced.
    pub automatic: bool,
}

impl Default for PersistedSettings {
    fn default() -> Self {
        Self { trusted: None, automatic: true }
    }
}

/// The documents of a manifest.
#[derive(Clone, Debug)]
pub struct TrustedDocuments {
    by_id: HashMap<String, Arc<str>>,
    texts: HashSet<Arc<str>>,
    pub mode: TrustMode,
}

/// What becomes of a document that is not trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrustMode {
    /// It is refused.
    Enforce,
    /// It is executed, logged and counted.
    Log,
}

#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error("the file can't be read: {0}")]
    File(#[from] std::io::Error),
    #[error("the file is larger than {MAX_MANIFEST_BYTES} bytes")]
    TooLarge,
    #[error(
        "neither an object of ids and documents, as Relay and graphql-codegen write it, nor Apollo's manifest: {0}"
    )]
    Format(#[from] serde_json::Error),
    #[error("Apollo's manifest has another version than 1")]
    Version,
    /// Enforced, it would refuse everything.
    #[error("there is no document in it")]
    Empty,
}

impl TrustedDocuments {
    /// Reads a manifest's file.
    pub fn read(path: &Path, mode: TrustMode) -> Result<Self, ManifestError> {
        if std::fs::metadata(path)?.len() > MAX_MANIFEST_BYTES {
            return Err(ManifestError::TooLarge);
        }
        Self::parse(&std::fs::read_to_string(path)?, mode)
    }

    /// Reads a manifest: an object of ids and documents, or Apollo's list of operations.
    pub fn parse(json: &str, mode: TrustMode) -> Result<Self, ManifestError> {
        #[derive(Deserialize)]
        struct Operation {
            id: String,
            body: String,
        }
        let fields: HashMap<String, &RawValue> = serde_json::from_str(json)?;
        let is_apollos =
            fields.get("format").is_some_and(|format| format.get() == r#""apollo-persisted-query-manifest""#);
        let documents: HashMap<String, String> = if is_apollos {
            if fields.get("version").is_none_or(|version| version.get() != "1") {
                return Err(ManifestError::Version);
            }
            let operations = fields.get("operations").map_or("[]", |operations| operations.get());
            let operations: Vec<Operation> = serde_json::from_str(operations)?;
            operations.into_iter().map(|Operation { id, body }| (id, body)).collect()
        } else {
            serde_json::from_str(json)?
        };
        if documents.is_empty() {
            return Err(ManifestError::Empty);
        }
        let by_id: HashMap<String, Arc<str>> =
            documents.into_iter().map(|(id, text)| (id, text.into())).collect();
        let texts = by_id.values().cloned().collect();
        Ok(Self { by_id, texts, mode })
    }

    /// Every document, with its id.
    pub(super) fn documents(&self) -> impl Iterator<Item = (&str, &str)> {
        self.by_id.iter().map(|(id, text)| (id.as_str(), &**text))
    }

    fn get(&self, id: &str) -> Option<&Arc<str>> {
        let without_prefix = || self.by_id.get(id.strip_prefix(HASH_PREFIX)?);
        self.by_id.get(id).or_else(without_prefix)
    }
}

/// Finds the documents that requests name. Cheap to clone.
#[derive(Clone)]
pub(super) struct PersistedDocuments {
    trusted: Option<Arc<TrustedDocuments>>,
    /// By their hashes. None if clients may not register documents.
    registered: Option<Cache<String, Arc<str>>>,
}

impl PersistedDocuments {
    pub(super) fn new(PersistedSettings { trusted, automatic }: PersistedSettings) -> Self {
        let is_enforced = trusted.as_ref().is_some_and(|trusted| trusted.mode == TrustMode::Enforce);
        let registered = (automatic && !is_enforced).then(|| {
            let weight =
                |hash: &String, text: &Arc<str>| u32::try_from(hash.len() + text.len()).unwrap_or(u32::MAX);
            let cache = Cache::builder().max_capacity(REGISTERED_BYTES).weigher(weight);
            cache.time_to_idle(REGISTERED_IDLE).build()
        });
        Self { trusted: trusted.map(Arc::new), registered }
    }

    /// Returns the text of the document that a request means, if it may be executed.
    pub(super) fn resolve(&self, source: DocumentSource) -> Result<DocumentText, GraphqlError> {
        match source {
            DocumentSource::Found(text) => Ok(text),
            DocumentSource::Text(text) => {
                self.check_trusted(&text)?;
                Ok(DocumentText::Sent(text))
            }
            DocumentSource::Registration { text, hash } => {
                self.check_trusted(&text)?;
                match &self.registered {
                    None => Ok(DocumentText::Sent(text)),
                    Some(_) if sha256(&text) != hash.to_ascii_lowercase() => {
                        Err(ErrorCode::PersistedQueryHashMismatch
                            .error("the document is another one than that of its sha256Hash"))
                    }
                    Some(_) => {
                        Ok(DocumentText::Registering { text: text.into(), hash: hash.to_ascii_lowercase() })
                    }
                }
            }
            DocumentSource::Id(id) => self.find(&id).map(DocumentText::Kept),
        }
    }

    /// Keeps a document that a client registers, now that it is known to be valid.
    pub(super) fn register(&self, text: &DocumentText) {
        if let (Some(registered), DocumentText::Registering { text, hash }) = (&self.registered, text) {
            registered.insert(hash.clone(), Arc::clone(text));
        }
    }

    fn find(&self, id: &str) -> Result<Arc<str>, GraphqlError> {
        if let Some(text) = self.trusted.as_ref().and_then(|trusted| trusted.get(id)) {
            return Ok(Arc::clone(text));
        }
        // The messages are those by which clients knew these answers before answers had codes.
        let not_found = || ErrorCode::PersistedQueryNotFound.error("PersistedQueryNotFound");
        match &self.registered {
            Some(registered) => {
                let hash = id.strip_prefix(HASH_PREFIX).unwrap_or(id).to_ascii_lowercase();
                registered.get(&hash).ok_or_else(not_found)
            }
            None if self.trusted.is_some() => Err(not_found()),
            None => Err(ErrorCode::PersistedQueryNotSupported.error("PersistedQueryNotSupported")),
        }
    }

    fn check_trusted(&self, text: &str) -> Result<(), GraphqlError> {
        let Some(trusted) = self.trusted.as_ref().filter(|trusted| !trusted.texts.contains(text)) else {
            return Ok(());
        };
        match trusted.mode {
            TrustMode::Enforce => {
                let message = "the document is not one of those that this gateway accepts";
                Err(ErrorCode::QueryNotInSafelist.error(message))
            }
            TrustMode::Log => {
                tracing::warn!(sha256 = sha256(text), "document that is not trusted executed");
                metrics::counter!("waybill_untrusted_documents_total").increment(1);
                Ok(())
            }
        }
    }
}

fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().fold(String::with_capacity(64), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("writing to a string never fails");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_of_relay_graphql_codegen_and_apollo_are_read() {
        let apollos = r#"{ "format": "apollo-persisted-query-manifest", "version": 1, "operations": [
            { "id": "a", "body": "query A { a }", "name": "A", "type": "query" },
            { "id": "b", "body": "{ b }", "name": "B", "type": "query", "clientName": null } ] }"#;
        for json in [r#"{ "a": "query A { a }", "b": "{ b }" }"#, apollos] {
            let trusted = TrustedDocuments::parse(json, TrustMode::Enforce).expect("it is a manifest");
            assert_eq!(trusted.documents().count(), 2);
            assert_eq!(trusted.get("a").map(|text| &**text), Some("query A { a }"));
            assert!(trusted.get("c").is_none());
        }
        for bad in [
            "",
            "[]",
            "{}",
            r#"{ "a": 1 }"#,
            r#"{ "format": "apollo-persisted-query-manifest", "version": 2, "operations": [] }"#,
            r#"{ "format": "apollo-persisted-query-manifest", "version": 1, "operations": [] }"#,
            r#"{ "format": "apollo-persisted-query-manifest", "version": 1, "operations": [{ "id": "a" }] }"#,
        ] {
            assert!(TrustedDocuments::parse(bad, TrustMode::Enforce).is_err(), "{bad}");
        }
    }
}
