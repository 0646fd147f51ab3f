use bus::failure::{Failure, FailureCode};
use store::StoreError;

/// What the asker is told of a database that didn't do what it was asked.
pub(crate) fn of_store(error: StoreError) -> Failure {
    let code = if error.is_transient() { FailureCode::Unavailable } else { FailureCode::Internal };
    Failure::new(code, error.to_string())
}

/// What the asker is told of a list that is too long.
pub(crate) fn check_length(pattern: &str, length: usize, most: usize) -> Result<(), Failure> {
    if length <= most {
        return Ok(());
    }
    Err(Failure::new(FailureCode::BadRequest, format!("{pattern} takes at most {most} items, not {length}")))
}
