//! The command line.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use service_kit::config::{with_defaults, without_empty_variables};
use service_kit::runtime::report;

use crate::{audit, dead_letters, doctor, health, import, stock, token, topology, up};

const NAME: &str = "waybill";

/// A GraphQL gateway over message-driven order services
///
/// Customers place orders by GraphQL and watch them live. Each order becomes a durable message before its placing is
/// confirmed; services price it, reserve its stock and publish every change, and no accepted order is ever lost.
///
/// Without a command, `waybill` means `waybill up`: the whole system in this one process, ready to be tried.
#[derive(Parser, Debug)]
#[command(name = NAME, version, subcommand_required = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  waybill                                start, with demo products, customers and orders, in ./.waybill
  waybill token --customer CUST02        a token for another customer
  waybill stock receive PROD01 50        fifty more of a product
  waybill import products catalogue.csv  your own products

`waybill COMMAND --help` describes each.";

#[derive(Subcommand, Debug)]
enum Command {
    Up(Box<up::UpArgs>),
    Token(token::TokenArgs),
    Stock(stock::StockArgs),
    Import(import::ImportArgs),
    DeadLetters(dead_letters::DeadLettersArgs),
    Doctor(doctor::DoctorArgs),
    Audit(audit::AuditArgs),
    Topology(topology::TopologyArgs),
    Health(health::HealthArgs),
}

/// Runs the command that the arguments name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let matches = without_empty_variables(command()).get_matches_from(with_default_command(arguments));
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match cli.command {
        Command::Up(args) => service_kit::run_process(NAME, |shutdown| up::main(*args, shutdown)),
        Command::Token(args) => ended("waybill token", token::run(&args).map(|()| ExitCode::SUCCESS)),
        Command::Stock(args) => brief("waybill stock", stock::run(args)),
        Command::Import(args) => brief("waybill import", import::run(args)),
        Command::DeadLetters(args) => run_command("waybill dead-letters", dead_letters::run(args)),
        Command::Doctor(args) => run_command("waybill doctor", doctor::run(args)),
        Command::Audit(args) => run_command("waybill audit", audit::run(args)),
        Command::Topology(args) => {
            ended("waybill topology", topology::run(&args).map(|()| ExitCode::SUCCESS))
        }
        Command::Health(args) => brief("waybill health", health::run(&args)),
    }
}

/// The whole command line, with the defaults that are this program's own.
pub(crate) fn command() -> clap::Command {
    Cli::command()
        .mut_subcommand("up", |up| {
            with_defaults(up, up::DEFAULTS)
                .mut_arg("rabbitmq_url", |arg| arg.help(BROKER_HELP))
                .mut_arg("database_url", |arg| arg.help(DATABASE_HELP))
                .mut_arg("jwt_secret", |arg| arg.help(SECRET_HELP))
        })
        .mut_subcommand("stock", |stock| {
            let commands = ["receive", "write-off", "withdraw"];
            commands.iter().fold(stock, |stock, command| stock.mut_subcommand(command, with_few_options))
        })
        .mut_subcommand("import", |import| {
            import.mut_subcommand("products", with_few_options).mut_subcommand("customers", with_few_options)
        })
}

const BROKER_HELP: &str = "A RabbitMQ: amqp://user:password@host:5672/vhost, or amqps://; several, separated by commas, are tried in order [default: the embedded broker, in DATA_DIR]";
const DATABASE_HELP: &str = "A database: postgres://user:password@host/database, or sqlite://path; several hosts, separated by commas, are tried in order [default: SQLite files in DATA_DIR]";
const SECRET_HELP: &str = "mock: the secret that tokens are signed with (HS256) [default: a random one, kept in DATA_DIR/jwt-secret]";

/// Hides options of commands that read the same variables as `up`, because they may start services, but seldom need them.
fn with_few_options(command: clap::Command) -> clap::Command {
    let seldom = [
        "bus_namespace",
        "rabbitmq_ca_file",
        "request_timeout",
        "retry_delays",
        "prefetch",
        "seed",
        "reservation_hold",
        "pending_max_age",
    ];
    seldom.iter().fold(command, |command, argument| command.mut_arg(argument, |arg| arg.hide(true)))
}

/// `waybill` and `waybill --port 0` mean `waybill up` and `waybill up --port 0`.
fn with_default_command(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    let own = ["-h", "--help", "-V", "--version"];
    let names_a_command = arguments
        .get(1)
        .and_then(|first| first.to_str())
        .is_some_and(|first| !first.starts_with('-') || own.contains(&first));
    if !names_a_command {
        arguments.insert(1.min(arguments.len()), "up".into());
    }
    arguments
}

/// Runs a command that ends well or not at all.
fn brief(name: &str, command: impl Future<Output = anyhow::Result<()>>) -> ExitCode {
    run_command(name, async { command.await.map(|()| ExitCode::SUCCESS) })
}

/// Runs a command whose exit code says what it found.
fn run_command(name: &str, command: impl Future<Output = anyhow::Result<ExitCode>>) -> ExitCode {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => ended(name, runtime.block_on(command)),
        Err(error) => report(name, &anyhow::Error::new(error).context("cannot start a runtime")),
    }
}

fn ended(name: &str, result: anyhow::Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| report(name, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn without_a_command_it_is_up() {
        for (given, meant) in [
            ("waybill", "waybill up"),
            ("waybill --port 0", "waybill up --port 0"),
            ("waybill --help", "waybill --help"),
            ("waybill -V", "waybill -V"),
            ("waybill token --help", "waybill token --help"),
        ] {
            assert_eq!(with_default_command(words(given)), words(meant));
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }
}
