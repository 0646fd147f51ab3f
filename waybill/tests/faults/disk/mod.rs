//! The disk of the embedded system is full for a while, or fails single writes.

mod faulty_disk;

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use serde_json::json;
use testkit::{eventually, workspace_program};
use tokio::time::sleep;

use crate::checker::assert_promises_kept;
use crate::cluster::{Cluster, ENDLESS, Shape, open};
use crate::embedded::assert_files_are_whole;
use crate::load::{Basket, Load, WorkloadConfig};
use crate::scale::scaled;
use faulty_disk::{DiskFault, FaultyDisk};

const LIVENESS: Duration = Duration::from_secs(30);
/// The longest file under the limit on file sizes: shorter than each of the system's.
const FILE_SIZE_MAX: u64 = 16 << 10;

#[tokio::test(flavor = "multi_thread")]
async fn the_disk_is_full_for_a_while_under_load() {
    let disk = FaultyDisk::new().unwrap();
    let fill = async |_: &Cluster| disk.fail(DiskFault::Growth, "", 0).map(drop);
    let free = async |_: &Cluster| disk.repair();
    takes_no_writes_for_a_while("disk-full", &disk, "disk is full", fill, free).await;
    assert!(disk.failures().unwrap() > 0);
}

/// The kernel's own refusal, by another error (EFBIG) and also of bytes that are there already.
#[tokio::test(flavor = "multi_thread")]
async fn files_may_not_be_written_beyond_a_size_for_a_while_under_load() {
    let disk = FaultyDisk::new().unwrap();
    let unlimited = getrlimit(Resource::Fsize);
    let limit = async |cluster: &Cluster, limit: Rlimit| -> Result<()> {
        let id = Pid::from_raw(i32::try_from(cluster.programs[0].id().await?)?);
        prlimit(id, Resource::Fsize, limit)?;
        Ok(())
    };
    let soft = Rlimit { current: Some(FILE_SIZE_MAX), maximum: unlimited.maximum };
    let fill = async |cluster: &Cluster| limit(cluster, soft).await;
    let free = async |cluster: &Cluster| limit(cluster, unlimited).await;
    takes_no_writes_for_a_while("file-size", &disk, "disk I/O error", fill, free).await;
}

/// Orders are placed before, meanwhile and afterwards. Whatever was answered as accepted is stored in the end, and placing
/// goes on by itself.
#[expect(clippy::print_stdout, reason = "what the runs measured")]
async fn takes_no_writes_for_a_while(
    name: &str,
    disk: &FaultyDisk,
    told: &str,
    fill: impl AsyncFn(&Cluster) -> Result<()>,
    free: impl AsyncFn(&Cluster) -> Result<()>,
) {
    let cluster =
        Cluster::embedded(name, Shape { variables: disk.variables(), ..Shape::default() }).await.unwrap();
    let load = Load::start(&cluster, scaled(6, 16), WorkloadConfig::default()).await.unwrap();
    let (progress, api) = (load.progress(), cluster.api("CUST01").unwrap());
    let (waybill, rounds) = (&cluster.programs[0], scaled(2, 10));
    let mut slowest = Duration::ZERO;
    for _ in 0..rounds {
        progress.reaches(progress.placed() + 40, LIVENESS).await.unwrap();
        fill(&cluster).await.unwrap();
        eventually("readiness names what takes no writes", async || {
            let missing = waybill.missing().await?;
            ensure!(missing.iter().any(|part| part == "broker" || part.ends_with("database")), "{missing:?}");
            anyhow::Ok(())
        })
        .await;
        eventually("doctor names the file", async || {
            let found = doctor(&cluster).await?;
            ensure!(found.contains(told) && found.contains(".sqlite"), "{found}");
            anyhow::Ok(())
        })
        .await;
        eventually("an order is refused while the broker can't be written", async || {
            let is_written = !waybill.missing().await?.iter().any(|part| part == "broker");
            let refused = load.refusal(&api, Basket::single(ENDLESS[0])).await.is_some();
            ensure!(is_written || refused, "nothing was refused");
            anyhow::Ok(())
        })
        .await;
        sleep(Duration::from_millis(scaled(500, 5_000) as u64)).await;
        free(&cluster).await.unwrap();
        slowest = slowest.max(load.decided(&api).await);
        cluster.ready().await.unwrap();
    }
    progress.reaches(progress.placed() + 40, LIVENESS).await.unwrap();
    println!(
        "{rounds} times without space, first decision {slowest:?} after it at the most; {}",
        load.log().summary()
    );
    restart(&cluster).await;
    assert_promises_kept(&cluster, load).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_write_fails_in_turn_under_load() {
    let disk = FaultyDisk::new().unwrap();
    let shape = Shape { variables: disk.variables(), ..Shape::default() };
    let cluster = Cluster::embedded("disk-writes", shape).await.unwrap();
    let load = Load::start(&cluster, scaled(6, 16), WorkloadConfig::default()).await.unwrap();
    let api = cluster.api("CUST01").unwrap();
    let mut customers = BTreeSet::new();
    let mut faults = 0;
    for file in ["broker", "orders", "inventory", "customers"] {
        for fault in [DiskFault::Write, DiskFault::TornWrite, DiskFault::Sync] {
            for turn in 1..=scaled(4, 40) {
                let before = disk.fail(fault, file, i32::try_from(turn).unwrap()).unwrap();
                eventually("a write has failed", async || {
                    // Only an import writes customers.
                    if file == "customers" {
                        let id = format!("{fault:?}-{turn}-{}", customers.len());
                        if put_customer(&cluster, &id).await? {
                            customers.insert(id);
                        }
                    }
                    let failures = disk.failures()?;
                    ensure!(failures > before, "{fault:?} {turn} of {file}: {failures} failures");
                    anyhow::Ok(())
                })
                .await;
                faults += 1;
            }
            load.decided(&api).await;
        }
    }
    disk.repair().unwrap();
    cluster.ready().await.unwrap();
    println!("{faults} writes failed; {}", load.log().summary());
    restart(&cluster).await;
    let mut stored = open(&cluster.folder().join("customers.sqlite")).await.unwrap();
    let stored: BTreeSet<String> = sqlx::query_scalar("SELECT id FROM customers")
        .fetch_all(&mut stored)
        .await
        .unwrap()
        .into_iter()
        .collect();
    assert!(customers.is_subset(&stored), "stored: {:?}", customers.difference(&stored));
    assert_promises_kept(&cluster, load).await;
}

/// Kills the system and starts it again, so that only what is in its files counts.
async fn restart(cluster: &Cluster) {
    cluster.programs[0].kill().await.unwrap();
    assert_files_are_whole(cluster).await;
    cluster.programs[0].start().await.unwrap();
    cluster.ready().await.unwrap();
}

async fn doctor(cluster: &Cluster) -> Result<String> {
    let program = testkit::Program::new(workspace_program("waybill")?, &["doctor", "--output", "json"]);
    let ran = program.with("DATA_DIR", cluster.folder().display().to_string()).run().await;
    Ok(ran.json()["findings"].to_string())
}

/// Imports a customer; returns whether that was answered as done.
async fn put_customer(cluster: &Cluster, id: &str) -> Result<bool> {
    let at: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(cluster.folder().join("admin.json"))?)?;
    let text = |field: &str| at[field].as_str().unwrap_or_default().to_owned();
    let customer =
        json!({ "id": id, "name": "Ada", "email": "ada@example.com", "shippingAddress": "1 Harbour Street" });
    let call = json!({ "limitMs": 5_000, "request": { "putCustomers": [customer] } });
    let url = format!("http://{}/admin", text("address"));
    let response = crate::load::http().post(url).bearer_auth(text("secret")).json(&call).send().await?;
    Ok(response.status().is_success())
}
