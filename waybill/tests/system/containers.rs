//! The compose file and the Dockerfile, held against the code: no engine runs where the tests do.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use clap::CommandFactory as _;
use serde_yaml_ng::{Mapping, Value};
use service_kit::config::{VARIABLES, variables_of, with_defaults};

/// Programs of the tests and of the bench.
const NOT_SHIPPED: [&str; 2] = ["bench", "with-servers"];

const PROGRAMS: [&str; 4] = ["gateway", "order-service", "customer-service", "inventory-service"];

fn root(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file)).unwrap()
}

fn compose() -> Value {
    let mut compose: Value = serde_yaml_ng::from_str(&root("docker-compose.yml")).unwrap();
    compose.apply_merge().unwrap();
    compose
}

fn service(name: &str) -> Value {
    compose()["services"][name].clone()
}

fn texts(value: &Value) -> Vec<String> {
    let sequence = value.as_sequence().unwrap_or_else(|| panic!("no list: {value:?}"));
    sequence.iter().map(|item| item.as_str().unwrap().to_owned()).collect()
}

fn environment(name: &str) -> Mapping {
    service(name)["environment"].as_mapping().unwrap().clone()
}

fn variable(name: &str, variable: &str) -> String {
    environment(name)[variable].as_str().unwrap_or_else(|| panic!("{name} {variable} is no text")).to_owned()
}

/// What each program reads, with its own defaults.
fn command_of(name: &str) -> clap::Command {
    let (command, defaults) = match name {
        "gateway" => (gateway::config::Arguments::command(), gateway::config::DEFAULTS),
        "order-service" => (order_service::config::Arguments::command(), order_service::config::DEFAULTS),
        "customer-service" => {
            (customer_service::config::Arguments::command(), customer_service::config::DEFAULTS)
        }
        "inventory-service" => {
            (inventory_service::config::Arguments::command(), inventory_service::config::DEFAULTS)
        }
        other => panic!("no such program: {other}"),
    };
    with_defaults(command, defaults)
}

fn default_of(command: &clap::Command, variable: &str) -> String {
    let argument =
        command.get_arguments().find(|arg| arg.get_env().is_some_and(|env| env == variable)).unwrap();
    argument.get_default_values()[0].to_str().unwrap().to_owned()
}

fn binaries() -> BTreeSet<String> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let metadata = cargo_metadata::MetadataCommand::new().manifest_path(manifest).no_deps().exec().unwrap();
    let targets = metadata.packages.iter().flat_map(|package| &package.targets);
    targets.filter(|target| target.is_bin()).map(|target| target.name.clone()).collect()
}

#[test]
fn the_compose_file_runs_every_process_and_what_they_stand_on() {
    let compose = compose();
    let services: BTreeSet<&str> =
        compose["services"].as_mapping().unwrap().keys().map(|name| name.as_str().unwrap()).collect();
    let expected: BTreeSet<&str> = PROGRAMS.into_iter().chain(["postgres", "rabbitmq"]).collect();
    assert_eq!(services, expected);
    let binaries = binaries();
    for program in PROGRAMS {
        let command = texts(&service(program)["command"]);
        assert_eq!(command, [program]);
        assert!(binaries.contains(program), "{binaries:?}");
        assert_eq!(service(program)["image"], "waybill");
    }
}

#[test]
fn every_variable_is_one_that_its_program_reads() {
    for program in PROGRAMS {
        let known = variables_of(&command_of(program));
        for name in environment(program).keys().map(|name| name.as_str().unwrap()) {
            assert!(known.iter().any(|known| known == name), "{program} doesn't read {name}");
            assert!(VARIABLES.contains(&name), "{name}");
        }
    }
    let dockerfile = root("Dockerfile");
    let set = dockerfile.lines().filter_map(|line| line.trim().trim_start_matches("ENV ").split_once('='));
    let set: Vec<&str> = set
        .map(|(name, _)| name)
        .filter(|name| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
        .collect();
    assert_eq!(set, ["HOST", "DRAIN_DELAY", "DATA_DIR"]);
    assert!(set.iter().all(|name| VARIABLES.contains(name)));
    assert!(dockerfile.contains("HOST=0.0.0.0") && dockerfile.contains("DRAIN_DELAY=5s"));
}

#[test]
fn what_the_programs_demand_is_given_to_them() {
    for program in PROGRAMS {
        let rabbitmq = variable(program, "RABBITMQ_URL");
        assert!(rabbitmq.starts_with("amqp://") && rabbitmq.contains("@rabbitmq:5672/"), "{rabbitmq}");
    }
    for program in &PROGRAMS[1..] {
        let database = variable(program, "DATABASE_URL");
        assert!(database.starts_with("postgres://") && database.contains("@postgres:5432/"), "{database}");
    }
    assert_eq!(variable("gateway", "AUTH_MODE"), "mock");
    assert!(variable("gateway", "JWT_SECRET").starts_with("${JWT_SECRET:-"));
    assert!(!environment("gateway").contains_key("DATABASE_URL"));
    let postgres = environment("postgres");
    assert_eq!(
        (&postgres["POSTGRES_USER"], &postgres["POSTGRES_DB"]),
        (&"waybill".into(), &"waybill".into())
    );
    assert_eq!(environment("rabbitmq")["RABBITMQ_DEFAULT_USER"], "waybill");
}

#[test]
fn health_checks_ask_where_the_programs_answer() {
    for program in PROGRAMS {
        let test = texts(&service(program)["healthcheck"]["test"]);
        let (words, url) = test.split_at(4);
        assert_eq!(words, ["CMD", "waybill", "health", "--url"]);
        let port =
            if program == "gateway" { variable(program, "PORT") } else { variable(program, "ADMIN_PORT") };
        assert_eq!(url, [format!("http://127.0.0.1:{port}/readyz")]);
        let admin_port = variable(program, "ADMIN_PORT");
        assert_eq!(admin_port, default_of(&command_of(program), "ADMIN_PORT"), "{program}");
        let ending = service(program)["stop_grace_period"]
            .as_str()
            .unwrap()
            .trim_end_matches('s')
            .parse::<u64>()
            .unwrap();
        assert!(ending > 5 + service_kit::shutdown::GRACE.as_secs(), "{program} is killed while it drains");
    }
    assert_eq!(variable("gateway", "PORT"), default_of(&command_of("gateway"), "PORT"));
    for backing in ["postgres", "rabbitmq"] {
        assert!(service(backing)["healthcheck"]["test"].is_sequence(), "{backing}");
    }
}

#[test]
fn everything_starts_after_what_it_needs_is_well() {
    let needs = |name: &str| -> BTreeSet<String> {
        let depends = service(name)["depends_on"].as_mapping().unwrap().clone();
        for condition in depends.values() {
            assert_eq!(condition["condition"], "service_healthy");
        }
        depends.keys().map(|name| name.as_str().unwrap().to_owned()).collect()
    };
    for program in &PROGRAMS[1..] {
        assert_eq!(needs(program), BTreeSet::from(["postgres".to_owned(), "rabbitmq".to_owned()]));
    }
    assert_eq!(needs("gateway"), PROGRAMS[1..].iter().map(|name| (*name).to_owned()).collect());
}

#[test]
fn only_the_gateway_and_the_brokers_management_are_published() {
    let compose = compose();
    for (name, service) in compose["services"].as_mapping().unwrap() {
        let published = service.get("ports").map(texts).unwrap_or_default();
        let expected: &[&str] = match name.as_str().unwrap() {
            "gateway" => &["127.0.0.1:4000:4000"],
            "rabbitmq" => &["127.0.0.1:15672:15672"],
            _ => &[],
        };
        assert_eq!(published, expected, "{name:?}");
    }
    let volumes: BTreeSet<&str> =
        compose["volumes"].as_mapping().unwrap().keys().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(volumes, BTreeSet::from(["postgres", "rabbitmq"]));
    for backing in ["postgres", "rabbitmq"] {
        let mounted = texts(&compose["services"][backing]["volumes"]);
        assert!(
            mounted.iter().any(|volume| volume.starts_with(&format!("{backing}:/var/lib/"))),
            "{mounted:?}"
        );
    }
}

#[test]
fn the_image_holds_every_program_and_runs_as_nobody_in_particular() {
    let dockerfile = root("Dockerfile");
    let copied = dockerfile.lines().find_map(|line| line.split_once("for program in ")).unwrap().1;
    let copied: BTreeSet<String> =
        copied.split(';').next().unwrap().split_whitespace().map(str::to_owned).collect();
    let shipped: BTreeSet<String> =
        binaries().into_iter().filter(|name| !NOT_SHIPPED.contains(&name.as_str())).collect();
    assert_eq!(copied, shipped);
    let (_, runtime) = dockerfile.split_once("\nFROM debian:bookworm-slim\n").unwrap();
    assert!(runtime.contains("\nUSER waybill\n") && !runtime.contains("\nFROM "));
    let rust = root("Cargo.toml")
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = ").map(|v| v.trim_matches('"').to_owned()))
        .unwrap();
    assert!(dockerfile.contains(&format!("FROM rust:{rust}-slim-bookworm AS build")), "{rust}");
    let ignored = root(".dockerignore");
    for member in cargo_metadata::MetadataCommand::new().no_deps().exec().unwrap().packages {
        let folder = member.manifest_path.parent().unwrap().file_name().unwrap();
        assert!(
            ignored.lines().any(|line| line == format!("!{folder}")),
            "{folder} is left out of the build"
        );
    }
}
