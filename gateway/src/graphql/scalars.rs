use async_graphql::{InputValueError, InputValueResult, Scalar, ScalarType, SimpleObject, Value};
use schema::{money, time::Timestamp};

pub(crate) struct DateTime(pub(crate) Timestamp);

/// An instant in UTC as RFC 3339 with milliseconds: 2026-11-23T19:10:51.371Z
#[Scalar]
impl ScalarType for DateTime {
    fn parse(value: Value) -> InputValueResult<Self> {
        let Value::String(text) = &value else { return Err(InputValueError::expected_type(value)) };
        text.parse().map(Self).map_err(InputValueError::custom)
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_string())
    }
}

/// Says what is wrong with a value as a DateTime.
pub(crate) fn check_date_time(value: &Value) -> Result<(), String> {
    let Value::String(text) = value else {
        return Err("a string is expected, such as 2026-11-23T19:10:51.371Z".to_owned());
    };
    let is_time = text.parse::<Timestamp>().is_ok();
    is_time.then_some(()).ok_or_else(|| "it is not RFC 3339, such as 2026-11-23T19:10:51.371Z".to_owned())
}

pub(crate) struct Decimal(String);

/// An exact decimal number as a string, such as "1197.00"; never a float.
#[Scalar]
impl ScalarType for Decimal {
    fn parse(value: Value) -> InputValueResult<Self> {
        let Value::String(text) = value else { return Err(InputValueError::expected_type(value)) };
        Ok(Self(text))
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.clone())
    }
}

#[derive(SimpleObject)]
pub(crate) struct Money {
    amount: Decimal,
    /// ISO 4217
    currency_code: String,
}

impl From<money::Money> for Money {
    fn from(money: money::Money) -> Self {
        Self { amount: Decimal(money.to_decimal()), currency_code: money.currency.to_string() }
    }
}

/// A count as GraphQL's `Int` holds it; a count beyond 32 bits with sign becomes the greatest of them.
pub(crate) fn int(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
