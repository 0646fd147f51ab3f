//! Instants as the wire and the API show them: RFC 3339 in UTC with milliseconds.

use chrono::{DateTime, SecondsFormat, SubsecRound, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use std::str::FromStr;
use std::time::Duration;

/// An instant in UTC, to the millisecond: truncating on the way in keeps one value through wire, database and API, so that a
/// keyset cursor compares equal to the row it was taken from.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, derive_more::Display,
)]
#[display("{}", _0.to_rfc3339_opts(SecondsFormat::Millis, true))]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(DateTime<Utc>);

impl Timestamp {
    /// Milliseconds since 1970.
    pub fn unix_ms(self) -> i64 {
        self.0.timestamp_millis()
    }

    /// The instant so many milliseconds after 1970, if the calendar has it.
    pub fn from_unix_ms(ms: i64) -> Option<Self> {
        DateTime::from_timestamp_millis(ms).map(Self)
    }

    /// The instant for the database's driver.
    pub fn to_utc(self) -> DateTime<Utc> {
        self.0
    }

    /// How much later `self` is than `earlier`; zero if it isn't.
    pub fn since(self, earlier: Self) -> Duration {
        (self.0 - earlier.0).to_std().unwrap_or_default()
    }

    /// This instant moved back, saturating at the calendar's beginning.
    pub fn minus(self, duration: Duration) -> Self {
        let delta = TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX);
        Self(self.0.checked_sub_signed(delta).unwrap_or(DateTime::<Utc>::MIN_UTC))
    }

    /// This instant moved on, saturating at the calendar's end.
    pub fn plus(self, duration: Duration) -> Self {
        let delta = TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX);
        Self(self.0.checked_add_signed(delta).unwrap_or(DateTime::<Utc>::MAX_UTC))
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(time: DateTime<Utc>) -> Self {
        Self(time.trunc_subsecs(3))
    }
}

impl FromStr for Timestamp {
    type Err = chrono::ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(DateTime::parse_from_rfc3339(text)?.with_timezone(&Utc).into())
    }
}

impl TryFrom<String> for Timestamp {
    type Error = chrono::ParseError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Timestamp> for String {
    fn from(time: Timestamp) -> String {
        time.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_shown_in_utc_with_milliseconds() {
        let time: Timestamp = "2026-11-23T20:10:51.371999+01:00".parse().unwrap();
        assert_eq!(time.to_string(), "2026-11-23T19:10:51.371Z");
        assert_eq!(Timestamp::from_unix_ms(time.unix_ms()), Some(time));
    }

    #[test]
    fn moving_an_instant_saturates() {
        let time: Timestamp = "2026-11-23T19:10:51.371Z".parse().unwrap();
        assert_eq!(time.plus(Duration::from_secs(1)).since(time), Duration::from_secs(1));
        assert_eq!(time.minus(Duration::from_secs(1)).since(time), Duration::ZERO);
        assert!(time.minus(Duration::MAX) < time);
    }
}
