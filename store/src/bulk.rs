//! Statements about many rows, whose text does not depend on how many there are: a connection prepares each once.

use sea_orm::sea_query::extension::postgres::PgFunc;
use sea_orm::sea_query::{Expr, ExprTrait as _, ValueType};
use sea_orm::{ColumnTrait, DbBackend, IdenStatic, Value};
use serde::Serialize;

use crate::error::StoreError;

/// Returns the condition that `column` has one of `values`. On PostgreSQL they are one parameter.
pub fn is_any<V: Into<Value>>(
    backend: DbBackend,
    column: impl ColumnTrait,
    values: impl IntoIterator<Item = V>,
) -> Expr {
    let values: Vec<Value> = values.into_iter().map(Into::into).collect();
    match values.first().map(Value::array_type) {
        Some(array_type) if backend == DbBackend::Postgres => {
            let array = Value::Array(array_type, Some(Box::new(values)));
            Expr::col(column.as_column_ref()).eq(PgFunc::any(Expr::val(array)))
        }
        _ => column.is_in(values),
    }
}

/// Returns values of one type as one parameter of PostgreSQL.
pub fn array<V: Into<Value> + ValueType>(values: impl IntoIterator<Item = V>) -> Value {
    Value::Array(V::array_type(), Some(Box::new(values.into_iter().map(Into::into).collect())))
}

/// Returns rows as one parameter for PostgreSQL's `json_populate_recordset`. Their fields have the names of the columns.
pub fn json_records<T: Serialize>(rows: &[T]) -> Result<Value, StoreError> {
    let text = serde_json::to_string(rows).map_err(|error| StoreError::Data(error.to_string()))?;
    if has_zero_byte(&text) {
        // PostgreSQL would blame its own encoding, as if the rows were none of the reasons.
        return Err(StoreError::Data("a text has a zero byte, which PostgreSQL does not take".to_owned()));
    }
    Ok(text.into())
}

/// Whether a string of this JSON has the character U+0000: its escape, whose backslash is not itself escaped.
fn has_zero_byte(json: &str) -> bool {
    json.match_indices("\\u0000").any(|(index, _)| {
        let backslashes = json.as_bytes()[..index].iter().rev().take_while(|&&byte| byte == b'\\').count();
        backslashes % 2 == 0
    })
}

/// Returns the names of columns as a list for a statement.
pub fn column_list<C: IdenStatic>(columns: impl IntoIterator<Item = C>) -> String {
    let quoted: Vec<String> = columns.into_iter().map(|column| format!("\"{}\"", column.as_str())).collect();
    quoted.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zero_byte_is_the_rows_fault_and_its_escape_in_a_text_is_none() {
        for (text, is_refused) in [
            ("a\0b", true),
            ("\0", true),
            ("\\\0", true),
            ("\\u0000", false),
            ("\\\\u0000", false),
            ("é\u{1}", false),
        ] {
            assert_eq!(json_records(&[text]).is_err(), is_refused, "{text:?}");
        }
    }
}
