//! Kill -9 at any moment: confirmed messages exist once, acknowledged ones do not.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use embedded_broker::integrity_check;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::kit::{WAIT_LIMIT, file, name, next, open, send, work};

/// Marks the directory in which the victim may run.
const MARK: &str = "victim";
const ROUNDS: usize = 20;
const PUBLISHERS: usize = 8;

/// The lines that the victim printed before it was killed.
#[derive(Default)]
struct Printed {
    published: BTreeSet<String>,
    acking: BTreeSet<String>,
    acked: BTreeSet<String>,
}

impl Printed {
    fn record(&mut self, line: &str) {
        // The first line begins with the output of the test harness.
        let mut words = line.rsplitn(3, ' ');
        let (Some(id), Some(what)) = (words.next(), words.next()) else { return };
        match what {
            "published" => self.published.insert(id.to_owned()),
            "acking" => self.acking.insert(id.to_owned()),
            "acked" => self.acked.insert(id.to_owned()),
            _ => false,
        };
    }
}

#[tokio::test]
async fn what_was_confirmed_survives_kill_9_exactly_once_unless_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join(MARK), "").unwrap();
    let mut printed = Printed::default();
    for round in 0..ROUNDS {
        // A few hundred lines, another number each time, put the kill at another point of the work.
        let lines = 50 + round * 67 % 400;
        kill_after(lines, directory.path(), &mut printed).await;

        let findings = integrity_check(&directory.path().join("broker.sqlite")).await.unwrap();
        assert_eq!(findings, Vec::<String>::new(), "round {round}");
        let broker = open(file(directory.path())).await;
        let found = broker.transport("checker.1").peek(&work(), 100_000).await.unwrap();
        assert!(found[0].delivery_count > 0, "round {round}: unacknowledged messages count as delivered");
        let found: Vec<String> = found.iter().map(|delivery| name(&delivery.message)).collect();
        broker.close().await;
        let found_once: BTreeSet<String> = found.iter().cloned().collect();
        assert_eq!(found.len(), found_once.len(), "round {round}: a message is there twice");
        let lost: Vec<_> = printed
            .published
            .iter()
            .filter(|id| !printed.acking.contains(*id) && !found_once.contains(*id))
            .collect();
        assert!(lost.is_empty(), "round {round}: confirmed and lost: {lost:?}");
        let risen: Vec<_> = printed.acked.intersection(&found_once).collect();
        assert!(risen.is_empty(), "round {round}: acknowledged and back: {risen:?}");
    }
    assert!(
        printed.published.len() > ROUNDS && printed.acked.len() > ROUNDS,
        "the victims worked before they died"
    );
}

/// Runs the victim in a process of its own and kills it after so many lines.
async fn kill_after(lines: usize, directory: &Path, printed: &mut Printed) {
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::victim", "--ignored", "--nocapture", "--test-threads=1"])
        .current_dir(directory)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut output = BufReader::new(victim.stdout.take().unwrap()).lines();
    for _ in 0..lines {
        let line = tokio::time::timeout(WAIT_LIMIT, output.next_line()).await.unwrap().unwrap();
        printed.record(&line.expect("the victim works until it is killed"));
    }
    victim.kill().await.unwrap();
    while let Some(line) = output.next_line().await.unwrap() {
        printed.record(&line);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "killed by the test above, in a process of its own"]
async fn victim() {
    let here = std::env::current_dir().unwrap();
    if !here.join(MARK).exists() {
        return;
    }
    let broker = Arc::new(open(file(&here)).await);
    let run = std::process::id();
    for publisher in 0..PUBLISHERS {
        let transport = broker.transport(&format!("gateway.{publisher}"));
        tokio::spawn(async move {
            for n in 0.. {
                let id = format!("{run}/{publisher}/{n}");
                send(&transport, &work(), &[&id]).await;
                println!("published {id}");
            }
        });
    }
    let transport = broker.transport("order-service.1");
    let mut deliveries = transport.consume(&work(), 16).await.unwrap();
    let mut kept = Vec::new();
    loop {
        let delivery = next(&mut deliveries).await;
        // Some are never acknowledged, so that the process is killed with unacknowledged deliveries.
        if kept.len() < 8 {
            kept.push(delivery);
            continue;
        }
        let id = name(&delivery.message);
        tokio::spawn(async move {
            println!("acking {id}");
            delivery.ack().await;
            println!("acked {id}");
        });
    }
}
