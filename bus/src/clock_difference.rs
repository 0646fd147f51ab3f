//! What the wall clocks of other machines are worth. A request's deadline is relative: its `expiration`, counted from
//! receipt. Its `x-deadline` serves to notice one that was on its way for too long, in a process or a network that stood
//! still; that takes the clock of its sender, which may be wrong by any amount.
//!
//! So a clock is believed as far as its own requests bear it out: the least time that one of them seemed to take is what
//! the two clocks differ by.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use schema::clock::SenderClock;
use schema::time::Timestamp;

use crate::clock::Deadline;
use crate::failure::{Failure, FailureCode};
use crate::message::{Message, header};

/// How late a request may be by the clocks before it is refused.
const TOLERANCE_MS: i64 = 2_000;
/// What is believed of another clock: a request that took longer than this, it is said, was sent by a clock that is wrong.
const BELIEVED_MS: i64 = 60_000;
/// When all requests of a sender have been late for so long, its clock is wrong: a process that stood still is through with
/// what had piled up at once.
const LATE_FOR: Duration = Duration::from_secs(5);
/// A difference that is worth a line in the log.
const REPORTED_MS: u64 = 2_000;
/// How long ago a sender was heard of that still counts as there.
const RECENT: Duration = Duration::from_secs(60);
/// Senders that are remembered. Beyond it all are forgotten, and learned anew.
const SENDERS_MAX: usize = 1_024;

/// The clocks of those who send requests to one server, as far as they differ from its own.
#[derive(Debug, Default)]
pub(crate) struct ClockDifferences(Mutex<HashMap<String, Sender>>);

#[derive(Debug, Clone, Copy)]
struct Sender {
    /// The least time that a request of it seemed to take; negative if its clock is ahead.
    least_ms: i64,
    /// Whether that is the clocks' difference, rather than time on the way.
    differs: bool,
    /// Since when every request of it has been late.
    late_since: Option<Instant>,
    reported: bool,
    last: Instant,
}

impl Sender {
    fn new(took_ms: i64, differs: bool, at: Instant) -> Self {
        Self { least_ms: took_ms, differs, late_since: None, reported: false, last: at }
    }
}

impl ClockDifferences {
    /// Returns the deadline of a request that was received just now: its `expiration` from now, `default` if it has none,
    /// and `default` at most. Fails if the request was under way for longer than that and the tolerance.
    pub(crate) fn received(
        &self,
        message: &Message,
        now: Timestamp,
        default: Duration,
    ) -> Result<Deadline, Failure> {
        let deadline = Deadline::after(message.expiration.unwrap_or(default).min(default));
        let Some(at_ms) = message.header_int(header::DEADLINE) else { return Ok(deadline) };
        let allowed = message.expiration.unwrap_or_default();
        let allowed_ms = i64::try_from(allowed.as_millis()).unwrap_or(i64::MAX);
        let took_ms = now.unix_ms().saturating_sub(at_ms.saturating_sub(allowed_ms));
        let process = process_of(message.reply_to.as_deref().unwrap_or_default());
        let mut senders = self.0.lock().expect("nothing panics while it holds this lock");
        if senders.len() >= SENDERS_MAX && !senders.contains_key(process) {
            senders.clear();
        }
        let at = Instant::now();
        let sender = senders.entry(process.to_owned()).or_insert(Sender::new(took_ms, false, at));
        sender.last = at;
        let late_ms = sender.late_ms(took_ms, allowed_ms, at);
        sender.report(process);
        if late_ms == 0 {
            return Ok(deadline);
        }
        let late = Duration::from_millis(late_ms.unsigned_abs());
        let message = format!(
            "it came {} after its deadline, if the clocks of {process} and of this machine agree",
            humantime::format_duration(late)
        );
        Err(Failure::new(FailureCode::DeadlineExceeded, message))
    }

    /// The clock of each process that has sent requests lately.
    pub(crate) fn report(&self) -> Vec<SenderClock> {
        let senders = self.0.lock().expect("nothing panics while it holds this lock");
        let clock = |(process, sender): (&String, &Sender)| SenderClock {
            process: process.clone(),
            ahead_ms: sender.least_ms.saturating_neg(),
        };
        senders.iter().filter(|(_, sender)| sender.last.elapsed() < RECENT).map(clock).collect()
    }
}

impl Sender {
    /// Returns by how much a request is late that seemed to take `took_ms`, beyond the tolerance; 0 if it is not.
    fn late_ms(&mut self, took_ms: i64, allowed_ms: i64, at: Instant) -> i64 {
        self.least_ms = self.least_ms.min(took_ms);
        // Without a difference that is known, the clocks are taken to agree, unless this one must be behind.
        let difference_ms = if self.differs { self.least_ms } else { self.least_ms.min(0) };
        let under_way_ms = took_ms.saturating_sub(difference_ms);
        let late_ms = under_way_ms.saturating_sub(allowed_ms);
        if late_ms <= TOLERANCE_MS {
            self.late_since = None;
            return 0;
        }
        let late_since = *self.late_since.get_or_insert(at);
        if under_way_ms > BELIEVED_MS.saturating_add(allowed_ms) || at.duration_since(late_since) >= LATE_FOR
        {
            *self = Self::new(took_ms, true, at);
            return 0;
        }
        late_ms
    }

    fn report(&mut self, process: &str) {
        let is_behind = self.differs && self.least_ms > 0;
        let apart = self.least_ms.unsigned_abs();
        if self.reported || apart < REPORTED_MS || !(is_behind || self.least_ms < 0) {
            return;
        }
        self.reported = true;
        let side = if is_behind { "behind" } else { "ahead of" };
        let apart = humantime::format_duration(Duration::from_millis(apart));
        tracing::warn!("the clock of {process} is {apart} {side} this machine's");
    }
}

/// The process of a reply queue, whose name ends with the connection and the purpose. Of a foreign client's, the whole name.
fn process_of(reply_to: &str) -> &str {
    let process = reply_to.rsplitn(3, '.').nth(2).filter(|process| process.contains('.'));
    process.unwrap_or(reply_to)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000;
    const HOUR: i64 = 3_600_000;

    fn now() -> Timestamp {
        "2026-11-23T19:10:51.000Z".parse().unwrap()
    }

    /// A request with 5 s to go when it was sent, `took_ms` ago by its sender's clock.
    fn request(sender: &str, took_ms: i64) -> Message {
        let mut message = Message {
            expiration: Some(Duration::from_secs(5)),
            reply_to: Some(format!("waybill.{sender}.c0ffee.replies")),
            ..Message::default()
        };
        message.set_header(header::DEADLINE, (now().unix_ms() - took_ms + 5 * SECOND).into());
        message
    }

    fn received(clocks: &ClockDifferences, sender: &str, took_ms: i64) -> Result<Deadline, Failure> {
        clocks.received(&request(sender, took_ms), now(), Duration::from_secs(30))
    }

    #[test]
    fn between_clocks_that_agree_what_was_under_way_for_too_long_is_refused() {
        let clocks = ClockDifferences::default();
        assert!(received(&clocks, "gateway.1", 3).unwrap().remaining() <= Duration::from_secs(5));
        assert!(received(&clocks, "gateway.1", 7 * SECOND).is_ok(), "5 s, and 2 s of tolerance");
        let failure = received(&clocks, "gateway.1", 12 * SECOND).unwrap_err();
        assert_eq!(failure.code, FailureCode::DeadlineExceeded);
        assert!(failure.message.starts_with("it came 7s after its deadline"), "{failure}");
        assert!(failure.message.contains("waybill.gateway.1 "), "{failure}");
        assert!(received(&clocks, "gateway.1", 3).is_ok());
    }

    #[test]
    fn a_clock_that_is_far_off_is_not_believed_and_requests_of_its_process_are_handled() {
        for hours in [1, -1, 24 * 365, -24 * 365] {
            let clocks = ClockDifferences::default();
            for delay in [3, 20, 5 * SECOND] {
                assert!(received(&clocks, "gateway.1", hours * HOUR + delay).is_ok(), "{hours} h");
            }
            assert!(
                received(&clocks, "gateway.1", hours * HOUR + 12 * SECOND).is_err(),
                "{hours} h, and late"
            );
            assert!(received(&clocks, "gateway.2", 3).is_ok(), "another one's clock is right");
            let mut report = clocks.report();
            report.sort_by_key(|sender| sender.process.clone());
            assert_eq!((report[0].ahead_ms, report[1].ahead_ms), (-(hours * HOUR + 3), -3));
            // Put right, the clock is believed again.
            assert!(received(&clocks, "gateway.1", 3).is_ok());
            assert!(received(&clocks, "gateway.1", 12 * SECOND).is_err());
        }
    }

    #[test]
    fn a_clock_that_is_seconds_off_is_found_out_when_nothing_comes_in_time() {
        let begin = Instant::now();
        let mut sender = Sender::new(20 * SECOND, false, begin);
        let mut late_ms =
            |took_ms, after| sender.late_ms(took_ms, 5 * SECOND, begin + Duration::from_secs(after));
        assert_eq!(late_ms(20 * SECOND, 0), 15 * SECOND);
        assert_eq!(late_ms(20 * SECOND, 4), 15 * SECOND);
        assert_eq!(late_ms(20 * SECOND, 5), 0, "late for too long");
        assert_eq!(late_ms(20 * SECOND, 6), 0);
        assert_eq!(late_ms(32 * SECOND, 7), 7 * SECOND, "12 s under way");
        assert_eq!(late_ms(20 * SECOND, 8), 0);
    }

    #[test]
    fn a_message_without_a_deadline_has_the_default() {
        let clocks = ClockDifferences::default();
        let deadline = clocks.received(&Message::default(), now(), Duration::from_secs(9)).unwrap();
        assert!(deadline.remaining() > Duration::from_secs(8));
        let mut foreign =
            Message { reply_to: Some("amq.rabbitmq.reply-to.g1h2".into()), ..Message::default() };
        foreign.set_header(header::DEADLINE, (now().unix_ms() - 3 * SECOND).into());
        assert!(clocks.received(&foreign, now(), Duration::from_secs(9)).is_err());
        assert_eq!(process_of("amq.rabbitmq.reply-to"), "amq.rabbitmq.reply-to");
    }
}
