use std::fmt;
use std::net::Ipv6Addr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use humantime::format_duration;

use super::Secret;

/// A variable's name, such as `REQUEST_TIMEOUT`.
type Variable = &'static str;

/// One error in the configuration: the variable, and what would be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    pub variable: Variable,
    /// What is wrong and what would be right; never a secret's value.
    pub problem: String,
}

/// Turns strings into typed values and collects what is wrong with them.
///
/// Each method returns a value in every case; for an invalid string it is a stand-in that no caller sees, because
/// [`ConfigErrors::finish`] returns the errors instead.
#[derive(Debug, Clone, Default, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors {
    /// In the order found.
    pub errors: Vec<ConfigError>,
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("invalid configuration")?;
        for error in &self.errors {
            let flag = error.variable.to_ascii_lowercase().replace('_', "-");
            write!(formatter, "\n  {} (--{flag}): {}", error.variable, error.problem)?;
        }
        Ok(())
    }
}

impl ConfigErrors {
    /// The one error of a value that shows to be wrong only when it is used.
    pub fn single(variable: Variable, problem: impl Into<String>) -> Self {
        let mut errors = Self::default();
        errors.add(variable, problem);
        errors
    }

    /// Adds an error that a process found by itself, such as two variables that exclude one another.
    pub fn add(&mut self, variable: Variable, problem: impl Into<String>) {
        self.errors.push(ConfigError { variable, problem: problem.into() });
    }

    /// `config` if there are no errors, every error otherwise.
    pub fn finish<T>(self, config: T) -> Result<T, ConfigErrors> {
        if self.errors.is_empty() { Ok(config) } else { Err(self) }
    }

    /// The value, or `stand_in` and an error.
    fn or_add<T>(
        &mut self,
        variable: Variable,
        value: Option<T>,
        stand_in: T,
        problem: impl FnOnce() -> String,
    ) -> T {
        value.unwrap_or_else(|| {
            self.add(variable, problem());
            stand_in
        })
    }

    /// A duration with its unit, such as `500ms`, `2s` or `5m`, within `range`.
    pub fn duration(&mut self, variable: Variable, text: &str, range: RangeInclusive<Duration>) -> Duration {
        let duration = humantime::parse_duration(text.trim()).ok().filter(|value| range.contains(value));
        self.or_add(variable, duration, *range.start(), || {
            let (least, most) = (format_duration(*range.start()), format_duration(*range.end()));
            format!("{text:?} is not a duration from {least} to {most}, such as 500ms, 2s or 5m")
        })
    }

    /// One to `most` durations separated by commas, such as `1s,5s,30s`, each within `range`.
    pub fn durations(
        &mut self,
        variable: Variable,
        text: &str,
        range: RangeInclusive<Duration>,
        most: usize,
    ) -> Vec<Duration> {
        let parts: Vec<&str> = text.split(',').collect();
        if parts.len() > most {
            self.add(variable, format!("{} durations are more than the {most} accepted", parts.len()));
            return Vec::new();
        }
        parts.into_iter().map(|part| self.duration(variable, part, range.clone())).collect()
    }

    /// RETRY_DELAYS: one to ten durations from 1 ms to a day.
    pub fn retry_delays(&mut self, text: &str) -> Vec<Duration> {
        let day = Duration::from_secs(24 * 60 * 60);
        self.durations("RETRY_DELAYS", text, Duration::from_millis(1)..=day, 10)
    }

    /// A size in bytes, plain or with a unit, such as `65536`, `512KiB` or `1MiB`, within `range`.
    pub fn size(&mut self, variable: Variable, text: &str, range: RangeInclusive<usize>) -> usize {
        let size = text.trim().parse::<ByteSize>().ok().and_then(|size| usize::try_from(size.as_u64()).ok());
        self.or_add(variable, size.filter(|size| range.contains(size)), *range.start(), || {
            let (least, most) = (range.start(), range.end());
            format!("{text:?} is not a size from {least} to {most} bytes, such as 65536, 512KiB or 1MiB")
        })
    }

    /// A whole number within `range`.
    pub fn number<T>(&mut self, variable: Variable, text: &str, range: RangeInclusive<T>) -> T
    where
        T: FromStr + PartialOrd + Copy + fmt::Display,
    {
        let number = text.trim().parse().ok().filter(|value| range.contains(value));
        self.or_add(variable, number, *range.start(), || {
            format!("{text:?} is not a whole number from {} to {}", range.start(), range.end())
        })
    }

    /// A TCP port; 0 lets the system choose.
    pub fn port(&mut self, variable: Variable, text: &str) -> u16 {
        self.or_add(variable, text.trim().parse().ok(), 0, || {
            format!("{text:?} is not a port from 0 to 65535 (0 lets the system choose)")
        })
    }

    /// An address or host name to listen on, without a port.
    pub fn host(&mut self, variable: Variable, text: &str) -> String {
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
        let host = text.trim();
        if host.is_empty() || (!host.chars().all(allowed) && host.parse::<Ipv6Addr>().is_err()) {
            let form = "a host, such as 127.0.0.1, ::1 or localhost, without a port";
            self.add(variable, format!("{text:?} is not {form}"));
        }
        host.to_owned()
    }

    /// A name of 1 to 64 letters, digits, `-`, `_` and `.`.
    pub fn name(&mut self, variable: Variable, text: &str) -> String {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let name = text.trim();
        if name.is_empty() || name.len() > 64 || !name.chars().all(allowed) {
            let form = "a name of 1 to 64 letters, digits, '-', '_' and '.'";
            self.add(variable, format!("{text:?} is not {form}"));
        }
        name.to_owned()
    }

    /// One of the words of `choices`.
    ///
    /// # Panics
    /// Panics if `choices` is empty.
    pub fn choice<T: Clone>(&mut self, variable: Variable, text: &str, choices: &[(&str, T)]) -> T {
        let chosen = choices.iter().find(|(word, _)| *word == text.trim()).map(|(_, value)| value.clone());
        self.or_add(variable, chosen, choices[0].1.clone(), || {
            let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
            format!("{text:?} is not one of {}", words.join(", "))
        })
    }

    /// A value of any type that parses; `form` describes what is accepted. `None` stands in for an invalid one.
    pub fn parsed<T: FromStr>(&mut self, variable: Variable, text: &str, form: &str) -> Option<T> {
        self.or_add(variable, text.trim().parse().ok().map(Some), None, || format!("{text:?} is not {form}"))
    }

    /// A URL of one of `schemes` in which `check` finds nothing wrong, or `None` if it is absent or empty. Neither the error
    /// nor that of `check` contains a password.
    pub fn url<E: fmt::Display>(
        &mut self,
        variable: Variable,
        value: Option<&Secret>,
        schemes: &[&str],
        check: impl FnOnce(&str) -> Result<(), E>,
    ) -> Option<Secret> {
        let url = value.map(|value| value.expose().trim()).filter(|value| !value.is_empty())?;
        if !has_scheme(url, schemes) {
            self.add(variable, format!("not a URL of the form {}", forms(schemes)));
        } else if let Err(problem) = check(url) {
            self.add(variable, problem.to_string());
        }
        Some(Secret::new(url))
    }

    /// A URL of one of `schemes` that must be given, in which `check` finds nothing wrong.
    pub fn required_url<E: fmt::Display>(
        &mut self,
        variable: Variable,
        value: Option<&Secret>,
        schemes: &[&str],
        check: impl FnOnce(&str) -> Result<(), E>,
    ) -> Secret {
        let url = self.url(variable, value, schemes, check);
        self.or_add(variable, url, Secret::new(""), || {
            format!("not set; give a URL of the form {}", forms(schemes))
        })
    }
}

fn forms(schemes: &[&str]) -> String {
    let forms: Vec<String> = schemes.iter().map(|scheme| format!("{scheme}://...")).collect();
    forms.join(" or ")
}

fn has_scheme(text: &str, schemes: &[&str]) -> bool {
    text.split_once("://").is_some_and(|(scheme, rest)| schemes.contains(&scheme) && !rest.is_empty())
}

/// Refuses what is no URL, without repeating it.
pub fn check_url(text: &str) -> Result<(), &'static str> {
    url::Url::parse(text).map(drop).map_err(|_| "not a valid URL")
}

/// Finds nothing wrong, since a SQLite URL holds a file's path, which may be no valid URL.
#[cfg(test)]
fn unchecked(_: &str) -> Result<(), &'static str> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: RangeInclusive<Duration> = Duration::ZERO..=Duration::MAX;

    #[test]
    fn every_fault_is_reported_at_once_and_by_name() {
        let mut errors = ConfigErrors::default();
        errors.duration("REQUEST_TIMEOUT", "5", Duration::from_millis(1)..=Duration::from_secs(60));
        errors.port("ADMIN_PORT", "70000");
        errors.size("MAX_BODY_BYTES", "1XB", 1..=1 << 30);
        errors.host("HOST", "0.0.0.0:80");
        errors.choice("LOG_FORMAT", "xml", &[("pretty", 1), ("json", 2)]);
        errors.number::<u16>("PREFETCH", "0", 1..=10_000);
        errors.name("BUS_NAMESPACE", "a b");
        errors.required_url("DATABASE_URL", None, &["postgres", "sqlite"], unchecked);
        let error = errors.finish(()).unwrap_err();
        let names: Vec<&str> = error.errors.iter().map(|error| error.variable).collect();
        let expected =
            "REQUEST_TIMEOUT ADMIN_PORT MAX_BODY_BYTES HOST LOG_FORMAT PREFETCH BUS_NAMESPACE DATABASE_URL";
        assert_eq!(names.join(" "), expected);
        let text = error.to_string();
        assert!(
            text.contains("REQUEST_TIMEOUT (--request-timeout): \"5\" is not a duration from 1ms to 1m"),
            "{text}"
        );
        assert!(text.contains("DATABASE_URL (--database-url): not set; give a URL of the form postgres://... or sqlite://..."), "{text}");
        assert!(text.contains("\"xml\" is not one of pretty, json"), "{text}");
    }

    #[test]
    fn valid_values_are_parsed() {
        let mut errors = ConfigErrors::default();
        assert_eq!(errors.duration("A", " 500ms ", ANY), Duration::from_millis(500));
        assert_eq!(errors.duration("A", "0s", ANY), Duration::ZERO);
        assert_eq!(
            errors.durations("A", "1s, 2m", ANY, 8),
            [Duration::from_secs(1), Duration::from_secs(120)]
        );
        assert_eq!(errors.size("A", "65536", 0..=usize::MAX), 65_536);
        assert_eq!(errors.size("A", "1 MiB", 0..=usize::MAX), 1 << 20);
        assert_eq!(errors.port("A", "0"), 0);
        assert_eq!(errors.host("A", "::1"), "::1");
        assert_eq!(errors.choice("A", "json", &[("pretty", 1), ("json", 2)]), 2);
        let url = Secret::new("amqps://user:word@broker:5671/%2f");
        assert_eq!(errors.url("A", Some(&url), &["amqp", "amqps"], check_url), Some(url));
        assert_eq!(errors.url("A", Some(&Secret::new("")), &["amqp"], check_url), None);
        let file = Secret::new("sqlite:///var/lib/way bill/orders.db?mode=rwc");
        assert_eq!(errors.required_url("A", Some(&file), &["sqlite"], unchecked), file);
        errors.finish(()).unwrap();
    }

    #[test]
    fn a_faulty_url_is_reported_without_its_password() {
        let mut errors = ConfigErrors::default();
        for url in ["http://user:hunter2@broker", "amqp://user:hunter2@broker:port"] {
            errors.url("RABBITMQ_URL", Some(&Secret::new(url)), &["amqp", "amqps"], check_url);
        }
        let error = errors.finish(()).unwrap_err();
        assert_eq!(error.errors.len(), 2);
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }

    #[test]
    fn a_secret_does_not_print() {
        assert_eq!(format!("{:?}", Some(Secret::new("hunter2"))), "Some(Secret(..))");
    }

    #[test]
    fn a_secret_of_the_environment_is_trimmed_as_every_other_value_is() {
        assert_eq!(" hunter2\n".parse(), Ok(Secret::new("hunter2")));
    }
}
