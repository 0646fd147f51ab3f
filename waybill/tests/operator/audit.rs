use std::path::Path;

use serde_json::Value;
use testkit::{Finished, Postgres, eventually, rabbitmq_url, unique};

use crate::kit::{Operator, order, order_of, publish, publish_into_file, raw_publisher, to_commands};

/// Each promise broken, and how often.
fn broken(ran: &Finished) -> Vec<(String, i64)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let promises = ran.json()["promises"].as_array().unwrap().clone();
    let counts =
        promises.iter().map(|promise| (text(&promise["invariant"]), promise["violations"].as_i64().unwrap()));
    counts.filter(|(_, count)| *count > 0).collect()
}

fn write_log(folder: &Path, lines: &[(&str, &str)]) -> String {
    let file = folder.join("clients.jsonl");
    let line = |(key, outcome): &(&str, &str)| {
        format!(
            "{{\"key\":\"{key}\",\"customerId\":\"CUST01\",\"outcome\":\"{outcome}\",\"orderId\":null}}\n"
        )
    };
    std::fs::write(&file, lines.iter().map(line).collect::<String>()).unwrap();
    file.display().to_string()
}

#[tokio::test]
async fn a_sound_system_breaks_no_invariant_until_its_tables_are_tampered_with() {
    let (url, namespace) = (rabbitmq_url().await, unique("operator"));
    let postgres = Postgres::start().await.unwrap();
    let database = postgres.create_database("audit").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let operator = Operator::of_broker(&url, &namespace);
    let data_dir = folder.path().display().to_string();
    let system = operator.with("DATA_DIR", &data_dir).with("DATABASE_URL", &database).starts_system().await;
    let raw_publisher = raw_publisher(&url, &namespace).await;
    let keys: Vec<String> = (0..40).map(|number| format!("k{number}")).collect();
    let placed = keys.iter().map(|key| (to_commands(&namespace), order(key).1)).collect();
    publish(&raw_publisher, placed).await;
    // There is one of them, so that this one is REJECTED.
    let (rejected, command) = order_of("short", "PROD28", 10);
    publish(&raw_publisher, vec![(to_commands(&namespace), command)]).await;
    let audit = async |arguments: &[&str]| {
        let mut words = vec!["audit", "--output", "json"];
        words.extend(arguments);
        operator.runs(&words).await
    };
    eventually("every order is placed", async || audit(&[]).await.json()["orders"] == 41).await;

    let log = write_log(folder.path(), &[("k0", "ok"), ("k1", "unknown"), ("never", "error")]);
    let sound = audit(&["--client-log", &log]).await;
    assert_eq!((sound.code, broken(&sound)), (0, Vec::new()), "{sound:?}");
    // Every order is suspected, so that the one after a missing one is read again beside it.
    let mut lines: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), "error")).collect();
    lines.extend([("never", "ok"), ("neither", "unknown")]);
    let log = write_log(folder.path(), &lines);
    let logged = audit(&["--client-log", &log, "--patience", "1s"]).await;
    let expected = [("I1", 1), ("I2", 40), ("I3", 1)].map(|(invariant, count)| (invariant.to_owned(), count));
    assert_eq!((logged.code, broken(&logged)), (1, expected.to_vec()), "{logged:?}");

    let [held, stepped] = ["k2", "k3"].map(|key| order(key).0);
    for tampering in [
        format!("UPDATE reservation_lines SET quantity = 1 WHERE order_id = '{held}'"),
        format!("UPDATE order_events SET version = 7 WHERE order_id = '{stepped}'"),
        "UPDATE products SET on_hand = on_hand + 1 WHERE id = 'PROD02'".to_owned(),
        format!(
            "UPDATE orders SET rejection = jsonb_set(rejection, '{{shortfalls,0,available}}', '5') WHERE id = '{rejected}'"
        ),
    ] {
        postgres.query(&database, &tampering).await.unwrap();
    }
    let tampered = audit(&["--patience", "1s"]).await;
    assert_eq!(tampered.code, 1, "{tampered:?}");
    let violations = tampered.json()["violations"].as_array().unwrap().clone();
    let names = |part: &str| violations.iter().any(|violation| violation.to_string().contains(part));
    for part in [held.to_string(), stepped.to_string(), "PROD02".to_owned(), rejected.to_string()] {
        assert!(names(&part), "{part} is not named: {tampered:?}");
    }
    raw_publisher.close().await;
    assert!(system.terminate().await.unwrap().success());
}

/// Orders are placed all the time: there are always some that were not published yet, or are held and not stored.
#[tokio::test]
async fn a_system_under_steady_load_is_found_sound() {
    let (url, namespace) = (rabbitmq_url().await, unique("operator"));
    let folder = tempfile::tempdir().unwrap();
    let operator = Operator::of_broker(&url, &namespace);
    let system = operator.with("DATA_DIR", &folder.path().display().to_string()).starts_system().await;
    let raw_publisher = raw_publisher(&url, &namespace).await;
    let (loaded, commands) = (raw_publisher.clone(), to_commands(&namespace));
    let load = tokio::spawn(async move {
        for number in 0.. {
            let placed = (0..10).map(|n| (commands.clone(), order(&format!("k{number}.{n}")).1)).collect();
            publish(&loaded, placed).await;
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    });
    let audit = ["audit", "--output", "json", "--patience", "30s"];
    let many = async || operator.runs(&audit).await.json()["orders"].as_i64() > Some(100);
    eventually("orders are placed", many).await;
    for _ in 0..3 {
        let audited = operator.runs(&audit).await;
        assert_eq!((audited.code, broken(&audited)), (0, Vec::new()), "{audited:?}");
    }
    assert!(!load.is_finished());
    load.abort();
    let _ = load.await;
    raw_publisher.close().await;
    assert!(system.terminate().await.unwrap().success());
}

#[tokio::test]
async fn a_running_system_is_audited_through_its_process_and_a_stopped_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let operator = Operator::of_folder(folder.path());
    operator.starts_system().await.terminate().await.unwrap();
    let messages = (0..5).map(|number| (to_commands("waybill"), order(&format!("k{number}")).1));
    publish_into_file(folder.path(), messages.collect()).await;
    let stopped = operator.runs(&["audit"]).await;
    assert_eq!(stopped.code, 1, "{stopped:?}");
    assert!(stopped.stderr.contains("not running"), "{stopped:?}");
    let system = operator.starts_system().await;
    let audit = ["audit", "--output", "json"];
    eventually("every order is placed", async || operator.runs(&audit).await.json()["orders"] == 5).await;
    let audited = operator.runs(&["audit"]).await;
    assert_eq!(audited.code, 0, "{audited:?}");
    assert!(audited.stdout.contains("5 orders and 5 reservations read"), "{audited:?}");
    assert!(system.terminate().await.unwrap().success());
}
