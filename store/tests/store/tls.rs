//! PostgreSQL over TLS.

use std::path::Path;
use std::sync::Arc;

use bus::clock::SystemClock;
use sea_orm::{ConnectionTrait as _, Statement};
use store::Database;
use testkit::{Authority, Postgres, eventually};

/// Connects with these parameters; returns whether the connection is encrypted, or why there is none.
async fn is_encrypted(url: &str, parameters: &str) -> Result<bool, String> {
    let database = Database::connect(&format!("{url}?{parameters}"), Arc::new(SystemClock)).await;
    let database = database.map_err(|error| error.to_string())?;
    let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let statement = Statement::from_string(database.backend(), sql);
    let row = database.read().query_one_raw(statement).await.map_err(|error| error.to_string())?;
    row.unwrap().try_get_by_index(0).map_err(|error| error.to_string())
}

async fn assert_all(url: &str, expected: &[(&str, Result<bool, &str>)]) {
    for (parameters, expected) in expected {
        let found = is_encrypted(url, parameters).await;
        match (&found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{parameters}"),
            (Err(found), Err(words)) => assert!(found.contains(words), "{parameters}: {found}"),
            _ => panic!("{parameters}: {found:?} instead of {expected:?}"),
        }
    }
}

fn written(folder: &Path, name: &str, text: &str) -> String {
    let file = folder.join(name);
    std::fs::write(&file, text).unwrap();
    file.display().to_string()
}

#[tokio::test]
async fn certificates_are_checked_as_sslmode_says() {
    let server = Postgres::start().await.unwrap();
    let url = server.create_database("bank").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (authority, stranger) = (Authority::new(), Authority::new());
    let root = written(folder.path(), "root.pem", &authority.root());
    let strange = written(folder.path(), "strange.pem", &stranger.root());
    let [full, ca, require] =
        ["verify-full", "verify-ca", "require"].map(|mode| format!("sslmode={mode}&sslrootcert={root}"));
    let [strange_full, strange_require] =
        ["verify-full", "require"].map(|mode| format!("sslmode={mode}&sslrootcert={strange}"));

    let without = "server does not support TLS";
    assert_all(
        &url,
        &[
            ("", Ok(false)),
            ("sslmode=prefer", Ok(false)),
            ("sslmode=require", Err(without)),
            (&full, Err(without)),
        ],
    )
    .await;

    server.restart_with_tls(&authority.issue(&["127.0.0.1"])).await.unwrap();
    let unknown = "UnknownIssuer";
    assert_all(
        &url,
        &[
            ("", Ok(true)),
            ("sslmode=disable", Ok(false)),
            ("sslmode=allow", Ok(false)),
            ("sslmode=prefer", Ok(true)),
            ("sslmode=require", Ok(true)),
            (&full, Ok(true)),
            (&ca, Ok(true)),
            (&require, Ok(true)),
            ("sslmode=verify-full", Err(unknown)),
            (&strange_full, Err(unknown)),
            (&strange_require, Err(unknown)),
        ],
    )
    .await;

    server.restart_with_tls(&authority.issue(&["database.example"])).await.unwrap();
    assert_all(&url, &[(&full, Err("not valid for name")), (&ca, Ok(true)), ("sslmode=require", Ok(true))])
        .await;

    server.restart_with_tls(&authority.issue_expired(&["127.0.0.1"])).await.unwrap();
    assert_all(
        &url,
        &[
            (&full, Err("certificate expired")),
            (&ca, Err("certificate expired")),
            ("sslmode=require", Ok(true)),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_server_that_demands_or_refuses_tls_is_met_as_sslmode_allows() {
    let server = Postgres::start().await.unwrap();
    let url = server.create_database("bank").await.unwrap();
    let authority = Authority::new();
    server.restart_with_tls(&authority.issue(&["127.0.0.1"])).await.unwrap();

    server.accept("hostssl all all 127.0.0.1/32 trust\n").await.unwrap();
    eventually("connections without TLS are refused", async || {
        is_encrypted(&url, "sslmode=disable").await.err()
    })
    .await;
    assert_all(
        &url,
        &[("sslmode=disable", Err("28000")), ("sslmode=allow", Ok(true)), ("sslmode=prefer", Ok(true))],
    )
    .await;

    server.accept("hostnossl all all 127.0.0.1/32 trust\n").await.unwrap();
    eventually("connections with TLS are refused", async || {
        is_encrypted(&url, "sslmode=require").await.err()
    })
    .await;
    assert_all(
        &url,
        &[("sslmode=require", Err("28000")), ("sslmode=allow", Ok(false)), ("sslmode=prefer", Ok(false))],
    )
    .await;
}

#[tokio::test]
async fn a_client_proves_itself_by_its_certificate() {
    let server = Postgres::start().await.unwrap();
    let url = server.create_database("bank").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    server.restart_with_tls_and_clients(&authority.issue(&["127.0.0.1"]), &authority.root()).await.unwrap();
    server.accept("hostssl all all 127.0.0.1/32 cert\n").await.unwrap();

    let client = authority.issue_to_user("postgres");
    let certificate = written(folder.path(), "client.pem", &client.certificate);
    let key = written(folder.path(), "client.key", &client.key);
    let root = written(folder.path(), "root.pem", &authority.root());
    let known = format!("sslmode=verify-full&sslrootcert={root}&sslcert={certificate}&sslkey={key}");
    let unknown = format!("sslmode=verify-full&sslrootcert={root}");
    eventually("the rule is in force", async || is_encrypted(&url, &unknown).await.err()).await;
    assert_all(&url, &[(&known, Ok(true)), (&unknown, Err("valid client certificate"))]).await;
}
