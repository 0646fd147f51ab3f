use clap::{CommandFactory, Parser};
use customer_service::config::{Arguments, DEFAULTS};
use service_kit::config::{VARIABLES, variables_of, with_defaults};

#[test]
fn every_variable_is_in_the_table_that_all_processes_share() {
    for variable in variables_of(&with_defaults(Arguments::command(), DEFAULTS)) {
        assert!(VARIABLES.contains(&variable.as_str()), "{variable}");
    }
}

#[test]
fn errors_are_reported_all_at_once() {
    let arguments = ["customer-service", "--admin-port=port", "--prefetch=0", "--seed=some"];
    let errors = Arguments::parse_from(arguments).check().unwrap_err().errors;
    let mut variables: Vec<&str> = errors.iter().map(|error| error.variable).collect();
    variables.sort_unstable();
    assert_eq!(variables, ["ADMIN_PORT", "DATABASE_URL", "PREFETCH", "RABBITMQ_URL", "SEED"]);
}
