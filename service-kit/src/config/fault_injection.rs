use std::str::FromStr;
use std::sync::OnceLock;

use super::{ConfigError, ConfigErrors};

/// Not among [`super::VARIABLES`]: it configures nothing, and a release build doesn't know it.
const VARIABLE: &str = "WAYBILL_SABOTAGE";

static SABOTAGE: OnceLock<Sabotage> = OnceLock::new();

/// What a test does to this process from within.
///
/// Read from words such as `without-outbox` and `kill@after-commit-before-answer:7`, separated by blanks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sabotage {
    /// What it goes without.
    pub(crate) without: Vec<Safeguard>,
    /// What strikes it.
    pub(crate) strikes: Vec<Strike>,
}

/// What keeps a promise. Taken away, whoever checks the promise must find it broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Safeguard {
    /// Events are remembered until they are published.
    Outbox,
    /// A message is published once the broker says so.
    Confirms,
    /// What is there already is not made again.
    Deduplication,
    /// No more is held than is available.
    Stock,
}

/// What befalls the process in passing a failpoint, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Strike {
    /// How.
    pub(crate) blow: Blow,
    /// The failpoint's name.
    pub(crate) failpoint: String,
    /// At which time it is passed, from 1 on.
    pub(crate) pass: u32,
}

/// How a process is struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blow {
    /// SIGKILL.
    Kill,
    /// SIGSTOP; somebody has to continue it.
    Stop,
    /// Whoever passes hangs for a while; the rest of the process goes on.
    Hang,
}

/// Reads the variable for the process, before anything else looks.
#[expect(clippy::disallowed_methods, reason = "this is where the environment is read")]
pub(crate) fn read() -> Result<(), ConfigErrors> {
    let Ok(words) = std::env::var(VARIABLE) else { return Ok(()) };
    let sabotage = words.parse().map_err(|problem: String| ConfigErrors {
        errors: vec![ConfigError { variable: VARIABLE, problem }],
    })?;
    // The first reading stays.
    let _ = SABOTAGE.set(sabotage);
    Ok(())
}

/// What was read; nothing where nothing was.
pub(crate) fn sabotage() -> Option<&'static Sabotage> {
    SABOTAGE.get()
}

impl FromStr for Sabotage {
    type Err = String;

    fn from_str(words: &str) -> Result<Self, Self::Err> {
        let mut sabotage = Self::default();
        for word in words.split_whitespace() {
            match word {
                "without-outbox" => sabotage.without.push(Safeguard::Outbox),
                "without-confirms" => sabotage.without.push(Safeguard::Confirms),
                "without-deduplication" => sabotage.without.push(Safeguard::Deduplication),
                "without-stock-guard" => sabotage.without.push(Safeguard::Stock),
                _ => sabotage.strikes.push(strike(word).ok_or_else(|| format!("{word:?} is nothing known"))?),
            }
        }
        Ok(sabotage)
    }
}

fn strike(word: &str) -> Option<Strike> {
    let (blow, at) = word.split_once('@')?;
    let (failpoint, pass) = at.split_once(':')?;
    let blow = match blow {
        "kill" => Blow::Kill,
        "stop" => Blow::Stop,
        "hang" => Blow::Hang,
        _ => return None,
    };
    Some(Strike { blow, failpoint: failpoint.to_owned(), pass: pass.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_say_what_is_done() {
        let read: Sabotage =
            "without-outbox  kill@after-commit:7 stop@before-reply:1 hang@here:2".parse().unwrap();
        let strike = |blow, failpoint: &str, pass| Strike { blow, failpoint: failpoint.to_owned(), pass };
        assert_eq!(read.without, [Safeguard::Outbox]);
        assert_eq!(
            read.strikes,
            [
                strike(Blow::Kill, "after-commit", 7),
                strike(Blow::Stop, "before-reply", 1),
                strike(Blow::Hang, "here", 2)
            ]
        );
        for wrong in ["without-luck", "kill@after-commit", "kill@after-commit:often", "push@after-commit:1"] {
            assert_eq!(wrong.parse::<Sabotage>(), Err(format!("{wrong:?} is nothing known")));
        }
    }
}
