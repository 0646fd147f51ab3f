use serde_json::Value;
use testkit::{eventually, rabbitmq_url, unique};

use crate::kit::{
    Operator, given_up, order, poison, publish, publish_into_file, raw_publisher, to_commands,
    to_dead_commands,
};

async fn listed(operator: &Operator) -> Value {
    let ran = operator.runs(&["dead-letters", "list", "--output", "json"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    ran.json()
}

async fn orders(operator: &Operator) -> Value {
    let ran = operator.runs(&["audit", "--output", "json", "--patience", "20s"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    ran.json()["orders"].clone()
}

/// A poison message and a sound command are dead letters; the one is shown and discarded, the other replayed.
async fn work_through(operator: &Operator, namespace: &str, sound: &str) {
    let list = eventually("the poison is dead", async || {
        let list = listed(operator).await;
        (list["letters"].as_array()?.len() == 2).then_some(list)
    })
    .await;
    let queue = format!("{namespace}.order.commands");
    let counts: Vec<(&str, &str, i64)> = list["counts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|count| {
            let text = |field: &str| count[field].as_str().unwrap();
            (text("queue"), text("code"), count["count"].as_i64().unwrap())
        })
        .collect();
    assert_eq!(counts, [(queue.as_str(), "INTERNAL", 1), (queue.as_str(), "UNDECODABLE", 1)]);

    let shown = operator.runs(&["dead-letters", "show", "poison-1"]).await;
    assert_eq!(shown.code, 0, "{shown:?}");
    for part in ["UNDECODABLE", "0af7651916cd43dd8448eb211c80319c", "traceparent", "no \\u{1b}json"] {
        assert!(shown.stdout.contains(part), "{part} is missing: {shown:?}");
    }

    let discarded = operator.runs(&["dead-letters", "discard", "--code", "UNDECODABLE"]).await;
    assert_eq!((discarded.code, discarded.stdout.lines().next()), (0, Some("1 dead letter discarded")));
    let replayed = operator.runs(&["dead-letters", "replay", sound, "not-there"]).await;
    assert_eq!(replayed.code, 1, "one was not found: {replayed:?}");
    assert!(replayed.stdout.contains("1 dead letter replayed"), "{replayed:?}");
    assert!(replayed.stdout.contains("there is no dead letter not-there"), "{replayed:?}");
    assert_eq!(listed(operator).await["letters"].as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn behind_rabbitmq_they_are_listed_shown_replayed_and_discarded() {
    let (url, namespace) = (rabbitmq_url().await, unique("operator"));
    let folder = tempfile::tempdir().unwrap();
    let operator = Operator::of_broker(&url, &namespace);
    let system = operator.with("DATA_DIR", &folder.path().display().to_string()).starts_system().await;
    let raw_publisher = raw_publisher(&url, &namespace).await;
    let (_, command) = order("k1");
    let sound = command.message_id.clone().unwrap();
    let dead = given_up(command.clone(), 4, "INTERNAL");
    let messages =
        vec![(to_commands(&namespace), poison("poison-1")), (to_dead_commands(&namespace), dead.clone())];
    publish(&raw_publisher, messages).await;
    work_through(&operator, &namespace, &sound).await;
    eventually("the order is placed", async || orders(&operator).await == 1).await;

    // An effect that did happen happens no second time.
    publish(&raw_publisher, vec![(to_dead_commands(&namespace), dead)]).await;
    let again = operator.runs(&["dead-letters", "replay", "--all"]).await;
    assert!(again.stdout.contains("1 dead letter replayed"), "{again:?}");
    eventually("the command is taken", async || {
        let depth = raw_publisher.depth(&format!("{namespace}.order.commands")).await;
        depth.is_ok_and(|depth| depth.is_some_and(|depth| depth.ready == 0))
    })
    .await;
    assert_eq!(orders(&operator).await, 1);
    raw_publisher.close().await;
    assert!(system.terminate().await.unwrap().success());
}

#[tokio::test]
async fn in_a_running_system_they_are_worked_through_over_http() {
    let folder = tempfile::tempdir().unwrap();
    let operator = Operator::of_folder(folder.path());
    operator.starts_system().await.terminate().await.unwrap();
    let (_, command) = order("k1");
    let sound = command.message_id.clone().unwrap();
    let dead = given_up(command, 4, "INTERNAL");
    let messages = vec![(to_commands("waybill"), poison("poison-1")), (to_dead_commands("waybill"), dead)];
    publish_into_file(folder.path(), messages).await;
    let system = operator.starts_system().await;
    work_through(&operator, "waybill", &sound).await;
    eventually("the order is placed", async || orders(&operator).await == 1).await;
    assert!(system.terminate().await.unwrap().success());
}

#[tokio::test]
async fn in_a_stopped_system_they_are_worked_through_in_its_files() {
    let folder = tempfile::tempdir().unwrap();
    let operator = Operator::of_folder(folder.path());
    operator.starts_system().await.terminate().await.unwrap();
    let (_, command) = order("k1");
    let sound = command.message_id.clone().unwrap();
    let dead = given_up(command, 4, "INTERNAL");
    let poison = given_up(poison("poison-1"), 1, "UNDECODABLE");
    let messages = vec![(to_dead_commands("waybill"), poison), (to_dead_commands("waybill"), dead)];
    publish_into_file(folder.path(), messages).await;
    work_through(&operator, "waybill", &sound).await;
    let system = operator.starts_system().await;
    eventually("the replayed order is placed", async || orders(&operator).await == 1).await;
    assert!(system.terminate().await.unwrap().success());
}
