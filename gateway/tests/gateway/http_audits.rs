//! The `graphql-http` project's audits of the GraphQL-over-HTTP specification, run through Node.

use std::path::Path;

use tokio::process::Command;

use crate::kit::TestGateway;

#[tokio::test]
async fn all_graphql_over_http_audits_pass() {
    let gateway = TestGateway::start().await;
    let folder = tempfile::tempdir().unwrap();
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/audit");
    for file in ["package.json", "package-lock.json", "audit.js"] {
        std::fs::copy(sources.join(file), folder.path().join(file)).unwrap();
    }
    let install = Command::new("npm")
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(&folder)
        .output()
        .await
        .expect("npm must be installed");
    assert!(install.status.success(), "{}", text(&install.stderr));

    let audit = Command::new("node")
        .args(["audit.js", &gateway.url("/graphql")])
        .current_dir(&folder)
        .output()
        .await
        .unwrap();
    assert!(audit.status.success(), "{}{}", text(&audit.stdout), text(&audit.stderr));
}

fn text(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}
