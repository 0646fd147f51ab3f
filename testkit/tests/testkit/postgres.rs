use testkit::Postgres;
use tokio::net::TcpStream;

#[tokio::test]
async fn a_stopped_server_refuses_connections_and_comes_back_with_what_was_committed() {
    let postgres = Postgres::start().await.unwrap();
    let database = postgres.create_database("kept").await.unwrap();
    postgres.query(&database, "CREATE TABLE kept AS SELECT 7 AS number, 'seven' AS word").await.unwrap();

    postgres.stop_immediately().await.unwrap();
    assert!(TcpStream::connect(("127.0.0.1", postgres.port())).await.is_err());
    postgres.restart().await.unwrap();

    assert_eq!(postgres.query(&database, "SELECT * FROM kept").await.unwrap(), "7|seven");
}

#[tokio::test]
async fn every_database_is_new_and_a_wrong_statement_is_an_error() {
    let postgres = Postgres::start().await.unwrap();

    let (one, other) =
        (postgres.create_database("same").await.unwrap(), postgres.create_database("same").await.unwrap());
    postgres.query(&one, "CREATE TABLE here ()").await.unwrap();

    let error = postgres.query(&other, "SELECT * FROM here").await.unwrap_err();
    assert!(error.to_string().contains("does not exist"), "{error}");
}

#[tokio::test]
async fn commits_reach_the_disk_as_in_production() {
    let postgres = Postgres::start().await.unwrap();

    let settings = "SELECT string_agg(name || ' ' || setting, ', ' ORDER BY name) FROM pg_settings \
                    WHERE name IN ('fsync', 'synchronous_commit', 'max_connections')";

    let answer = postgres.query(&postgres.url("postgres"), settings).await.unwrap();
    assert_eq!(answer, "fsync on, max_connections 300, synchronous_commit on");
}

#[tokio::test]
async fn a_dropped_server_leaves_no_folder() {
    let postgres = Postgres::start().await.unwrap();
    let folder = postgres.folder().to_owned();
    assert!(folder.exists());

    drop(postgres);

    assert!(!folder.exists());
}
