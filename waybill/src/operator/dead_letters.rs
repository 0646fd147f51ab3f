//! `waybill dead-letters`: what was given up on.

mod report;

use std::time::Duration;

use bus::dead_letters::{self, DeadLetter, Handled, Selection};
use bus::topology::RetryDelays;
use bus::transport::{SharedTransport, TransportError};
use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};

use super::Verdict;
use super::counter::DEAD_LETTERS;
use super::print::OutputArgs;
use super::reach::{Reach, ReachArgs};
use report::{Change, Listing, Shown};

/// How long an errand may take.
const LIMIT: Duration = Duration::from_secs(30);

/// Look at messages that were given up on, and send them back or discard them
///
/// A message that can't be handled, or not after all its retries, lies in its queue's dead-letter queue until somebody
/// looks at it. Works on a running shop, on a stopped one (its broker's file in DATA_DIR is opened meanwhile), and with
/// RABBITMQ_URL on that broker.
#[derive(Args, Debug)]
pub(crate) struct DeadLettersArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    List(ListArgs),
    Show(ShowArgs),
    Replay(ReplayArgs),
    Discard(DiscardArgs),
}

/// Count them by queue and code, and list them
#[derive(Args, Debug)]
struct ListArgs {
    /// Only those that failed with this code, such as UNDECODABLE
    #[arg(long)]
    code: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    reach: ReachArgs,
}

/// Print one with its headers, attempts, trace id and body
#[derive(Args, Debug)]
struct ShowArgs {
    /// Its id, as `list` prints it
    id: String,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    reach: ReachArgs,
}

/// Send some back to the queue that they came from, as if never tried
///
/// They keep their ids, so that an effect that did happen happens no second time.
#[derive(Args, Debug)]
struct ReplayArgs {
    #[command(flatten)]
    which: WhichArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    reach: ReachArgs,
}

/// Remove some for good
#[derive(Args, Debug)]
struct DiscardArgs {
    #[command(flatten)]
    which: WhichArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    reach: ReachArgs,
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

/// What is to be done with which.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Errand {
    kind: Kind,
    selection: Selection,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Kind {
    List,
    Replay,
    Discard,
}

/// Runs an errand over a transport.
pub(super) async fn run_errand(
    transport: &SharedTransport,
    errand: Errand,
) -> Result<Handled, TransportError> {
    match errand.kind {
        Kind::List => {
            let letters = dead_letters::list(transport, &errand.selection).await?;
            Ok(Handled { letters, stopped: None })
        }
        Kind::Replay => dead_letters::replay(transport, &errand.selection).await,
        Kind::Discard => dead_letters::discard(transport, &errand.selection).await,
    }
}

/// Runs the command.
pub(crate) async fn run(args: DeadLettersArgs) -> anyhow::Result<Verdict> {
    match args.command {
        Command::List(args) => {
            let selection = args.code.map_or(Selection::All, Selection::Code);
            let listing = Listing::of(send(&args.reach, Kind::List, selection).await?.letters);
            args.output.print(&listing, report::listing)?;
            Ok(Verdict::Fine)
        }
        Command::Show(args) => {
            let selection = Selection::Ids(vec![args.id.clone()]);
            let shown =
                Shown { id: args.id, letters: send(&args.reach, Kind::List, selection).await?.letters };
            args.output.print(&shown, report::shown)?;
            Ok(if shown.letters.is_empty() { Verdict::Amiss } else { Verdict::Fine })
        }
        Command::Replay(args) => change(&args.reach, args.which, Kind::Replay, args.output).await,
        Command::Discard(args) => change(&args.reach, args.which, Kind::Discard, args.output).await,
    }
}

async fn change(
    reach: &ReachArgs,
    which: WhichArgs,
    kind: Kind,
    output: OutputArgs,
) -> anyhow::Result<Verdict> {
    let selection = which.selection();
    let handled = send(reach, kind, selection.clone()).await?;
    let missing = missing(&selection, &handled.letters);
    let done = if kind == Kind::Replay { "replayed" } else { "discarded" };
    let change = Change { done, letters: handled.letters, missing, stopped: handled.stopped };
    output.print(&change, report::change)?;
    Ok(if change.stopped.is_some() || !change.missing.is_empty() { Verdict::Amiss } else { Verdict::Fine })
}

/// The ids asked for that there are no letters of.
fn missing(selection: &Selection, letters: &[DeadLetter]) -> Vec<String> {
    let Selection::Ids(ids) = selection else { return Vec::new() };
    ids.iter().filter(|id| letters.iter().all(|letter| letter.id != **id)).cloned().collect()
}

async fn send(reach: &ReachArgs, kind: Kind, selection: Selection) -> anyhow::Result<Handled> {
    let place = reach.whereabouts()?;
    // Dead letters have no business with retry queues.
    let reach = Reach::find(&place, RetryDelays(Vec::new())).await?;
    let handled = reach.ask(DEAD_LETTERS, &Errand { kind, selection }, LIMIT).await;
    reach.leave().await;
    handled
}
