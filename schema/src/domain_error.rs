//! What a service answers instead of a result when the caller can put it right.

use serde::{Deserialize, Serialize};

/// A refused request: an error that the caller can put right, never a failure of the service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainError {
    /// The kind of error.
    pub code: DomainErrorCode,
    /// The reason in words, fit to be shown.
    pub message: String,
    /// The input's path that it is about, such as `["input", "items", "0", "quantity"]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<Vec<String>>,
}

impl DomainError {
    /// An error about no field in particular.
    pub fn new(code: DomainErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), field: None }
    }

    /// No such order within the caller's scope.
    pub fn order_not_found() -> Self {
        Self::at(DomainErrorCode::OrderNotFound, "there is no such order", ["input", "id"])
    }

    /// An error about one field of the input.
    pub fn at<S: Into<String>>(
        code: DomainErrorCode,
        message: impl Into<String>,
        field: impl IntoIterator<Item = S>,
    ) -> Self {
        let field = Some(field.into_iter().map(Into::into).collect());
        Self { code, message: message.into(), field }
    }
}

/// The kinds of domain error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DomainErrorCode {
    /// Out of bounds or malformed.
    InvalidInput,
    /// A product appears twice in one order.
    DuplicateProduct,
    /// No such order within the caller's scope.
    OrderNotFound,
    /// The order's status does not allow it.
    InvalidTransition,
    /// The order has moved on from the expected version.
    VersionConflict,
    /// The key was used with another input.
    IdempotencyKeyReused,
    /// The cursor names nothing within the caller's scope.
    CursorInvalid,
    /// The cursor is from before what is kept.
    CursorExpired,
    /// An adjustment that would leave less on hand than is reserved.
    StockTooLow,
    /// No such product.
    ProductNotFound,
}

/// A result, or `{"refused": {...}}` in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum DomainResult<T> {
    /// Refused. First, because an untagged result may accept anything.
    Refused {
        /// Why.
        refused: DomainError,
    },
    /// Done.
    Done(T),
}

impl<T> DomainResult<T> {
    /// Converts it into Rust's own result.
    pub fn into_result(self) -> Result<T, DomainError> {
        match self {
            Self::Done(value) => Ok(value),
            Self::Refused { refused } => Err(refused),
        }
    }
}

impl<T> From<Result<T, DomainError>> for DomainResult<T> {
    fn from(result: Result<T, DomainError>) -> Self {
        match result {
            Ok(value) => Self::Done(value),
            Err(refused) => Self::Refused { refused },
        }
    }
}
