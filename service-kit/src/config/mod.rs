//! The one place that reads the environment.
//!
//! Each process has one clap-derived struct of plain strings (a flag and a variable of the same name each), made of the
//! groups in [`args`](self) and fields of its own. [`ConfigErrors`] turns the strings into typed values and reports
//! everything that is wrong at once; a process whose configuration is invalid exits with code 2 before it binds a port.

mod args;
mod errors;

use std::convert::Infallible;
use std::ffi::OsStr;
use std::fmt;
use std::str::FromStr;

use clap::{Command, Parser};

pub use args::{
    AdminArgs, AdminConfig, BrokerAddress, BrokerArgs, BusArgs, BusConfig, DatabaseArgs, DrainArgs, LogArgs,
    LogConfig, LogFormat, ProcessArgs, ProcessConfig, SeedArgs,
};
pub use errors::{ConfigError, ConfigErrors, check_url};

/// Every variable that a process of this project reads, in alphabetical order. Tests hold each process's arguments and
/// docker-compose.yml against this list.
pub const VARIABLES: &[&str] = &[
    "ADMIN_PORT",
    "AUTH_MODE",
    "AUTOMATIC_PERSISTED_QUERIES",
    "BUS_NAMESPACE",
    "CONSOLE",
    "CORS_ORIGINS",
    "CREATE_ORDER_WAIT",
    "CURRENCY",
    "DATABASE_URL",
    "DATA_DIR",
    "DRAIN_DELAY",
    "FEDERATION",
    "HOST",
    "INTROSPECTION",
    "JWKS_FILE",
    "JWKS_URL",
    "JWT_AUDIENCE",
    "JWT_ISSUER",
    "JWT_SECRET",
    "KEEP_ALIVE_TIMEOUT",
    "LOG_FORMAT",
    "MAX_BATCH_REQUESTS",
    "MAX_BODY_BYTES",
    "MAX_CONCURRENT_REQUESTS",
    "MAX_INTROSPECTION_DEPTH",
    "MAX_QUERY_ALIASES",
    "MAX_QUERY_COMPLEXITY",
    "MAX_QUERY_DEPTH",
    "MAX_QUERY_DIRECTIVES",
    "MAX_QUERY_ROOT_FIELDS",
    "MAX_QUERY_TOKENS",
    "MAX_SOCKETS",
    "MAX_SOCKETS_PER_CUSTOMER",
    "MAX_SOCKET_OPERATIONS",
    "MAX_SUBSCRIPTIONS_PER_CUSTOMER",
    "PENDING_MAX_AGE",
    "PERSISTED_DOCUMENTS",
    "PERSISTED_DOCUMENTS_FILE",
    "PLAYGROUND",
    "PORT",
    "PREFETCH",
    "QUERY_LIMITS",
    "RABBITMQ_CA_FILE",
    "RABBITMQ_MANAGEMENT_URL",
    "RABBITMQ_URL",
    "RATE_LIMIT_PER_ADDRESS",
    "RATE_LIMIT_PER_CUSTOMER",
    "REQUEST_TIMEOUT",
    "RESERVATION_HOLD",
    "RETRY_DELAYS",
    "RUST_LOG",
    "SEED",
    "TRUSTED_PROXIES",
];

/// Parses the command line and the environment, with the defaults that differ between processes
/// (see [`with_defaults`]). Help, the version and unknown flags end the process, as clap does.
pub fn parse<A: Parser>(defaults: &[(&'static str, &'static str)]) -> A {
    let matches = without_empty_variables(with_defaults(A::command(), defaults)).get_matches();
    A::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

/// Gives arguments of a shared group the defaults of this process, by the field's name: `[("admin_port", "9401")]`.
pub fn with_defaults(command: Command, defaults: &[(&'static str, &'static str)]) -> Command {
    defaults.iter().fold(command, |command, (argument, default)| {
        command.mut_arg(argument, |arg| arg.default_value(*default).required(false))
    })
}

/// Makes an empty variable count as one that is not set, as in `CURRENCY=` or an expanded `${CURRENCY:-}`.
#[expect(clippy::disallowed_methods, reason = "this module reads the environment")]
pub fn without_empty_variables(command: Command) -> Command {
    let is_empty =
        |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.to_string_lossy().trim().is_empty());
    command
        .mut_args(|arg| if arg.get_env().is_some_and(is_empty) { arg.env(None::<&str>) } else { arg })
        .mut_subcommands(without_empty_variables)
}

/// A variable that is no configuration and not among [`VARIABLES`].
#[cfg(feature = "fault-injection")]
#[expect(clippy::disallowed_methods, reason = "this module reads the environment")]
pub(crate) fn unlisted_variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

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

/// A value that must not reach a log: a key, or a URL that may hold a password. Neither `Debug` nor an error prints it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself, for the one call that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(..)")
    }
}

/// For clap, which parses argument fields from strings: without the white space around it, such as a file's last line break.
impl FromStr for Secret {
    type Err = Infallible;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        Ok(Self::new(value.trim()))
    }
}
