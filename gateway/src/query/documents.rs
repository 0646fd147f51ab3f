//! Documents: parsed and validated once, kept for the next request with the same text.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use apollo_compiler::Node;
use apollo_compiler::ast::Document as SyntaxTree;
use apollo_compiler::diagnostic::ToCliReport;
use apollo_compiler::executable::{ExecutableDocument, Operation};
use apollo_compiler::introspection::check_max_depth;
use apollo_compiler::validation::{DiagnosticList, Valid};
use async_graphql::ServerError;
use moka::future::Cache;

use super::ErrorCode;
use super::limits::{DocumentLimits, DocumentSettings, MAX_ERRORS, check_operations};
use super::normalize::{Conditions, NormalizedOperation, normalize};
use super::position::Lines;
use super::rules;
use super::schema::SchemaTypes;
use super::tokens::without_descriptions;
use super::values::Variables;

/// Memory of the documents that are kept, estimated.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;
/// What a token's syntax node, its name and its share of the normalized operation take, rounded up.
const BYTES_PER_TOKEN: usize = 512;
/// A document that no request has named for this long leaves the cache.
const CACHE_IDLE: Duration = Duration::from_secs(3600);

/// Parses and validates documents, and refuses those beyond the limits. Cheap to clone.
#[derive(Clone)]
pub(super) struct Documents {
    schema: Arc<SchemaTypes>,
    settings: DocumentSettings,
    documents: Cache<Arc<str>, Arc<Document>>,
}

impl Documents {
    pub(super) fn new(schema: SchemaTypes, settings: DocumentSettings) -> Self {
        let documents = Cache::builder()
            .max_capacity(CACHE_BYTES)
            .weigher(|_: &Arc<str>, document: &Arc<Document>| document.memory)
            .time_to_idle(CACHE_IDLE)
            .build();
        Self { schema: Arc::new(schema), settings, documents }
    }

    pub(super) fn schema(&self) -> &SchemaTypes {
        &self.schema
    }

    pub(super) fn limits(&self) -> &DocumentLimits {
        &self.settings.limits
    }

    /// Returns what is wrong with a document, first of all.
    pub(super) fn check(&self, text: &str) -> Result<(), ServerError> {
        let checked = Document::parse(&self.schema, &self.settings, text);
        checked.map(drop).map_err(|mut errors| errors.swap_remove(0))
    }

    /// Returns a document that is valid; its errors are request errors.
    pub(super) async fn get(&self, text: &str) -> Result<Arc<Document>, Vec<ServerError>> {
        if let Some(document) = self.documents.get(text).await {
            return Ok(document);
        }
        let document = Arc::new(Document::parse(&self.schema, &self.settings, text)?);
        self.documents.insert(text.into(), Arc::clone(&document)).await;
        Ok(document)
    }
}

/// A document that is valid.
pub(super) struct Document {
    executable: Valid<ExecutableDocument>,
    operations: Vec<DocumentOperation>,
    lines: Lines,
    tokens: usize,
    /// Bytes, estimated.
    memory: u32,
}

/// An operation of a document, and its normalized form if it is the same for every request.
pub(super) struct DocumentOperation {
    definition: Node<Operation>,
    normalized: OnceLock<Arc<NormalizedOperation>>,
}

impl Document {
    pub(super) fn parse(
        schema: &SchemaTypes,
        settings: &DocumentSettings,
        text: &str,
    ) -> Result<Self, Vec<ServerError>> {
        let tokens = settings.limits.check_tokens(text).map_err(|error| vec![error])?;
        let lines = Lines::new(text);
        let tree = SyntaxTree::parse(without_descriptions(text), "document.graphql")
            .map_err(|invalid| errors(&invalid.errors, ErrorCode::GraphqlParseFailed, &lines))
            .map_err(|mut errors| {
                // What follows the first is most often a consequence of it.
                errors.truncate(1);
                errors
            })?;
        if tree.definitions.is_empty() {
            let error = ErrorCode::GraphqlParseFailed.error_at(lines.pos(None), "the document is empty");
            return Err(vec![error]);
        }
        let operations =
            tree.definitions.iter().filter(|definition| definition.as_operation_definition().is_some());
        check_operations(operations.count()).map_err(|error| vec![error])?;
        let executable = match tree.to_executable_validate(schema.get()) {
            Ok(executable) => executable,
            Err(invalid) => {
                let errors = errors(&invalid.errors, ErrorCode::GraphqlValidationFailed, &lines);
                if !errors.is_empty() {
                    return Err(errors);
                }
                Valid::assume_valid(invalid.partial)
            }
        };
        let mut errors = rules::check(schema, settings, &executable, &lines);
        if !errors.is_empty() {
            errors.truncate(MAX_ERRORS);
            return Err(errors);
        }
        let operations = executable.operations.iter().cloned();
        let operations =
            operations.map(|definition| DocumentOperation { definition, normalized: OnceLock::new() });
        // The text stands in the key, the sources and the lines.
        let memory = u32::try_from(3 * text.len() + BYTES_PER_TOKEN * tokens).unwrap_or(u32::MAX);
        Ok(Self { operations: operations.collect(), executable, lines, tokens, memory })
    }

    pub(super) fn lines(&self) -> &Lines {
        &self.lines
    }

    pub(super) fn tokens(&self) -> usize {
        self.tokens
    }

    /// Returns the operation that a request names, or the only one.
    pub(super) fn choose(&self, name: Option<&str>) -> Result<&DocumentOperation, ServerError> {
        let chosen = match (name, &*self.operations) {
            (None, [operation]) => Some(operation),
            (None, _) => None,
            (Some(name), operations) => operations
                .iter()
                .find(|operation| operation.definition.name.as_ref().is_some_and(|named| named == name)),
        };
        chosen.ok_or_else(|| {
            let message = match name {
                Some(_) => "the document has no operation of that name",
                None => "the document has several operations: operationName must name one",
            };
            ErrorCode::OperationResolutionFailure.error(message).into()
        })
    }

    /// Returns the operation as it is with these variables.
    pub(super) fn normalize(
        &self,
        schema: &SchemaTypes,
        limits: &DocumentLimits,
        operation: &DocumentOperation,
        variables: &Variables,
    ) -> Result<Arc<NormalizedOperation>, ServerError> {
        if let Some(normalized) = operation.normalized.get() {
            return Ok(Arc::clone(normalized));
        }
        let definition = &operation.definition;
        check_max_depth(&self.executable, definition).map_err(|error| {
            let message = "the operation asks for lists of the schema inside one another more than 2 deep";
            ErrorCode::QueryTooComplex.error_at(self.lines.pos(error.location()), message)
        })?;
        let conditions = Conditions::With(variables);
        let normalized =
            Arc::new(normalize(schema, limits, &self.executable, definition, conditions, &self.lines)?);
        if !normalized.is_conditional {
            let _ = operation.normalized.set(Arc::clone(&normalized));
        }
        Ok(normalized)
    }
}

impl DocumentOperation {
    pub(super) fn definition(&self) -> &Node<Operation> {
        &self.definition
    }
}

/// Returns apollo-compiler's diagnostics in the order of the document.
fn errors(diagnostics: &DiagnosticList, code: ErrorCode, lines: &Lines) -> Vec<ServerError> {
    let mut errors = Vec::new();
    for diagnostic in diagnostics.iter() {
        let (pos, message) = (lines.pos(diagnostic.error.location()), diagnostic.error.to_string());
        match diagnostic.error.unstable_error_name() {
            // It counts fields of one response key twice; `rules` counts them right.
            Some("SubscriptionUsesMultipleFields") => continue,
            // Bounds of its own recursion, beyond ours.
            Some("RecursionError" | "DeeplyNestedType") => {
                errors.push(ErrorCode::QueryTooComplex.error_at(pos, message));
            }
            _ => errors.push(code.error_at(pos, message)),
        }
    }
    errors.sort_by_key(|error| error.locations.first().copied());
    // One mistake in several places is one error.
    let mut distinct: Vec<ServerError> = Vec::new();
    for error in errors {
        let known = distinct.iter_mut().find(|known| known.message == error.message);
        if let Some(known) = known {
            known.locations.extend(error.locations);
            known.locations.dedup();
            known.locations.truncate(MAX_ERRORS);
        } else if distinct.len() < MAX_ERRORS {
            distinct.push(error);
        }
    }
    distinct
}
