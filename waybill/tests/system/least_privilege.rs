//! The topology made by an administrator, and users of the broker that may do no more than they need.

use std::sync::Arc;

use bus::amqp::{AmqpConfig, AmqpTransport};
use bus::message::Message;
use bus::topology::{RetryDelays, Topology, WorkQueue};
use bus::transport::Target;
use serde_json::json;
use testkit::{RabbitMq, WAIT_LIMIT, eventually};

use crate::kit::FourProcesses;

#[tokio::test(flavor = "multi_thread")]
async fn four_processes_work_with_the_fewest_permissions_over_imported_definitions() {
    let broker = RabbitMq::start().await.unwrap();
    let mut processes = FourProcesses::with_users(broker.url()).await;
    let definitions = processes.waybill(&["topology", "--output", "json"]).run().await;
    assert_eq!(definitions.code, 0, "{definitions:?}");
    let file = broker.folder().join("definitions.json");
    std::fs::write(&file, &definitions.stdout).unwrap();
    broker.ctl(&["import_definitions", &file.display().to_string()]).await.unwrap();

    let described = processes.waybill(&["topology"]).run().await.stdout;
    let commands: Vec<Vec<&str>> = described
        .lines()
        .filter_map(|line| line.strip_prefix("rabbitmqctl set_permissions -p "))
        // '/' user 'configure' 'write' 'read'
        .map(|line| line.split([' ', '\'']).filter(|word| !word.is_empty()).collect())
        .collect();
    assert_eq!(commands.len(), 5, "{described}");
    for command in commands {
        let [virtual_host, user, configure, write, read] = command[..] else { panic!("{command:?}") };
        broker.ctl(&["add_user", user, user]).await.unwrap();
        let permissions = ["set_permissions", "-p", virtual_host, user, configure, write, read];
        broker.ctl(&permissions).await.unwrap();
    }

    let gateway = processes.start().await;
    let customer = gateway.customer("CUST01");
    let mut updates = customer.subscribes().await;
    let before = customer.looks_at("PROD01").await["availableQuantity"].as_i64().unwrap();
    let order = customer.has_ordered(&[("PROD01", 2)]).await;
    customer.sees_available("PROD01", before - 2).await;
    // Stock follows the event, which the imported binding brings to inventory-service.
    let cancelled = customer.cancels(json!({ "id": order["id"] })).await;
    assert_eq!(cancelled["userErrors"], json!([]), "{cancelled}");
    customer.sees_available("PROD01", before).await;
    let mut statuses = Vec::new();
    while statuses.last().is_none_or(|status| status != "CANCELLED") {
        statuses.push(updates.next().await["order"]["status"].as_str().unwrap().to_owned());
    }

    let well = processes.waybill(&["doctor"]).run().await;
    assert_eq!(well.code, 0, "{well:?}");
    let infrastructure = processes.infrastructure();
    let namespace = infrastructure.iter().find(|(name, _)| *name == "BUS_NAMESPACE").unwrap().1;
    let topology = Topology::new(namespace, RetryDelays::default());
    let target = Target::Queue(topology.work(WorkQueue::OrderCommands));
    let other = AmqpTransport::connect(AmqpConfig::new(broker.url(), "other.1", topology)).unwrap();
    other.wait_until_up(WAIT_LIMIT).await.unwrap();
    let poison = Message { body: "no json".into(), persistent: true, ..Message::default() };
    let other: Arc<dyn bus::transport::Transport> = Arc::new(other);
    other.publish_one(target, poison, WAIT_LIMIT).await.unwrap();
    eventually("the poison is a dead letter", async || {
        let listed = processes.waybill(&["dead-letters", "list"]).run().await;
        if listed.code == 0 && listed.stdout.contains("UNDECODABLE") { Ok(()) } else { Err(listed) }
    })
    .await;
    let discarded = processes.waybill(&["dead-letters", "discard", "--all"]).run().await;
    assert_eq!(discarded.code, 0, "{discarded:?}");
    processes.stop().await;
}
