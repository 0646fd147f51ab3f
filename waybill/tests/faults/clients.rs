//! The subscription clients that applications use, graphql-ws, Apollo Client and urql, while the gateway is restarted and
//! while what it needs is away: none ends, none misses or repeats an update.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde_json::json;
use tempfile::TempDir;
use testkit::{eventually_within, install_locked};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::sleep;

use crate::cluster::{Cluster, ENDLESS, Shape};
use crate::load::{Api, Basket, Outcome};
use crate::scale::scaled;

/// As many through Apollo Client, as many through urql, and as many as both through graphql-ws alone.
const CLIENTS: usize = 10;
const RESTARTS: usize = 5;
/// Clients pause for up to 19 s before a fifth attempt.
const LIVENESS: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn subscription_clients_survive_restarts_and_what_is_away() {
    // Held operations are given up while order-service or the broker is away, so that their sockets close.
    let variables = vec![("REQUEST_TIMEOUT", "1s".to_owned()), ("CREATE_ORDER_WAIT", "1s".to_owned())];
    let shape = Shape { records_events: false, variables, ..Shape::default() };
    let cluster = Cluster::distributed("clients", shape).await.unwrap();
    let away = Duration::from_secs(scaled(5, 20) as u64);
    let mut order = FollowedOrder::place(&cluster).await;
    let mut clients = Clients::start(&cluster, &order.cursor).await.unwrap();
    order.change(&mut clients).await;

    let gateway = cluster.copies_of("gateway").remove(0);
    for _ in 0..RESTARTS {
        gateway.terminate().await.unwrap();
        gateway.start().await.unwrap();
        gateway.ready().await.unwrap();
        order.change(&mut clients).await;
    }

    let order_service = cluster.copies_of("order-service").remove(0);
    order_service.kill().await.unwrap();
    clients.send("resubscribe").await.unwrap();
    sleep(away).await;
    order_service.start().await.unwrap();
    order.change(&mut clients).await;

    cluster.broker().kill().await.unwrap();
    clients.send("resubscribe").await.unwrap();
    sleep(away).await;
    cluster.broker().restart().await.unwrap();
    order.change(&mut clients).await;

    let closes = clients.closes().await.unwrap();
    println!("{} clients, {} updates each, closed {closes:?}", 4 * CLIENTS, order.version - order.first);
    for code in ["1001", "1013"] {
        assert!(closes.contains_key(code), "no socket was closed with {code}: {closes:?}");
    }
}

/// An order that the clients follow, and its version by now.
struct FollowedOrder {
    api: Api,
    id: String,
    cursor: String,
    first: i64,
    version: i64,
}

impl FollowedOrder {
    async fn place(cluster: &Cluster) -> Self {
        let api = cluster.api("CUST01").unwrap();
        let order = eventually_within(LIVENESS, "an order is placed", async || {
            match api.create_order(&Basket::single(ENDLESS[0]), Some("followed"), true).await {
                Outcome::Ok { order, .. } if order.status == "PROCESSING" => Ok(order),
                other => Err(other),
            }
        })
        .await;
        let (id, version) = (order.order_id.to_string(), order.version);
        Self { api, id, cursor: order.cursor, first: version, version }
    }

    /// Changes the order a few times, and waits until each client has received each version once.
    async fn change(&mut self, clients: &mut Clients) {
        for _ in 0..3 {
            let next = self.version + 1;
            eventually_within(LIVENESS, &format!("version {next} is made"), async || {
                let input = json!({ "id": self.id, "shippingAddress": format!("{next} Quay"), "expectedVersion": self.version });
                match self.api.change_order("updateOrder", input).await {
                    Outcome::Ok { order, .. } if order.version == next => Ok(()),
                    // An earlier attempt whose outcome was unknown.
                    Outcome::Refused(code) if code == "VERSION_CONFLICT" => Ok(()),
                    other => Err(other),
                }
            })
            .await;
            self.version = next;
        }
        let expected: Vec<i64> = (self.first + 1..=self.version).collect();
        let complete = eventually_within(LIVENESS, "each client has every update", async || {
            let report = clients.send("report").await?;
            let ended: Vec<_> = report.iter().filter(|client| client.ended.is_some()).collect();
            if !ended.is_empty() {
                return Ok(Err(format!("{} clients have ended: {ended:?}", ended.len())));
            }
            let late = report.iter().filter(|client| client.versions.len() < expected.len()).count();
            ensure!(late == 0, "{late} clients lack updates");
            Ok(Ok(report))
        })
        .await;
        for client in complete.unwrap() {
            assert_eq!(client.versions, expected, "{}", client.kind);
        }
    }
}

/// A client as it reports itself.
#[derive(Debug, Deserialize)]
struct Client {
    kind: String,
    versions: Vec<i64>,
    /// How often its socket was closed, by code.
    closes: BTreeMap<String, usize>,
    /// Why it no longer follows, if it doesn't.
    ended: Option<String>,
}

/// The process of the clients.
struct Clients {
    commands: ChildStdin,
    reports: Lines<BufReader<ChildStdout>>,
    _process: Child,
    _folder: TempDir,
}

impl Clients {
    async fn start(cluster: &Cluster, cursor: &str) -> Result<Self> {
        let folder = install_locked(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")).await?;
        let mut process = Command::new("node")
            .args([
                "clients.mjs",
                cluster.gateway_port(),
                &cluster.token("CUST01")?,
                cursor,
                &CLIENTS.to_string(),
            ])
            .current_dir(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("node must be installed")?;
        let commands = process.stdin.take().context("stdin is piped")?;
        let reports = BufReader::new(process.stdout.take().context("stdout is piped")?).lines();
        Ok(Self { commands, reports, _process: process, _folder: folder })
    }

    async fn send(&mut self, command: &str) -> Result<Vec<Client>> {
        self.commands.write_all(format!("{command}\n").as_bytes()).await?;
        let line = self.reports.next_line().await?.context("the clients' process has ended")?;
        Ok(serde_json::from_str(&line)?)
    }

    async fn closes(&mut self) -> Result<BTreeMap<String, usize>> {
        let mut closes = BTreeMap::new();
        for client in self.send("report").await? {
            for (code, count) in client.closes {
                *closes.entry(code).or_default() += count;
            }
        }
        Ok(closes)
    }
}
