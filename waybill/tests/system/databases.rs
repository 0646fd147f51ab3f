//! Starts on databases that can't be used, and the end of one that waits for its database.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use testkit::{Program, free_port, postgres_database, rabbitmq_url, unique};

use crate::kit::{OneProcess, program, waybill};

fn with_ports(program: Program, data_dir: &Path) -> Program {
    let data_dir = data_dir.to_str().unwrap();
    program.with("DATA_DIR", data_dir).with("PORT", "0").with("ADMIN_PORT", "0")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_cannot_hold_every_text_is_a_wrong_configuration() {
    let url = postgres_database().await;
    let database = sea_orm::Database::connect(&url).await.unwrap();
    let name = unique("latin").replace('-', "_");
    let create = format!("CREATE DATABASE \"{name}\" ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
    sea_orm::ConnectionTrait::execute_unprepared(&database, &create).await.unwrap();
    let url = format!("{}/{name}", url.rsplit_once('/').unwrap().0);
    let rabbitmq = rabbitmq_url().await;
    let folder = tempfile::tempdir().unwrap();
    for name in ["waybill", "order-service", "inventory-service", "customer-service", "migrations"] {
        let starts = match name {
            "waybill" => with_ports(waybill(&["up"]), folder.path()),
            "migrations" => program(name),
            _ => program(name).with("ADMIN_PORT", "0").with("RABBITMQ_URL", &rabbitmq),
        };
        let ran = starts.with("RUST_LOG", "error").with("DATABASE_URL", &url).run().await;
        assert_eq!(ran.code, 2, "{name} {ran:?}");
        assert!(ran.stderr.contains("DATABASE_URL"), "{name} {ran:?}");
        assert!(ran.stderr.contains("encoding is LATIN1 and has to be UTF8"), "{name} {ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_may_not_be_written_is_named_with_its_owner() {
    let mut process = OneProcess::new();
    process.start().await;
    process.stop().await;
    for file in ["broker.sqlite", "orders.sqlite", "customers.sqlite"] {
        let path = process.data_dir().join(file);
        let set_mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        set_mode(0o444);
        let ran =
            with_ports(obeying_modes(&["up"]), process.data_dir()).with("RUST_LOG", "error").run().await;
        set_mode(0o644);
        assert_eq!(ran.code, 2, "{ran:?}");
        let user = rustix::process::geteuid().as_raw();
        let expected = format!(
            "DATA_DIR (--data-dir): cannot write {}: Permission denied (os error 13); it belongs to user {user}, with mode 444",
            path.display()
        );
        assert!(ran.stderr.contains(&expected), "{ran:?}");
        assert!(!ran.stderr.contains("3850"), "{ran:?}");
    }
}

/// `waybill` as a process that the modes of files bind: root's are not, unless it gives up the right to override them.
fn obeying_modes(arguments: &[&str]) -> Program {
    if !rustix::process::geteuid().is_root() {
        return waybill(arguments);
    }
    let rights = "--bounding-set=-dac_override,-dac_read_search";
    let words = [&["--inh-caps=-all", rights, "--", env!("CARGO_BIN_EXE_waybill")][..], arguments].concat();
    Program::new("setpriv", &words)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_ended_while_it_waits_for_its_database_has_ended_in_order() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let rabbitmq = rabbitmq_url().await;
    for port in [free_port(), silent.local_addr().unwrap().port()] {
        let url = format!("postgres://someone@127.0.0.1:{port}/none");
        let folder = tempfile::tempdir().unwrap();
        for name in ["waybill", "order-service", "inventory-service", "customer-service"] {
            let starts = match name {
                "waybill" => with_ports(waybill(&["up"]), folder.path()),
                _ => program(name).with("ADMIN_PORT", "0").with("RABBITMQ_URL", &rabbitmq),
            };
            let process = starts.with("DATABASE_URL", &url).start();
            process.line("cannot connect to the database yet").await.unwrap();
            let status = process.terminate().await.unwrap();
            assert!(status.success(), "{name} {status}\n{}", process.output().join("\n"));
        }
    }
}
