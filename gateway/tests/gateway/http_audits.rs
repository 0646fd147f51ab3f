//! The `graphql-http` project's audits of the GraphQL-over-HTTP specification, run through Node.

use std::path::Path;

use testkit::install_locked;
use tokio::process::Command;

use crate::kit::{TestGateway, token};

#[tokio::test]
async fn all_graphql_over_http_audits_pass() {
    let gateway = TestGateway::start().await;
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/audit");
    let folder = install_locked(&sources).await.unwrap();
    let audit = Command::new("node")
        .args(["audit.js", &gateway.url("/graphql"), &token("CUST01")])
        .current_dir(&folder)
        .output()
        .await
        .unwrap();
    assert!(audit.status.success(), "{}{}", text(&audit.stdout), text(&audit.stderr));
}

fn text(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}
