//! The process that runs graphql-js: a line in, a line out.

use std::path::Path;
use std::process::Stdio;

use serde::Deserialize;
use tempfile::TempDir;
use testkit::install_locked;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

pub(super) struct Judge {
    pub(super) requests: ChildStdin,
    pub(super) judgements: Judgements,
}

pub(super) struct Judgements {
    lines: Lines<BufReader<ChildStdout>>,
    _process: Child,
    _folder: TempDir,
}

/// What graphql-js says of an answer.
#[derive(Debug, Deserialize)]
pub(super) struct Judgement {
    /// The stage that refused the request, or the operation's type.
    pub(super) kind: String,
    /// Whether the data were compared, or there are none.
    pub(super) modelled: bool,
    /// The name of a difference that is right.
    pub(super) allowed: Option<String>,
    pub(super) difference: Option<String>,
}

impl Judge {
    /// Starts the process, with the schema and its data.
    pub(super) async fn start(schema: &str) -> Self {
        let folder =
            install_locked(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle")).await.unwrap();
        let mut process = Command::new("node")
            .arg("oracle.mjs")
            .current_dir(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("node must be installed");
        let mut requests = process.stdin.take().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        send(&mut requests, schema).await;
        Self { requests, judgements: Judgements { lines, _process: process, _folder: folder } }
    }
}

/// Sends a line of JSON.
pub(super) async fn send(requests: &mut ChildStdin, line: &str) {
    assert!(!line.contains('\n'));
    requests.write_all(format!("{line}\n").as_bytes()).await.unwrap();
}

impl Judgements {
    pub(super) async fn next(&mut self) -> Judgement {
        let line = self.lines.next_line().await.unwrap().expect("the oracle goes on");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }
}
