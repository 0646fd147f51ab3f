//! A journal that can't be written for a while: what is refused was certainly not published.

use std::time::Duration;

use bus::transport::{LinkState, PublishError, SharedTransport, Target};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use crate::kit::{WAIT_LIMIT, file, message, name, next, open, ready_in, send, work};

/// Marks the directory in which the test below may run.
const MARK: &str = "limited";
/// SIGXFSZ, which would end the process.
const FILE_SIZE_EXCEEDED: i32 = 25;

#[tokio::test]
async fn publishing_is_refused_for_certain_until_the_journal_takes_writes_again() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join(MARK), "").unwrap();
    // The limit on file sizes is the whole process's.
    let limited = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "full_disk::limited", "--ignored", "--nocapture", "--test-threads=1"])
        .current_dir(directory.path())
        .output()
        .await
        .unwrap();
    assert!(limited.status.success(), "{}", String::from_utf8_lossy(&limited.stderr));
    assert!(directory.path().join("ended").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by the test above, in a process of its own"]
async fn limited() {
    let here = std::env::current_dir().unwrap();
    if !here.join(MARK).exists() {
        return;
    }
    let _instead_of_ending = signal(SignalKind::from_raw(FILE_SIZE_EXCEEDED)).unwrap();
    let unlimited = getrlimit(Resource::Fsize);
    let broker = open(file(&here)).await;
    let transport = broker.transport("gateway.1");
    let mut deliveries = transport.consume(&work(), 1).await.unwrap();
    send(&transport, &work(), &["before"]).await;
    let before = next(&mut deliveries).await;

    setrlimit(Resource::Fsize, Rlimit { current: Some(4_096), ..unlimited }).unwrap();
    let first = publish(&transport, "tried").await.unwrap_err();
    let mut link = transport.link_state();
    let blocked = link.wait_for(|link| matches!(link, LinkState::Blocked { .. }));
    timeout(WAIT_LIMIT, blocked).await.unwrap().unwrap();
    // An acknowledgement is tried in vain; the message is delivered again.
    before.ack().await;
    let again = next(&mut deliveries).await;
    assert_eq!(name(&again.message), "before");
    // Those that come before the first probe wait for it.
    let ended = tokio::time::Instant::now() + Duration::from_secs(3);
    let mut refused = 0;
    while tokio::time::Instant::now() < ended {
        let error = publish(&transport, "refused").await.unwrap_err();
        assert!(
            matches!(&error, PublishError::Blocked(reason) if reason.contains("broker.sqlite")),
            "{error}"
        );
        refused += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(refused > 10, "{refused}");

    setrlimit(Resource::Fsize, unlimited).unwrap();
    let up = link.wait_for(|link| matches!(link, LinkState::Up { .. }));
    timeout(WAIT_LIMIT, up).await.unwrap().unwrap();
    send(&transport, &work(), &["after"]).await;
    again.ack().await;
    drop(deliveries);
    broker.close().await;

    let broker = open(file(&here)).await;
    let found = ready_in(&broker.transport("checker.1"), &work()).await;
    let expected = if first.is_certain() { &["after"][..] } else { &["tried", "after"] };
    assert!(found == *expected || found == ["after"], "{first}: {found:?}");
    std::fs::write(here.join("ended"), "").unwrap();
}

async fn publish(transport: &SharedTransport, name: &str) -> Result<(), PublishError> {
    transport.publish_one(Target::Queue(work()), message(name), WAIT_LIMIT).await
}
