//! Load over HTTP, by `wrk`: a closed loop, in which each connection sends its next request when it has its answer.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde_json::Value;
use tempfile::NamedTempFile;
use tokio::process::Command;

use crate::figures::Figures;
use crate::usage::ended_children_seconds;

const SCRIPT: &str = include_str!("wrk.lua");
/// How much shorter than expected answers may be on average. Errors are much shorter.
const SHORTER: f64 = 0.9;

/// A request to a GraphQL endpoint.
pub(crate) struct GraphQlRequest<'a> {
    pub(crate) token: &'a str,
    pub(crate) query: &'a str,
    pub(crate) variables: Value,
}

impl GraphQlRequest<'_> {
    fn to_http(&self) -> String {
        let body = serde_json::json!({ "query": self.query, "variables": self.variables }).to_string();
        format!(
            "POST /graphql HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
             Accept: application/graphql-response+json\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.token,
            body.len(),
        )
    }
}

/// Requests that `wrk` sends in turn.
pub(crate) struct Requests {
    file: NamedTempFile,
    script: NamedTempFile,
    /// The bytes of an answer's body, as far as they are known.
    answer_bytes: usize,
}

/// The result of a load.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct LoadReport {
    /// Requests that were answered.
    pub(crate) requests: usize,
    microseconds: u64,
    bytes: u64,
    p50: f64,
    p99: f64,
    p999: f64,
    pub(crate) failures: u64,
    /// CPU seconds of `wrk`.
    #[serde(skip)]
    pub(crate) cpu_seconds: f64,
}

impl LoadReport {
    /// This and another load of the same time.
    fn and(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            microseconds: self.microseconds.max(other.microseconds),
            bytes: self.bytes + other.bytes,
            p50: self.p50.max(other.p50),
            p99: self.p99.max(other.p99),
            p999: self.p999.max(other.p999),
            failures: self.failures + other.failures,
            cpu_seconds: self.cpu_seconds + other.cpu_seconds,
        }
    }

    pub(crate) fn figures(&self) -> Figures {
        let milliseconds = |microseconds: f64| Some(microseconds / 1e3);
        let figures = Figures {
            p50_ms: milliseconds(self.p50),
            p99_ms: milliseconds(self.p99),
            p999_ms: milliseconds(self.p999),
            failures: self.failures,
            ..Figures::default()
        };
        figures.with_rate(self.requests, self.microseconds as f64 / 1e6)
    }
}

impl Requests {
    /// `answer_bytes` is the length of the answer that was checked to be right: much shorter ones are errors.
    pub(crate) fn new<'a>(
        requests: impl IntoIterator<Item = GraphQlRequest<'a>>,
        answer_bytes: usize,
    ) -> Result<Self> {
        let mut file = NamedTempFile::new()?;
        let mut bytes = Vec::new();
        for request in requests {
            let request = request.to_http();
            bytes.extend_from_slice(format!("{}\n{request}", request.len()).as_bytes());
        }
        file.write_all(&bytes)?;
        let mut script = NamedTempFile::new()?;
        script.write_all(SCRIPT.as_bytes())?;
        Ok(Self { file, script, answer_bytes })
    }

    /// Sends them for a while over so many connections, which these gateways share. Percentiles of several gateways are
    /// those of the slowest one.
    pub(crate) async fn send(
        &self,
        gateways: &[&str],
        connections: usize,
        time: Duration,
    ) -> Result<LoadReport> {
        let cpu_before = ended_children_seconds()?;
        let each = connections.div_ceil(gateways.len().max(1));
        let reports = gateways.iter().map(|address| self.send_to(address, each, time));
        let reports = futures::future::try_join_all(reports).await?;
        let report = reports.into_iter().reduce(LoadReport::and).context("there is no gateway")?;
        Ok(LoadReport { cpu_seconds: ended_children_seconds()? - cpu_before, ..report })
    }

    /// An answer that takes longer than 30 s has failed.
    async fn send_to(&self, address: &str, connections: usize, time: Duration) -> Result<LoadReport> {
        let output = Command::new("wrk")
            .args(["--threads", "1", "--timeout", "30s"])
            .args(["--connections", &connections.to_string()])
            .args(["--duration", &format!("{}s", time.as_secs().max(1))])
            .arg("--script")
            .arg(self.script.path())
            .arg(format!("http://{address}/graphql"))
            .arg("--")
            .arg(self.file.path())
            .kill_on_drop(true)
            .output()
            .await
            .context("wrk can't be run (Debian: wrk)")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let report = text.lines().find_map(|line| line.strip_prefix("REPORT "));
        let report = report.with_context(|| {
            format!("wrk reported nothing:\n{text}{}", String::from_utf8_lossy(&output.stderr))
        })?;
        let report: LoadReport = serde_json::from_str(report)?;
        ensure!(report.requests > 0, "no request was answered:\n{text}");
        let mean = report.bytes as f64 / report.requests as f64;
        ensure!(
            mean >= self.answer_bytes as f64 * SHORTER,
            "answers have {mean:.0} bytes on average, and the one that was checked {}: {report:?}",
            self.answer_bytes,
        );
        Ok(report)
    }
}
