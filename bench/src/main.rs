//! Measures Waybill beside its floors: the same work without it, on the same machine, in turn.
//!
//! `make bench` builds the programs and runs this.

mod bench;
mod changes;
mod documents;
mod events;
mod figures;
mod floors;
mod options;
mod placement;
mod report;
mod scenarios;
mod subscribers;
mod system;
mod usage;
mod wrk;

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Parser, Subcommand, ValueEnum};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::bench::{Bench, Servers};
use crate::options::Options;
use crate::scenarios::{SCENARIOS, Scenario};

/// Measure Waybill beside its floors
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure, and print one table
    Run {
        /// Scenarios by name [default: all]
        scenarios: Vec<String>,
        #[command(flatten)]
        options: Options,
        /// How to print the result
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// List the scenarios
    List,
    /// Answer GraphQL documents without a backend
    #[command(hide = true)]
    ServeGraphql {
        #[arg(long)]
        port: u16,
        #[arg(long)]
        answer: PathBuf,
    },
    /// Reply to requests over RabbitMQ
    #[command(hide = true)]
    ServeRequests {
        #[arg(long)]
        url: String,
        #[arg(long)]
        queue: String,
        #[arg(long)]
        reply_bytes: usize,
    },
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Output {
    #[default]
    Table,
    Json,
}

#[tokio::main]
async fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Run { scenarios, options, output } => run(&scenarios, options, output).await,
        Command::List => {
            let list = SCENARIOS.iter().map(|Scenario { name, about, .. }| format!("{name:<26}{about}\n"));
            print(&list.collect::<String>())
        }
        Command::ServeGraphql { port, answer } => floors::serve_graphql(port, &answer).await,
        Command::ServeRequests { url, queue, reply_bytes } => {
            floors::serve_requests(&url, &queue, reply_bytes).await
        }
    }
}

async fn run(scenarios: &[String], options: Options, output: Output) -> Result<()> {
    let scenarios = Scenario::named(scenarios)?;
    allow_many_sockets()?;
    let servers = Servers::default();
    let bench = Bench::new(options, &servers);
    let (mut rows, mut failed) = (Vec::new(), Vec::new());
    for scenario in scenarios {
        tell(&format!("{}: {}\n", scenario.name, scenario.about));
        match scenario.run(&bench).await {
            Ok(measured) => rows.extend(measured),
            // The others are measured all the same: a run takes long.
            Err(error) => {
                tell(&format!("{error:?}\n"));
                failed.push(scenario.name);
            }
        }
    }
    match output {
        Output::Table => print(&report::table(&rows))?,
        Output::Json => print(&format!("{}\n", serde_json::to_string_pretty(&rows)?))?,
    }
    if !failed.is_empty() {
        bail!("these could not be measured: {}", failed.join(", "));
    }
    Ok(())
}

/// Raises the limit of open files as far as it goes, for this process and those that it starts: ten thousand sockets are
/// more than most systems allow at first.
fn allow_many_sockets() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?)
}

fn print(text: &str) -> Result<()> {
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

/// Tells on standard error how far the run is.
fn tell(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}
