//! Faults that tests inject into a process from within: a safeguard is disabled, or a failpoint raises a signal.
//!
//! Only builds with the feature `fault-injection` contain this module. `WAYBILL_SABOTAGE` holds the faults as words such
//! as `without-outbox` and `kill@after-commit-before-answer:7`, separated by blanks.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use bus::message::Message;
use bus::topology::Topology;
use bus::transport::{
    Deliveries, ExclusiveQueue, LinkState, PeekedMessages, PublishError, QueueDepth, SharedTransport, Target,
    Transport, TransportError,
};
use rustix::process::{getpid, kill_process};
use tokio::sync::watch;

use crate::config::{self, ConfigErrors};

#[cfg(not(debug_assertions))]
compile_error!("fault injection is for tests: a release must not have the feature `fault-injection`");

/// Not among [`config::VARIABLES`]: it configures nothing outside of tests.
const VARIABLE: &str = "WAYBILL_SABOTAGE";

/// How long [`Signal::Hang`] lasts: longer than the holds of the tests that use it.
const HANG: Duration = Duration::from_secs(7);

static INJECTED: OnceLock<InjectedFaults> = OnceLock::new();

#[derive(Debug, Default, PartialEq, Eq)]
struct InjectedFaults {
    disabled: Vec<Safeguard>,
    triggers: Vec<Trigger>,
}

/// Code that keeps a promise of the system. A check of that promise has to fail once the safeguard is disabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Safeguard {
    /// The relay publishes events that an earlier process has committed.
    Outbox,
    /// A message counts as published once the broker confirms it.
    Confirms,
    /// A command for an existing order creates no other order.
    Deduplication,
    /// No more stock is held than is available.
    Stock,
}

/// Raises a signal at one hit of a failpoint, counted from 1.
#[derive(Debug, PartialEq, Eq)]
struct Trigger {
    signal: Signal,
    failpoint: String,
    hit: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signal {
    /// SIGKILL.
    Kill,
    /// SIGSTOP; the test has to continue the process.
    Stop,
    /// The task at the failpoint hangs for a while; the rest of the process goes on.
    Hang,
}

/// Reads the faults from the environment.
pub(crate) fn install() -> Result<(), ConfigErrors> {
    let Some(words) = config::unlisted_variable(VARIABLE) else { return Ok(()) };
    let mut errors = ConfigErrors::default();
    let faults = parse(&words).unwrap_or_else(|problem| {
        errors.add(VARIABLE, problem);
        InjectedFaults::default()
    });
    // A second call in one process changes nothing.
    let _ = INJECTED.set(faults);
    errors.finish(())
}

pub fn is_disabled(safeguard: Safeguard) -> bool {
    INJECTED.get().is_some_and(|faults| faults.disabled.contains(&safeguard))
}

/// Counts a hit of a failpoint and raises the signals that are due.
pub fn hit(failpoint: &str) {
    static HITS: LazyLock<Mutex<HashMap<String, u32>>> = LazyLock::new(Mutex::default);
    let Some(faults) = INJECTED.get() else { return };
    let triggers = || faults.triggers.iter().filter(|trigger| trigger.failpoint == failpoint);
    if triggers().next().is_none() {
        return;
    }
    let hit = {
        let mut hits = HITS.lock().expect("no panic happens under this lock");
        let count = hits.entry(failpoint.to_owned()).or_default();
        *count += 1;
        *count
    };
    for Trigger { signal, .. } in triggers().filter(|trigger| trigger.hit == hit) {
        tracing::warn!(failpoint, ?signal, "fault injected");
        match signal {
            Signal::Kill => raise(rustix::process::Signal::KILL),
            Signal::Stop => raise(rustix::process::Signal::STOP),
            Signal::Hang => tokio::task::block_in_place(|| std::thread::sleep(HANG)),
        }
    }
}

fn raise(signal: rustix::process::Signal) {
    kill_process(getpid(), signal).expect("a process may signal itself");
}

fn parse(words: &str) -> Result<InjectedFaults, String> {
    let mut faults = InjectedFaults::default();
    for word in words.split_whitespace() {
        match word {
            "without-outbox" => faults.disabled.push(Safeguard::Outbox),
            "without-confirms" => faults.disabled.push(Safeguard::Confirms),
            "without-deduplication" => faults.disabled.push(Safeguard::Deduplication),
            "without-stock-guard" => faults.disabled.push(Safeguard::Stock),
            _ => faults.triggers.push(trigger(word).ok_or_else(|| format!("{word:?} is no known fault"))?),
        }
    }
    Ok(faults)
}

fn trigger(word: &str) -> Option<Trigger> {
    let (signal, at) = word.split_once('@')?;
    let (failpoint, hit) = at.split_once(':')?;
    let signal = match signal {
        "kill" => Signal::Kill,
        "stop" => Signal::Stop,
        "hang" => Signal::Hang,
        _ => return None,
    };
    Some(Trigger { signal, failpoint: failpoint.to_owned(), hit: hit.parse().ok()? })
}

/// The transport, without confirms if [`Safeguard::Confirms`] is disabled.
pub(crate) fn unconfirmed(transport: SharedTransport) -> SharedTransport {
    if is_disabled(Safeguard::Confirms) { Arc::new(Unconfirmed(transport)) } else { transport }
}

/// Confirms each message as soon as it is handed over, without waiting for the broker.
struct Unconfirmed(SharedTransport);

#[async_trait]
impl Transport for Unconfirmed {
    async fn publish(
        &self,
        messages: Vec<(Target, Message)>,
        limit: Duration,
    ) -> Vec<Result<(), PublishError>> {
        let (transport, handed_over) = (Arc::clone(&self.0), messages.len());
        tokio::spawn(async move { transport.publish(messages, limit).await });
        vec![Ok(()); handed_over]
    }

    fn topology(&self) -> &Topology {
        self.0.topology()
    }

    fn owner(&self) -> &str {
        self.0.owner()
    }

    fn link_state(&self) -> watch::Receiver<LinkState> {
        self.0.link_state()
    }

    async fn publish_unconfirmed(&self, target: Target, message: Message) -> Result<(), PublishError> {
        self.0.publish_unconfirmed(target, message).await
    }

    async fn consume(&self, queue: &str, prefetch: u16) -> Result<Deliveries, TransportError> {
        self.0.consume(queue, prefetch).await
    }

    async fn consume_exclusive(&self, queue: ExclusiveQueue) -> Result<(String, Deliveries), TransportError> {
        self.0.consume_exclusive(queue).await
    }

    async fn peek(&self, queue: &str, limit: u32) -> Result<PeekedMessages, TransportError> {
        self.0.peek(queue, limit).await
    }

    async fn depth(&self, queue: &str) -> Result<Option<QueueDepth>, TransportError> {
        self.0.depth(queue).await
    }

    async fn declare(&self) -> Result<(), TransportError> {
        self.0.declare().await
    }

    async fn close(&self) {
        self.0.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_parsed_as_faults() {
        let faults = parse("without-outbox  kill@after-commit:7 stop@before-reply:1 hang@here:2").unwrap();
        let trigger = |signal, failpoint: &str, hit| Trigger { signal, failpoint: failpoint.to_owned(), hit };
        assert_eq!(faults.disabled, [Safeguard::Outbox]);
        assert_eq!(
            faults.triggers,
            [
                trigger(Signal::Kill, "after-commit", 7),
                trigger(Signal::Stop, "before-reply", 1),
                trigger(Signal::Hang, "here", 2)
            ]
        );
        for wrong in ["without-luck", "kill@after-commit", "kill@after-commit:often", "push@after-commit:1"] {
            assert_eq!(parse(wrong), Err(format!("{wrong:?} is no known fault")));
        }
    }
}
