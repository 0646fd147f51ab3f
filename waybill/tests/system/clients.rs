//! What applications use, against the four processes: clients, each in the scenario that it is made for, and a router of
//! Apollo Federation. The scenarios are tests of Node's runner, in `tests/clients` and `tests/federation`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;
use testkit::{Process, install_locked};

use crate::kit::{FourProcesses, Token};

/// Each client queries, orders, follows the order, and resumes where it was after its connection was lost.
#[tokio::test(flavor = "multi_thread")]
async fn clients_query_order_follow_and_resume() {
    let mut processes = FourProcesses::new().await;
    let (gateway, clients) = tokio::join!(processes.start(), installed("clients"));
    run_scenarios(&clients, gateway.address(), None).await;
    processes.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_resolves_entities_of_the_gateway_and_serves_every_client_as_the_gateway_does() {
    let mut processes = FourProcesses::new().await;
    processes.gateway_variables.push(("FEDERATION", "on"));
    let (gateway, federation) = tokio::join!(processes.start(), installed("federation"));
    run_scenarios(&federation, gateway.address(), None).await;

    let mut command = Command::new("node");
    command.arg("router.mjs").env("GATEWAY", gateway.address()).current_dir(&federation);
    let router = Process::spawn(&mut command).unwrap();
    let line = router.line("routing at ").await.unwrap();
    let (_, address) = line.split_once("routing at ").unwrap();
    run_scenarios(&installed("clients").await, address.trim(), Some(("ROUTED", "1"))).await;
    drop(router);
    processes.stop().await;
}

async fn installed(name: &str) -> TempDir {
    install_locked(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)).await.unwrap()
}

/// Runs all `*.test.mjs` of a folder. With `ROUTED` those of transports that a router has no part in are left out.
async fn run_scenarios(folder: &TempDir, gateway: &str, routed: Option<(&str, &str)>) {
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let mut scenarios: Vec<PathBuf> =
        files.filter(|path| path.to_string_lossy().ends_with(".test.mjs")).collect();
    scenarios.sort();
    assert!(!scenarios.is_empty());
    let ran = tokio::process::Command::new("node")
        .args(["--test", "--test-concurrency=2", "--test-reporter=spec"])
        .args(scenarios)
        .env("GATEWAY", gateway)
        .envs(routed)
        .env("TOKEN", Token::of("CUST01").sign())
        .env("OTHER_TOKEN", Token::of("CUST02").sign())
        .env("SCHEMA", Path::new(env!("CARGO_MANIFEST_DIR")).join("../schema/schema.graphql"))
        .current_dir(folder)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let report = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{report}{}", String::from_utf8_lossy(&ran.stderr));
}
