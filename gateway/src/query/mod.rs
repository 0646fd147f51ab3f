//! GraphQL requests, whatever the schema. A request passes these files in this order:
//!
//! - `request`: what a transport has received; `persisted` finds documents that it only names.
//! - `limits`: bounds on a document's text (`tokens`), and on what its operation selects.
//! - `documents`: parses and validates each distinct document once. `schema` has the types, and `rules` what the parser's
//!   own validation leaves open.
//! - `variables`: the request's variables as their declared types have them; `values` does the same for literals.
//! - `normalize`: the chosen operation, with conditions applied, fragments inlined and fields merged.
//! - `prepared`: that operation for one request, with every argument's value filled in, as async-graphql takes it, and
//!   the values that are not async-graphql's to give.
//! - `executor`: runs it for either transport, and presents its results.
//!
//! Nothing here knows of viewers and orders.

mod documents;
mod error;
mod executor;
mod limits;
mod normalize;
mod persisted;
mod position;
mod prepared;
mod request;
mod rules;
mod schema;
mod tokens;
mod values;
mod variables;

pub use error::{ErrorCode, GraphqlError, Outcome};
pub(crate) use error::{OVERLOAD_RETRY_AFTER, is_retryable, overloaded};
pub(crate) use executor::{ExecutionResult, Operation, OperationExecutor, Trace, request_errors};
pub use limits::{DocumentLimits, DocumentSettings, LimitMode, ListSizes};
pub use persisted::{ManifestError, PersistedSettings, TrustMode, TrustedDocuments};
pub(crate) use request::{DocumentSource, DocumentText, GraphqlRequest};
pub use schema::{GraphqlSchema, ScalarCheck};
