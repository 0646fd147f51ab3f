//! Servers end with the process that owns them, however that process ends.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use testkit::{POSTGRES_VARIABLE, Process, RABBITMQ_VARIABLE, eventually};

use crate::belongings::{Belonging, descendants, names, survivors};

fn with_servers(folder: &tempfile::TempDir, command: &[&str]) -> Process {
    // PostgreSQL runs as another user when the tests run as root.
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let mut owner = Command::new(env!("CARGO_BIN_EXE_with-servers"));
    Process::spawn(owner.arg("--").args(command).env("TMPDIR", folder.path())).unwrap()
}

async fn nothing_is_left(folder: &tempfile::TempDir, belongings: &[Belonging]) {
    eventually("every process and folder is gone", async || {
        let folders = std::fs::read_dir(folder.path()).unwrap().count();
        match (survivors(belongings).as_slice(), folders) {
            ([], 0) => Ok(()),
            (alive, folders) => Err(format!("{folders} folders, and alive {alive:?}")),
        }
    })
    .await;
}

fn assert_all_run(belongings: &[Belonging]) {
    let names = names(belongings);
    for program in ["beam.smp", "epmd", "postgres", "sh"] {
        assert!(names.contains(&program), "{program} is not among {names:?}");
    }
}

#[tokio::test]
async fn the_command_gets_both_servers_and_its_status_is_handed_on() {
    let folder = tempfile::tempdir().unwrap();
    let script = format!("echo $ {RABBITMQ_VARIABLE} ${POSTGRES_VARIABLE}; exit 7").replace("$ ", "$");

    let owner = with_servers(&folder, &["sh", "-c", &script]);

    let line = owner.line("amqp://").await.unwrap();
    assert!(line.contains(" postgres://postgres@127.0.0.1:"), "{line}");
    assert_eq!(owner.ended().await.unwrap().code(), Some(7));
    nothing_is_left(&folder, &[]).await;
}

#[tokio::test]
async fn an_owner_killed_with_sigkill_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let owner = with_servers(&folder, &["sh", "-c", "echo running; exec sleep 60"]);
    owner.line("running").await.unwrap();
    let (command, belongings): (Vec<_>, Vec<_>) =
        descendants(owner.id()).into_iter().partition(|one| one.name == "sleep");
    assert_all_run(&belongings);

    owner.kill().await.unwrap();

    nothing_is_left(&folder, &belongings).await;
    // The owner, not a guard, would have ended the command.
    command.iter().for_each(Belonging::kill);
}

#[tokio::test]
async fn an_owner_killed_while_its_servers_start_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let owner = with_servers(&folder, &["true"]);
    let belongings = eventually("the node is being started", async || {
        let belongings = descendants(owner.id());
        names(&belongings).contains(&"beam.smp").then_some(belongings)
    })
    .await;

    owner.kill().await.unwrap();

    nothing_is_left(&folder, &belongings).await;
}

#[tokio::test]
async fn a_terminated_owner_ends_its_command_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let owner = with_servers(&folder, &["sh", "-c", "echo running; exec sleep 60"]);
    owner.line("running").await.unwrap();
    let belongings = descendants(owner.id());
    assert_all_run(&belongings);

    let status = owner.terminate().await.unwrap();

    assert_eq!(status.code(), Some(143));
    nothing_is_left(&folder, &belongings).await;
}
