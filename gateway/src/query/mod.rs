//! GraphQL documents, whatever schema they are executed against: errors that clients can tell apart by their code.

mod error;

pub use error::{ErrorCode, GraphqlError, Outcome};
