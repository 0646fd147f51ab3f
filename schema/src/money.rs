//! Money: integer minor units inside, exact decimal strings outside.

use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// An amount in minor units (cents for USD, yen for JPY) of one currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Money {
    /// Minor units; a price is never negative.
    pub amount_minor: i64,
    /// What the units are of.
    pub currency: Currency,
}

impl Money {
    /// This amount `quantity` times, or none if that exceeds an i64.
    pub fn times(self, quantity: u32) -> Option<Self> {
        let amount_minor = self.amount_minor.checked_mul(i64::from(quantity))?;
        Some(Self { amount_minor, ..self })
    }

    /// The sum of amounts in `currency`, or none on overflow.
    pub fn sum(currency: Currency, amounts: impl IntoIterator<Item = Self>) -> Option<Self> {
        let amount_minor =
            amounts.into_iter().try_fold(0_i64, |sum, money| sum.checked_add(money.amount_minor))?;
        Some(Self { amount_minor, currency })
    }

    /// The exact decimal number, with as many fraction digits as the currency has: `1197.00`.
    pub fn to_decimal(self) -> String {
        let digits = self.currency.minor_digits();
        if digits == 0 {
            return self.amount_minor.to_string();
        }
        let sign = if self.amount_minor < 0 { "-" } else { "" };
        let scale = 10_u64.pow(digits);
        let minor = self.amount_minor.unsigned_abs();
        format!("{sign}{}.{:0width$}", minor / scale, minor % scale, width = digits as usize)
    }

    /// Reads an exact decimal number such as `14.5` or `14.50`; none if it has more fraction digits than the currency, is
    /// negative or is not a number.
    pub fn from_decimal(text: &str, currency: Currency) -> Option<Self> {
        let digits = currency.minor_digits() as usize;
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) || fraction.len() > digits {
            return None;
        }
        let amount_minor = format!("{whole}{fraction:0<digits$}").parse().ok()?;
        Some(Self { amount_minor, currency })
    }
}

/// An ISO 4217 currency code: three upper-case letters.
#[derive(
    Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, derive_more::Debug, derive_more::Display,
)]
#[debug("{}", self.code())]
#[display("{}", self.code())]
#[serde(try_from = "String", into = "String")]
pub struct Currency([u8; 3]);

/// The text was not three upper-case letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a currency is three upper-case letters, as in ISO 4217")]
pub struct InvalidCurrency;

impl Currency {
    /// US dollars, the default.
    pub const USD: Self = Self(*b"USD");

    /// The code as text.
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).expect("only ASCII letters are ever stored")
    }

    /// Whether ISO 4217 lists it with an amount in minor units. A shop's own currency has to be; that of a message or a
    /// stored price need not, so that a currency that leaves the list can still be read.
    pub fn is_listed(self) -> bool {
        self.listed_digits().is_some()
    }

    /// An amount as it is written in this currency, as an example for people: `14.50`, or `1450` without a minor unit.
    pub fn sample_amount(self) -> String {
        let amount_minor = 1_450 * 10_i64.pow(self.minor_digits().saturating_sub(2));
        Money { amount_minor, currency: self }.to_decimal()
    }

    /// Fraction digits by ISO 4217; two for what it does not list.
    fn minor_digits(self) -> u32 {
        self.listed_digits().unwrap_or(2)
    }

    fn listed_digits(self) -> Option<u32> {
        iso_currency::Currency::from_code(self.code())?.exponent().map(u32::from)
    }
}

impl FromStr for Currency {
    type Err = InvalidCurrency;

    fn from_str(text: &str) -> Result<Self, InvalidCurrency> {
        let code: [u8; 3] = text.as_bytes().try_into().map_err(|_| InvalidCurrency)?;
        if code.iter().all(u8::is_ascii_uppercase) { Ok(Self(code)) } else { Err(InvalidCurrency) }
    }
}

impl TryFrom<String> for Currency {
    type Error = InvalidCurrency;

    fn try_from(text: String) -> Result<Self, InvalidCurrency> {
        text.parse()
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> String {
        currency.code().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(amount_minor: i64, currency: &str) -> Money {
        Money { amount_minor, currency: currency.parse().unwrap() }
    }

    #[test]
    fn decimals_have_the_digits_of_their_currency() {
        for (amount, currency, text) in [
            (119_700, "USD", "1197.00"),
            (5, "USD", "0.05"),
            (-5, "USD", "-0.05"),
            (0, "EUR", "0.00"),
            (1200, "JPY", "1200"),
            (1, "KWD", "0.001"),
        ] {
            assert_eq!(money(amount, currency).to_decimal(), text);
        }
    }

    #[test]
    fn decimals_are_read_exactly_or_not_at_all() {
        let usd = Currency::USD;
        assert_eq!(Money::from_decimal("14.5", usd), Some(money(1450, "USD")));
        assert_eq!(Money::from_decimal("14", usd), Some(money(1400, "USD")));
        for bad in ["", ".5", "1.234", "-1", "1e3", "1,5", "99999999999999999999"] {
            assert_eq!(Money::from_decimal(bad, usd), None, "{bad}");
        }
    }

    #[test]
    fn sums_and_products_never_wrap() {
        assert_eq!(money(1450, "USD").times(2), Some(money(2900, "USD")));
        assert_eq!(money(i64::MAX, "USD").times(2), None);
        assert_eq!(Money::sum(Currency::USD, [money(i64::MAX, "USD"), money(1, "USD")]), None);
    }

    #[test]
    fn a_shops_currency_is_one_of_iso_4217_that_has_amounts() {
        let listed = |code: &str| code.parse::<Currency>().unwrap().is_listed();
        for code in ["USD", "EUR", "JPY", "KWD", "CLF", "XAF"] {
            assert!(listed(code), "{code}");
        }
        // Unknown, for tests, none, and gold, which is traded without a minor unit.
        for code in ["XYZ", "XTS", "XXX", "XAU"] {
            assert!(!listed(code), "{code}");
        }
    }

    #[test]
    fn a_sample_amount_is_one_of_the_currency() {
        for (code, sample) in [("USD", "14.50"), ("JPY", "1450"), ("KWD", "14.500"), ("CLF", "14.5000")] {
            let currency: Currency = code.parse().unwrap();
            assert_eq!(currency.sample_amount(), sample);
            assert!(Money::from_decimal(sample, currency).is_some());
        }
    }

    #[test]
    fn a_currency_is_three_upper_case_letters() {
        for bad in ["", "usd", "US", "USDT", "U1D"] {
            assert_eq!(bad.parse::<Currency>(), Err(InvalidCurrency), "{bad}");
        }
    }
}
