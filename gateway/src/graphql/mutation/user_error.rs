use async_graphql::{Enum, SimpleObject};
use schema::domain_error::{DomainError, DomainErrorCode};

use crate::query::{ErrorCode, GraphqlError};

/// What the caller can put right. Faults that are not theirs are top-level errors with extensions.code.
#[derive(SimpleObject, Debug)]
pub(crate) struct UserError {
    code: UserErrorCode,
    message: String,
    /// The input's path, such as ["input", "items", "0", "quantity"].
    field: Option<Vec<String>>,
}

#[derive(Enum, Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum UserErrorCode {
    InvalidInput,
    DuplicateProduct,
    OrderNotFound,
    InvalidTransition,
    VersionConflict,
    IdempotencyKeyReused,
}

impl TryFrom<DomainError> for UserError {
    type Error = GraphqlError;

    /// Fails on refusals that no mutation has a reason for.
    fn try_from(refusal: DomainError) -> Result<Self, GraphqlError> {
        let code = match refusal.code {
            DomainErrorCode::InvalidInput => UserErrorCode::InvalidInput,
            DomainErrorCode::DuplicateProduct => UserErrorCode::DuplicateProduct,
            DomainErrorCode::OrderNotFound => UserErrorCode::OrderNotFound,
            DomainErrorCode::InvalidTransition => UserErrorCode::InvalidTransition,
            DomainErrorCode::VersionConflict => UserErrorCode::VersionConflict,
            DomainErrorCode::IdempotencyKeyReused => UserErrorCode::IdempotencyKeyReused,
            DomainErrorCode::CursorInvalid
            | DomainErrorCode::CursorExpired
            | DomainErrorCode::StockTooLow
            | DomainErrorCode::ProductNotFound => {
                tracing::error!(?refusal, "a mutation was refused for no reason that mutations have");
                return Err(ErrorCode::InternalServerError.error("internal error"));
            }
        };
        let field = refusal.field.or_else(|| usual_field(code));
        Ok(Self { code, message: refusal.message, field })
    }
}

/// The field that a refusal is about, where its service named none.
fn usual_field(code: UserErrorCode) -> Option<Vec<String>> {
    let field = match code {
        UserErrorCode::OrderNotFound => "id",
        UserErrorCode::VersionConflict => "expectedVersion",
        UserErrorCode::IdempotencyKeyReused => "idempotencyKey",
        UserErrorCode::InvalidInput | UserErrorCode::DuplicateProduct | UserErrorCode::InvalidTransition => {
            return None;
        }
    };
    Some(vec!["input".to_owned(), field.to_owned()])
}
