use std::time::Duration;

use clap::{CommandFactory, FromArgMatches, Parser};
use service_kit::config::{
    AdminArgs, BusArgs, ConfigErrors, DatabaseArgs, DrainArgs, LogArgs, SeedArgs, VARIABLES, check_url,
    variables_of, with_defaults,
};

#[derive(Parser, Debug)]
#[command(name = "sample-service")]
struct Sample {
    #[command(flatten)]
    admin: AdminArgs,
    #[command(flatten)]
    bus: BusArgs,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    seed: SeedArgs,
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    drain: DrainArgs,
}

fn command() -> clap::Command {
    with_defaults(Sample::command(), &[("admin_port", "9499")])
}

fn parse(flags: &[&str]) -> Sample {
    let flags = std::iter::once("sample-service").chain(flags.iter().copied());
    Sample::from_arg_matches(&command().try_get_matches_from(flags).unwrap()).unwrap()
}

#[test]
fn defaults_are_the_documented_ones_and_valid() {
    let sample = parse(&["--rabbitmq-url", "amqp://localhost", "--database-url", "sqlite://orders.db"]);
    let mut errors = ConfigErrors::default();
    let (admin, bus) = (sample.admin.check(&mut errors), sample.bus.check(&mut errors));
    sample.bus.broker.required(&mut errors);
    sample.database.required_url(&mut errors, check_url);
    sample.log.check(&mut errors);
    assert_eq!(sample.drain.check(&mut errors), Duration::ZERO);
    assert!(sample.seed.demo(&mut errors));
    errors.finish(()).unwrap();
    assert_eq!((admin.host.as_str(), admin.port), ("127.0.0.1", 9499));
    assert_eq!(
        (bus.namespace.as_str(), bus.request_timeout, bus.prefetch),
        ("waybill", Duration::from_secs(5), 256)
    );
    assert_eq!(bus.retry_delays, [1, 5, 30, 120].map(Duration::from_secs));
}

#[test]
fn the_groups_report_their_errors_together() {
    let flags = [
        "--rabbitmq-url=http://x",
        "--retry-delays=1s,soon",
        "--rust-log=a=b=c",
        "--seed=some",
        "--drain-delay=-1s",
    ];
    let sample = parse(&flags);
    let mut errors = ConfigErrors::default();
    sample.bus.check(&mut errors);
    sample.bus.broker.required(&mut errors);
    sample.database.required_url(&mut errors, check_url);
    sample.log.check(&mut errors);
    sample.seed.demo(&mut errors);
    sample.drain.check(&mut errors);
    let names: Vec<_> =
        errors.finish(()).unwrap_err().errors.into_iter().map(|error| error.variable).collect();
    assert_eq!(names, ["RETRY_DELAYS", "RABBITMQ_URL", "DATABASE_URL", "RUST_LOG", "SEED", "DRAIN_DELAY"]);
}

#[test]
fn help_shows_defaults_and_hides_the_values_of_secrets() {
    let help = command().render_long_help().to_string();
    assert!(help.contains("[default: 9499]"), "{help}");
    assert!(help.contains("[env: ADMIN_PORT"), "{help}");
    for argument in command().get_arguments().filter(|argument| argument.get_id().as_str().ends_with("url")) {
        assert!(argument.is_hide_env_values_set(), "{argument} shows its value");
    }
}

#[test]
fn every_variable_that_the_groups_read_is_in_the_table() {
    assert!(VARIABLES.is_sorted());
    for name in variables_of(&command()) {
        assert!(VARIABLES.contains(&name.as_str()), "{name}");
    }
}

#[test]
fn the_readme_names_every_variable() {
    let readme = include_str!("../../../README.md");
    for variable in VARIABLES {
        assert!(readme.contains(&format!("`{variable}`")), "{variable}");
    }
}
