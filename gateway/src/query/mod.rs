//! GraphQL documents and operations, whatever the schema: parsed and kept, bounded, and executed for either transport.
//! It knows nothing of viewers and orders.

mod documents;
mod error;
mod executor;
mod limits;

pub use error::{ErrorCode, GraphqlError, Outcome};
pub(crate) use error::{OVERLOAD_RETRY_AFTER, is_retryable, overloaded};
pub(crate) use executor::{ExecutionResult, Operation, OperationExecutor, Trace, request_errors};
