use clap::Command;

/// Every variable that a process of this project reads, in alphabetical order. What isn't here is not configuration:
/// each process holds its arguments against this list, and so does the test of docker-compose.yml.
pub const VARIABLES: &[&str] = &[
    "ADMIN_PORT",
    "AUTH_MODE",
    "BUS_NAMESPACE",
    "CREATE_ORDER_WAIT",
    "CURRENCY",
    "DATABASE_URL",
    "DATA_DIR",
    "DRAIN_DELAY",
    "HOST",
    "JWKS_FILE",
    "JWKS_URL",
    "JWT_AUDIENCE",
    "JWT_ISSUER",
    "JWT_SECRET",
    "LOG_FORMAT",
    "MAX_BODY_BYTES",
    "PENDING_MAX_AGE",
    "PORT",
    "PREFETCH",
    "RABBITMQ_URL",
    "REQUEST_TIMEOUT",
    "RESERVATION_HOLD",
    "RETRY_DELAYS",
    "RUST_LOG",
    "SEED",
];

/// The variables that `command` and its subcommands read, sorted, each once.
pub fn variables_of(command: &Command) -> Vec<String> {
    let own = command
        .get_arguments()
        .filter_map(|arg| arg.get_env())
        .map(|name| name.to_string_lossy().into_owned());
    let mut names: Vec<String> = own.chain(command.get_subcommands().flat_map(variables_of)).collect();
    names.sort();
    names.dedup();
    names
}
