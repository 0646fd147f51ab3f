//! Starts that can't work: one clear message, the right exit code, no panic, and all mistakes at once.

use std::net::TcpListener;
use std::path::Path;

use service_kit::config::VARIABLES;
use testkit::Program;

use crate::kit::{OneProcess, program, waybill};

struct Failure {
    code: i32,
    message: String,
}

async fn fails(program: Program) -> Failure {
    let output = program.with("RUST_LOG", "error").run().await;
    let (stdout, stderr) = (output.stdout, output.stderr);
    assert_eq!(stdout, "", "nothing is printed to standard output");
    assert!(!stderr.contains("panicked"), "{stderr}");
    Failure { code: output.code, message: stderr }
}

fn up(data_dir: &Path) -> Program {
    let data_dir = data_dir.to_str().unwrap();
    waybill(&["up"]).with("DATA_DIR", data_dir).with("PORT", "0").with("ADMIN_PORT", "0")
}

#[tokio::test]
async fn a_taken_port_is_reported() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for variable in ["PORT", "ADMIN_PORT"] {
        let folder = tempfile::tempdir().unwrap();
        let failure = fails(up(folder.path()).with(variable, &port)).await;
        assert_eq!(failure.code, 1);
        let expected = format!("waybill: cannot listen on 127.0.0.1:{port} ({variable}): ");
        assert!(failure.message.starts_with(&expected), "{}", failure.message);
        assert_eq!(failure.message.lines().count(), 1, "{}", failure.message);
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let below = file.join("data");
    let failure = fails(up(&below)).await;
    assert_eq!(failure.code, 1);
    let expected = format!("waybill: cannot use {} (DATA_DIR): ", below.display());
    assert!(failure.message.starts_with(&expected), "{}", failure.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_in_use_is_reported() {
    let mut process = OneProcess::new();
    process.start().await;
    let failure = fails(up(process.data_dir())).await;
    assert_eq!(failure.code, 1);
    assert!(
        failure.message.contains(&format!("in use by process {}", process.process().id())),
        "{}",
        failure.message
    );
    assert!(failure.message.contains("DATA_DIR"), "{}", failure.message);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_currency_that_is_none_or_not_the_catalogues_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let failure = fails(up(folder.path()).with("CURRENCY", "XYZ")).await;
    assert_eq!(failure.code, 2);
    assert!(failure.message.contains("\"XYZ\" is not a currency of ISO 4217"), "{}", failure.message);

    let mut process = OneProcess::new();
    process.start().await;
    process.stop().await;
    let failure = fails(up(process.data_dir()).with("CURRENCY", "EUR")).await;
    assert_eq!(failure.code, 2);
    let told = "CURRENCY (--currency): EUR is not the currency of the catalogue, whose prices are in USD";
    assert!(failure.message.contains(told), "{}", failure.message);
}

#[tokio::test]
async fn a_file_without_signing_keys_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let (missing, empty) = (folder.path().join("missing.json"), folder.path().join("empty.json"));
    std::fs::write(&empty, r#"{"keys": []}"#).unwrap();
    for (file, reason) in [(missing, "No such file or directory"), (empty, "no usable key")] {
        let program = up(folder.path()).with("AUTH_MODE", "jwks").with("JWKS_FILE", file.to_str().unwrap());
        let failure = fails(program.with("JWT_ISSUER", "https://id").with("JWT_AUDIENCE", "shop")).await;
        assert_eq!(failure.code, 1, "{}", failure.message);
        let expected = format!("waybill: cannot use {} (JWKS_FILE): ", file.display());
        assert!(failure.message.starts_with(&expected), "{}", failure.message);
        assert!(failure.message.contains(reason), "{}", failure.message);
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("orders.sqlite"),
        "this is no database, and long enough to look at".repeat(40),
    )
    .unwrap();
    let failure = fails(up(folder.path())).await;
    assert_eq!(failure.code, 1);
    assert!(failure.message.contains("orders"), "{}", failure.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_or_a_database_that_does_not_answer_is_reported_in_time() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let free = testkit::free_port();
    let (rabbitmq, postgres) = ("RABBITMQ_URL", "DATABASE_URL");
    let cases = [
        (rabbitmq, format!("amqp://guest:hunter2@127.0.0.1:{free}/%2f"), "the broker (RABBITMQ_URL)"),
        (rabbitmq, format!("amqp://guest:hunter2@127.0.0.1:{port}/%2f"), "the broker (RABBITMQ_URL)"),
        (postgres, format!("postgres://me:hunter2@127.0.0.1:{free}/shop"), "the database (DATABASE_URL)"),
        (postgres, format!("postgres://me:hunter2@127.0.0.1:{port}/shop"), "the database (DATABASE_URL)"),
    ];
    let trying = cases.into_iter().map(async |(variable, url, named)| {
        let folder = tempfile::tempdir().unwrap();
        let failure = fails(up(folder.path()).with(variable, url)).await;
        assert_eq!(failure.code, 1, "{}", failure.message);
        assert!(failure.message.contains(&format!("cannot reach {named}: ")), "{}", failure.message);
        assert!(!failure.message.contains("hunter2"), "{}", failure.message);
    });
    futures::future::join_all(trying).await;
}

#[tokio::test]
async fn every_mistake_in_the_configuration_is_reported_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let mistakes = [
        ("PORT", "http"),
        ("ADMIN_PORT", "70000"),
        ("HOST", "0.0.0.0:80"),
        ("RABBITMQ_URL", "http://me:hunter2@broker"),
        ("DATABASE_URL", "mysql://me:hunter2@host/db"),
        ("BUS_NAMESPACE", "a b"),
        ("AUTH_MODE", "open"),
        ("SEED", "lots"),
        ("CURRENCY", "dollars"),
        ("CREATE_ORDER_WAIT", "2"),
        ("REQUEST_TIMEOUT", "never"),
        ("PENDING_MAX_AGE", "-1s"),
        ("RESERVATION_HOLD", "x"),
        ("RETRY_DELAYS", "1s,,2s"),
        ("PREFETCH", "0"),
        ("MAX_BODY_BYTES", "lots"),
        ("DRAIN_DELAY", "1 day and a bit"),
        ("LOG_FORMAT", "xml"),
    ];
    let program = up(&data_dir);
    let failure =
        fails(mistakes.iter().fold(program, |program, (name, value)| program.with(name, *value))).await;
    assert_eq!(failure.code, 2, "{}", failure.message);
    for (name, _) in mistakes {
        assert_eq!(
            failure.message.matches(&format!("\n  {name} (--")).count(),
            1,
            "{name}\n{}",
            failure.message
        );
    }
    assert!(!failure.message.contains("hunter2"), "{}", failure.message);
    assert!(!data_dir.exists(), "nothing is begun");
}

#[tokio::test]
async fn each_program_reports_what_it_lacks() {
    for (name, lacking) in [
        ("gateway", &["RABBITMQ_URL", "AUTH_MODE"][..]),
        ("order-service", &["RABBITMQ_URL", "DATABASE_URL"]),
        ("customer-service", &["RABBITMQ_URL", "DATABASE_URL"]),
        ("inventory-service", &["RABBITMQ_URL", "DATABASE_URL"]),
    ] {
        let failure = fails(program(name).with("PREFETCH", "none")).await;
        assert_eq!(failure.code, 2, "{name} {}", failure.message);
        for variable in lacking.iter().chain(&["PREFETCH"]) {
            assert!(failure.message.contains(&format!("\n  {variable} (--")), "{name} {}", failure.message);
        }
    }
    let secretless = program("gateway").with("RABBITMQ_URL", "amqp://127.0.0.1").with("AUTH_MODE", "mock");
    assert!(fails(secretless).await.message.contains("\n  JWT_SECRET (--"));
    let keyless = program("gateway").with("RABBITMQ_URL", "amqp://127.0.0.1").with("AUTH_MODE", "jwks");
    let message = fails(keyless).await.message;
    for variable in ["JWKS_URL", "JWT_ISSUER", "JWT_AUDIENCE"] {
        assert!(message.contains(variable), "{message}");
    }
}

#[tokio::test]
async fn an_empty_variable_counts_as_not_set() {
    for (name, lacking) in [
        ("inventory-service", &["RABBITMQ_URL", "DATABASE_URL"][..]),
        ("order-service", &["RABBITMQ_URL", "DATABASE_URL"]),
        ("gateway", &["RABBITMQ_URL", "AUTH_MODE"]),
    ] {
        let empty = VARIABLES.iter().fold(program(name), |program, variable| program.with(variable, " "));
        // Not `fails`, which sets a variable.
        let ran = empty.run().await;
        assert_eq!(ran.code, 2, "{name} {ran:?}");
        for variable in lacking {
            assert!(ran.stderr.contains(&format!("\n  {variable} (--")), "{name} {ran:?}");
        }
        assert_eq!(ran.stderr.matches("\n  ").count(), lacking.len(), "{name} {ran:?}");
    }
}

#[tokio::test]
async fn an_unknown_command_is_reported() {
    let output = waybill(&["upp"]).run().await;
    assert_eq!(output.code, 2);
    assert!(output.stderr.contains("'up'"), "{}", output.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_and_sigterm_end_it_in_order_and_it_says_so() {
    for signal in [testkit::Signal::INT, testkit::Signal::TERM] {
        let mut process = OneProcess::new();
        process.start().await;
        process.process().signal(signal).unwrap();
        let status = process.process().ended().await.unwrap();
        assert!(status.success(), "{signal:?} {status}");
        let output = process.process().output();
        assert!(output.iter().any(|line| line.starts_with("Waybill has stopped")), "{output:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_welcome_comes_last_and_in_one_piece_if_both_streams_go_to_one_file() {
    for _ in 0..3 {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("output");
        let mut command = std::process::Command::new("/bin/sh");
        command.args(["-c", r#"exec "$0" up >"$1" 2>&1"#, env!("CARGO_BIN_EXE_waybill")]).arg(&file);
        command.env_clear().env("DATA_DIR", folder.path().join("data"));
        command.envs([("PORT", "0"), ("ADMIN_PORT", "0"), ("LOG_FORMAT", "json")]);
        let process = testkit::Process::spawn(&mut command).unwrap();
        let last_words = "the next start goes on from here.";
        testkit::eventually("the welcome is complete", async || {
            std::fs::read_to_string(&file).is_ok_and(|output| output.contains(last_words))
        })
        .await;
        assert!(process.terminate().await.unwrap().success());

        let output = std::fs::read_to_string(&file).unwrap();
        let (start, rest) = output.split_once("Waybill is up.\n").unwrap();
        let (welcome, end) = rest.split_once(last_words).unwrap();
        assert!(!start.is_empty() && start.lines().all(|line| line.starts_with('{')), "{output}");
        assert!(welcome.lines().all(|line| !line.starts_with('{')), "{output}");
        let after = end.lines().find(|line| !line.is_empty()).unwrap();
        assert!(
            after.contains(r#""signal":"SIGTERM""#),
            "a log line of the start follows the welcome: {output}"
        );
    }
}
