//! Brokers and databases as they are reached in production: over TLS, through poolers, with few privileges.

use serde_json::json;
use testkit::{Authority, PgBouncer, Postgres, RabbitMq, postgres_database, rabbitmq_url};

use crate::everyday::an_order_is_placed_watched_and_delivered;
use crate::kit::{FourProcesses, items, program};

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_placed_behind_a_pooler_of_sessions() {
    let url = postgres_database().await;
    let bouncer = PgBouncer::start(&url, "session").await.unwrap();
    places_orders(bouncer.url(&url)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_placed_behind_a_pooler_of_transactions() {
    let url = postgres_database().await;
    let bouncer = PgBouncer::start(&url, "transaction").await.unwrap();
    places_orders(format!("{}?pool_mode=transaction", bouncer.url(&url))).await;
}

async fn places_orders(database_url: String) {
    let mut processes = FourProcesses::on(rabbitmq_url().await, database_url);
    let gateway = processes.start().await;
    an_order_is_placed_watched_and_delivered(gateway).await;
    let output = processes.output("order-service").join("\n");
    let plain_text = "the connection to the database is not encrypted";
    assert!(output.contains(plain_text), "sslmode=prefer says that it doesn't encrypt:\n{output}");
    processes.stop().await;
}

/// The tables are made by their owner; the services' role may read and write their rows, and no more.
#[tokio::test(flavor = "multi_thread")]
async fn orders_are_placed_over_tls_by_a_role_of_few_privileges() {
    let authority = Authority::new();
    let certificate = authority.issue(&["localhost", "127.0.0.1"]);
    let (broker, server) =
        tokio::try_join!(RabbitMq::start_with_tls(&certificate), Postgres::start()).unwrap();
    server.restart_with_tls(&certificate).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root.pem");
    std::fs::write(&root, authority.root()).unwrap();

    let url = server.create_database("shop").await.unwrap();
    let verified = format!("?sslmode=verify-full&sslrootcert={}", root.display());
    server.query(&url, "CREATE ROLE shop LOGIN").await.unwrap();
    let shop = format!("{}{verified}", url.replacen("postgres@", "shop@", 1));
    let starting = program("order-service").with("DATABASE_URL", &shop).with("RABBITMQ_URL", broker.url());
    let without_tables = starting.with("ADMIN_PORT", "0").run().await;
    assert_eq!(without_tables.code, 1, "{without_tables:?}");
    assert!(without_tables.stderr.contains("run `migrations orders`"), "{without_tables:?}");

    program("migrations").with("DATABASE_URL", format!("{url}{verified}")).prints().await;
    let grant = "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO shop";
    server.query(&url, grant).await.unwrap();
    let mut processes = FourProcesses::on(broker.tls_url("localhost"), shop);
    processes.rabbitmq_ca_file = root.display().to_string();
    let gateway = processes.start().await;
    an_order_is_placed_watched_and_delivered(gateway).await;
    processes.stop().await;
}

/// The standby has every commit of the primary, so that nothing may be missing after it has taken over.
#[tokio::test(flavor = "multi_thread")]
async fn orders_are_decided_after_a_failover_to_the_standby() {
    let primary = Postgres::start().await.unwrap();
    let url = primary.create_database("shop").await.unwrap();
    let standby = primary.start_standby().await.unwrap();
    let [one, other] = [&primary, &standby].map(|server| format!("127.0.0.1:{}", server.port()));
    let both = url.replacen(&one, &format!("{one},{other}"), 1);
    let mut processes = FourProcesses::on(rabbitmq_url().await, both);
    let gateway = processes.start().await;
    let customer = gateway.customer("CUST01");
    let place = async || {
        let input = json!({ "items": items(&[("PROD02", 1)]) });
        customer.creates_without_waiting(input).await["order"]["id"].as_str().unwrap().to_owned()
    };
    let mut placed = Vec::new();
    for _ in 0..10 {
        placed.push(place().await);
    }
    customer.sees_processing_despite_faults(&placed[0]).await;
    primary.stop_immediately().await.unwrap();
    for _ in 0..10 {
        placed.push(place().await);
    }
    standby.query(&standby.url("postgres"), "SELECT pg_promote()").await.unwrap();
    for id in &placed {
        customer.sees_processing_despite_faults(id).await;
    }
    let output = processes.output("order-service").join("\n");
    assert!(output.contains("another database server is used from now on"), "{output}");
    processes.stop().await;
}

#[tokio::test]
async fn wrong_addresses_end_the_process_with_code_2() {
    let amqp = "amqp://guest:hunter2@127.0.0.1";
    let amqps = "amqps://guest:hunter2@127.0.0.1";
    let postgres = |parameters: &str| format!("postgres://me:hunter2@127.0.0.1/waybill?{parameters}");
    for (broker, ca_file, database, variable, words) in [
        (amqp, "", postgres("sslmode=strict"), "DATABASE_URL", "sslmode=strict is not one of"),
        (
            amqp,
            "",
            postgres("sslmode=verify-full&sslrootcert=/nowhere"),
            "DATABASE_URL",
            "/nowhere can't be read",
        ),
        (
            amqp,
            "",
            postgres("sslmode=verify-full&sslrootcert=/dev/null"),
            "DATABASE_URL",
            "holds no certificate",
        ),
        (amqp, "", postgres("ssl_mode=require"), "DATABASE_URL", "\"ssl_mode\" is unknown"),
        (amqps, "/nowhere", postgres(""), "RABBITMQ_CA_FILE", "/nowhere can't be read"),
        (amqps, "/dev/null", postgres(""), "RABBITMQ_CA_FILE", "holds no certificate"),
        (
            amqp,
            "/dev/null",
            postgres(""),
            "RABBITMQ_CA_FILE",
            "of no use unless RABBITMQ_URL begins with amqps://",
        ),
        (
            "amqp://one,http://two",
            "",
            postgres(""),
            "RABBITMQ_URL",
            "each URL of a list begins with amqp:// or amqps://",
        ),
    ] {
        let program =
            program("customer-service").with("RABBITMQ_URL", broker).with("RABBITMQ_CA_FILE", ca_file);
        let ran = program.with("DATABASE_URL", &database).with("ADMIN_PORT", "0").run().await;
        assert_eq!(ran.code, 2, "{broker} {database}: {ran:?}");
        assert!(ran.stderr.contains(variable) && ran.stderr.contains(words), "{ran:?}");
        assert!(!ran.stderr.contains("hunter2"), "{ran:?}");
    }
}
