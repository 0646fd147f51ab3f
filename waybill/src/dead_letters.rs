//! `waybill dead-letters`: lists, shows, replays and discards dead letters.

use std::collections::BTreeMap;
use std::process::ExitCode;

use bus::dead_letters::{DeadLetter, Handled, PEEK_MAX, Selection};
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::Value;

use crate::admin::{AdminAddressArgs, AdminRequest, DeadLetterCommand};
use crate::output::{OutputArgs, brief, columns, counted, printable};

/// Look at messages that were given up on, and send them back or discard them
///
/// A message that can't be handled, or not after all its retries, stays in its queue's dead-letter queue until an
/// operator replays or discards it. Works on a running system, on a stopped one (its broker's file in DATA_DIR is opened
/// meanwhile), and with RABBITMQ_URL on that broker.
#[derive(Args, Debug)]
pub(crate) struct DeadLettersArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Count them by queue and code, and list them
    List {
        /// Only those that failed with this code, such as UNDECODABLE
        #[arg(long)]
        code: Option<String>,
        #[command(flatten)]
        common: CommonArgs,
    },
    /// Print one with its headers, attempts, trace id and body
    Show {
        /// Its id, as `list` prints it
        id: String,
        #[command(flatten)]
        common: CommonArgs,
    },
    /// Send some back to the queue that they came from, as if never tried
    ///
    /// The messages keep their ids, so that an effect that did happen happens no second time.
    Replay {
        #[command(flatten)]
        which: WhichArgs,
        #[command(flatten)]
        common: CommonArgs,
    },
    /// Remove some for good
    Discard {
        #[command(flatten)]
        which: WhichArgs,
        #[command(flatten)]
        common: CommonArgs,
    },
}

#[derive(Args, Debug)]
struct CommonArgs {
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    address: AdminAddressArgs,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct WhichArgs {
    /// Those of these ids
    ids: Vec<String>,
    /// All of them
    #[arg(long)]
    all: bool,
    /// Those that failed with this code
    #[arg(long)]
    code: Option<String>,
}

impl WhichArgs {
    fn selection(self) -> Selection {
        match self.code {
            Some(code) => Selection::Code(code),
            None if self.all => Selection::All,
            None => Selection::Ids(self.ids),
        }
    }
}

pub(crate) async fn run(args: DeadLettersArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::List { code, common } => {
            let selection = code.map_or(Selection::All, Selection::Code);
            let listed = send(&common.address, DeadLetterCommand::List(selection)).await?;
            common.output.print(&Listing::new(listed.letters), listing)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Show { id, common } => {
            let selection = Selection::Ids(vec![id.clone()]);
            let letters = send(&common.address, DeadLetterCommand::List(selection)).await?.letters;
            let code = if letters.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
            common.output.print(&Shown { id, letters }, shown)?;
            Ok(code)
        }
        Command::Replay { which, common } => {
            change(common, which, DeadLetterCommand::Replay, "replayed").await
        }
        Command::Discard { which, common } => {
            change(common, which, DeadLetterCommand::Discard, "discarded").await
        }
    }
}

async fn change(
    common: CommonArgs,
    which: WhichArgs,
    command: fn(Selection) -> DeadLetterCommand,
    done: &'static str,
) -> anyhow::Result<ExitCode> {
    let selection = which.selection();
    let Handled { letters, stopped } = send(&common.address, command(selection.clone())).await?;
    let change = Change { done, missing: missing(&selection, &letters), letters, stopped };
    common.output.print(&change, changed)?;
    let all_done = change.stopped.is_none() && change.missing.is_empty();
    Ok(if all_done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The requested ids that no letter has.
fn missing(selection: &Selection, letters: &[DeadLetter]) -> Vec<String> {
    let Selection::Ids(ids) = selection else { return Vec::new() };
    ids.iter().filter(|id| letters.iter().all(|letter| letter.id != **id)).cloned().collect()
}

async fn send(address: &AdminAddressArgs, command: DeadLetterCommand) -> anyhow::Result<Handled> {
    let connection = address.connect().await?;
    connection.run(async |connection| connection.call(AdminRequest::DeadLetters(command)).await).await
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Listing {
    counts: Vec<Count>,
    letters: Vec<DeadLetter>,
    /// Whether a queue holds so many that there may be more.
    cut_off: bool,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Count {
    queue: String,
    code: String,
    count: usize,
}

impl Listing {
    fn new(letters: Vec<DeadLetter>) -> Self {
        let mut by_cause: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        let mut by_queue: BTreeMap<&str, usize> = BTreeMap::new();
        for letter in &letters {
            *by_cause.entry((&letter.queue, &letter.code)).or_default() += 1;
            *by_queue.entry(&letter.queue).or_default() += 1;
        }
        let counts = by_cause
            .into_iter()
            .map(|((queue, code), count)| Count { queue: queue.into(), code: code.into(), count })
            .collect();
        let cut_off = by_queue.values().any(|&count| count >= PEEK_MAX as usize);
        Self { counts, letters, cut_off }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    id: String,
    letters: Vec<DeadLetter>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Change {
    done: &'static str,
    letters: Vec<DeadLetter>,
    /// Requested ids that were not found.
    missing: Vec<String>,
    /// Why it ended early, if it did.
    stopped: Option<String>,
}

fn listing(listing: &Listing) -> String {
    if listing.letters.is_empty() {
        return "no dead letters".to_owned();
    }
    let count =
        |Count { queue, code, count }: &Count| vec![count.to_string(), printable(queue), printable(code)];
    let counts: Vec<_> = listing.counts.iter().map(count).collect();
    let letters: Vec<_> = listing.letters.iter().map(row).collect();
    let mut text = format!(
        "{}\n\n{}",
        columns(&["COUNT", "QUEUE", "CODE"], &counts),
        columns(&["ID", "PATTERN", "CODE", "ATTEMPTS", "FAILED AT", "REASON"], &letters)
    );
    if listing.cut_off {
        text.push_str(&format!("\n\nOnly the first {PEEK_MAX} of each queue are looked at."));
    }
    text
}

fn row(letter: &DeadLetter) -> Vec<String> {
    vec![
        printable(&letter.id),
        letter.pattern.as_deref().map_or_else(unknown, |pattern| brief(pattern, 40)),
        printable(&letter.code),
        letter.attempts.to_string(),
        letter.failed_at.map_or_else(unknown, |at| at.to_string()),
        brief(&letter.message, 80),
    ]
}

fn shown(shown: &Shown) -> String {
    if shown.letters.is_empty() {
        return format!("there is no dead letter {}", printable(&shown.id));
    }
    shown.letters.iter().map(letter).collect::<Vec<_>>().join("\n\n")
}

fn letter(letter: &DeadLetter) -> String {
    let facts = [
        ("id", letter.id.clone()),
        ("queue", letter.queue.clone()),
        ("pattern", letter.pattern.clone().unwrap_or_else(unknown)),
        ("code", letter.code.clone()),
        ("reason", letter.message.clone()),
        ("attempts", letter.attempts.to_string()),
        ("failed at", letter.failed_at.map_or_else(unknown, |at| at.to_string())),
        ("trace id", letter.trace_id.clone().unwrap_or_else(unknown)),
    ];
    let facts = facts.iter().map(|(name, value)| format!("{name:<10}{}", printable(value)));
    let headers = letter.headers.iter().map(|(name, value)| {
        // Header values are numbers and texts, which JSON always has a form for.
        let value = serde_json::to_string(value).unwrap_or_default();
        format!("  {}: {}", printable(name), printable(&value))
    });
    let lines: Vec<String> = facts.chain(["headers".to_owned()]).chain(headers).collect();
    format!("{}\nbody\n{}", lines.join("\n"), body(&letter.body))
}

/// The body as sent, indented if it is JSON.
fn body(body: &str) -> String {
    let text = serde_json::from_str::<Value>(body).map_or(body.to_owned(), |json| format!("{json:#}"));
    printable(&text).lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

fn changed(change: &Change) -> String {
    let mut lines = vec![format!("{} {}", counted(change.letters.len(), "dead letter"), change.done)];
    let letter = |letter: &DeadLetter| format!("  {} ({})", printable(&letter.id), letter.queue);
    lines.extend(change.letters.iter().map(letter));
    lines.extend(change.missing.iter().map(|id| format!("there is no dead letter {}", printable(id))));
    lines.extend(change.stopped.iter().map(|reason| format!("stopped: {}", printable(reason))));
    lines.join("\n")
}

fn unknown() -> String {
    "-".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dead(id: &str, queue: &str, code: &str) -> DeadLetter {
        DeadLetter {
            id: id.to_owned(),
            queue: queue.to_owned(),
            pattern: Some("order.create".to_owned()),
            code: code.to_owned(),
            message: "expected value at line 1\u{1b}[2J".to_owned(),
            attempts: 1,
            failed_at: Some("2026-11-23T19:10:51.371Z".parse().unwrap()),
            trace_id: Some("0af7651916cd43dd8448eb211c80319c".to_owned()),
            headers: [("x-attempt".to_owned(), 1.into())].into(),
            body: r#"{"pattern":"order.create"}"#.to_owned(),
        }
    }

    #[test]
    fn letters_are_counted_by_queue_and_code() {
        let letters =
            [("1", "b", "INTERNAL"), ("2", "a", "INTERNAL"), ("3", "b", "INTERNAL"), ("4", "b", "X")];
        let found = Listing::new(letters.map(|(id, queue, code)| dead(id, queue, code)).into());
        let counts: Vec<_> =
            found.counts.iter().map(|count| (&*count.queue, &*count.code, count.count)).collect();
        assert_eq!(counts, [("a", "INTERNAL", 1), ("b", "INTERNAL", 2), ("b", "X", 1)]);
        let text = listing(&found);
        let expected = "COUNT  QUEUE  CODE\n1      a      INTERNAL\n2      b      INTERNAL\n";
        assert!(text.starts_with(expected), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
        assert_eq!(listing(&Listing::new(Vec::new())), "no dead letters");
    }

    #[test]
    fn one_is_shown_with_all_that_came_with_it() {
        let text = shown(&Shown { id: "1".to_owned(), letters: vec![dead("1", "a", "UNDECODABLE")] });
        let trace_id = "0af7651916cd43dd8448eb211c80319c";
        for part in ["UNDECODABLE", trace_id, "x-attempt: 1", "  \"pattern\": \"order.create\""] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        let missing = shown(&Shown { id: "2".to_owned(), letters: Vec::new() });
        assert_eq!(missing, "there is no dead letter 2");
    }

    #[test]
    fn what_was_not_done_is_reported() {
        let text = changed(&Change {
            done: "replayed",
            letters: vec![dead("1", "a", "INTERNAL")],
            missing: vec!["9".to_owned()],
            stopped: Some("2 was not replayed: the queue is full".to_owned()),
        });
        assert_eq!(
            text,
            "1 dead letter replayed\n  1 (a)\nthere is no dead letter 9\nstopped: 2 was not replayed: the queue is full"
        );
    }
}
