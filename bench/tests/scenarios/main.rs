//! Every scenario runs in its short form, which says nothing about speed.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;

/// How long all scenarios may take on a machine with other work.
const LIMIT: Duration = Duration::from_secs(540);

async fn bench(arguments: &[&str]) -> String {
    let bench = Command::new(env!("CARGO_BIN_EXE_bench")).args(arguments).kill_on_drop(true).output();
    let output = tokio::time::timeout(LIMIT, bench).await.expect("it ends").expect("it can be run");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).expect("it prints text")
}

#[tokio::test]
async fn every_scenario_has_figures() {
    let list = bench(&["list"]).await;
    let listed: BTreeSet<&str> = list.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(listed.contains("order_by_id"), "{list}");

    let printed = bench(&["run", "--short", "--output", "json"]).await;

    let rows: Vec<Value> = serde_json::from_str(&printed).unwrap();
    let measured: BTreeSet<&str> = rows.iter().filter_map(|row| row["scenario"].as_str()).collect();
    assert_eq!(measured, listed);
    for row in &rows {
        let results = row["results"].as_array().unwrap();
        assert!(!results.is_empty() && results.iter().all(|result| result["value"].is_f64()), "{row:#}");
        for figures in row["floors"].as_array().unwrap().iter().map(|floor| &floor["figures"]) {
            assert!(figures["perSecond"].as_f64().is_some_and(|rate| rate > 0.0), "{row:#}");
            assert!(figures["p99Ms"].is_f64(), "{row:#}");
        }
    }
}
