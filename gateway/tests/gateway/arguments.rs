//! The gateway's arguments, and the errors of invalid ones.

use clap::{CommandFactory, FromArgMatches};
use gateway::Config;
use gateway::auth::{AuthConfig, KeySource};
use gateway::config::{Arguments, DEFAULTS};
use service_kit::config::{ConfigErrors, ProcessConfig, VARIABLES, variables_of, with_defaults};

const BROKER: &str = "--rabbitmq-url=amqp://localhost";

fn check(arguments: &[&str]) -> Result<(ProcessConfig, Config), ConfigErrors> {
    // The tests must not read the environment that they run in.
    let command =
        with_defaults(Arguments::command(), DEFAULTS).mut_args(|argument| argument.env(None::<&str>));
    let matches = command.try_get_matches_from([&["gateway"], arguments].concat()).unwrap();
    Arguments::from_arg_matches(&matches).unwrap().check()
}

fn errors(arguments: &[&str]) -> Vec<&'static str> {
    check(arguments).unwrap_err().errors.into_iter().map(|error| error.variable).collect()
}

#[test]
fn it_reads_only_variables_that_the_project_knows() {
    let command = with_defaults(Arguments::command(), DEFAULTS);
    for variable in variables_of(&command) {
        assert!(VARIABLES.contains(&variable.as_str()), "{variable}");
    }
}

#[test]
fn without_a_mode_it_does_not_start() {
    assert_eq!(errors(&[BROKER]), ["AUTH_MODE"]);
    assert_eq!(errors(&[BROKER, "--auth-mode="]), ["AUTH_MODE"]);
    assert_eq!(errors(&[BROKER, "--auth-mode=none"]), ["AUTH_MODE"]);
    assert_eq!(errors(&[BROKER, "--jwt-secret=s"]), ["AUTH_MODE"]);
}

#[test]
fn everything_that_is_wrong_is_said_at_once_and_no_secret_with_it() {
    let wrong = [
        "--port=70000",
        "--admin-port=x",
        "--auth-mode=jwks",
        "--jwks-url=ftp://user:hunter2@keys",
        "--create-order-wait=2",
        "--max-body-bytes=1",
        "--keep-alive-timeout=0s",
        "--max-sockets=0",
        "--max-sockets-per-customer=many",
        "--max-socket-operations=-1",
        "--max-subscriptions-per-customer=",
        "--console=yes",
        "--cors-origins=shop.example",
        "--federation=maybe",
        "--request-timeout=0s",
        "--drain-delay=soon",
    ];
    let error = check(&wrong).unwrap_err();
    let mut variables: Vec<&str> = error.errors.iter().map(|error| error.variable).collect();
    variables.sort_unstable();
    variables.dedup();
    let expected = [
        "ADMIN_PORT",
        "CONSOLE",
        "CORS_ORIGINS",
        "CREATE_ORDER_WAIT",
        "DRAIN_DELAY",
        "FEDERATION",
        "JWKS_URL",
        "JWT_AUDIENCE",
        "JWT_ISSUER",
        "KEEP_ALIVE_TIMEOUT",
        "MAX_BODY_BYTES",
        "MAX_SOCKETS",
        "MAX_SOCKETS_PER_CUSTOMER",
        "MAX_SOCKET_OPERATIONS",
        "MAX_SUBSCRIPTIONS_PER_CUSTOMER",
        "PORT",
        "RABBITMQ_URL",
        "REQUEST_TIMEOUT",
    ];
    assert_eq!(variables, expected);
    assert!(!error.to_string().contains("hunter2"));
}

#[test]
fn mock_mode_needs_a_secret() {
    assert_eq!(errors(&[BROKER, "--auth-mode=mock"]), ["JWT_SECRET"]);
    assert_eq!(errors(&[BROKER, "--auth-mode=mock", "--jwt-secret="]), ["JWT_SECRET"]);
    // A secret from a file ends with a line break.
    let (process, config) = check(&[BROKER, "--auth-mode=mock", "--jwt-secret= hunter2\n"]).unwrap();
    assert!(matches!(&config.auth, AuthConfig::Mock { secret } if secret.expose() == "hunter2"));
    assert!(!format!("{process:?} {config:?}").contains("hunter2"));
    assert_eq!((config.port, process.admin.port), (4000, 9400));
}

#[test]
fn jwks_mode_needs_one_source_an_issuer_and_an_audience() {
    let jwks = [BROKER, "--auth-mode=jwks", "--jwt-issuer=https://id", "--jwt-audience=shop"];
    let with = |more: &[&'static str]| [&jwks, more].concat();
    assert_eq!(errors(&jwks), ["JWKS_URL"]);
    assert_eq!(errors(&with(&["--jwks-url=https://id/keys", "--jwks-file=keys.json"])), ["JWKS_FILE"]);
    let (_, config) = check(&with(&["--jwks-file=keys.json"])).unwrap();
    let AuthConfig::Jwks { source: KeySource::File(file), issuer, audience } = config.auth else {
        panic!("{:?}", config.auth);
    };
    assert_eq!(
        (file.to_str(), issuer.as_str(), audience.as_str()),
        (Some("keys.json"), "https://id", "shop")
    );
    let (_, config) = check(&with(&["--jwks-url=https://id/keys"])).unwrap();
    assert!(matches!(config.auth, AuthConfig::Jwks { source: KeySource::Url(_), .. }));
}
