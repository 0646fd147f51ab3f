//! A broker whose administrator has other defaults, or makes the topology and grants no more than needed.

use bus::amqp::{AmqpConfig, AmqpTransport};
use bus::message::Message;
use bus::topology::{Part, Topology, WorkQueue};
use bus::transport::{ExclusiveQueue, LinkState, Target, Transport as _};
use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use schema::pattern::Service;
use testkit::{RabbitMq, WAIT_LIMIT, eventually};

use crate::kit::{Rabbit, next};

fn connect(url: &str, part: Part, topology: &Topology) -> AmqpTransport {
    let owner = format!("{}.1", part.process());
    AmqpTransport::connect(AmqpConfig::new(url, owner, topology.clone().part(part))).unwrap()
}

async fn connected(url: &str, part: Part, topology: &Topology) -> AmqpTransport {
    let transport = connect(url, part, topology);
    transport.wait_until_up(WAIT_LIMIT).await.unwrap();
    transport
}

async fn is_down(transport: &AmqpTransport, parts: &[&str]) {
    eventually("the link state says why", async || {
        let link = transport.link_state().borrow().clone();
        let LinkState::Down(reason) = &link else { return Err(link) };
        if parts.iter().all(|part| reason.contains(part)) { Ok(()) } else { Err(link) }
    })
    .await;
}

async fn ctl(server: &RabbitMq, words: &str) -> String {
    server.ctl(&words.split(' ').collect::<Vec<_>>()).await.unwrap()
}

#[tokio::test]
async fn queues_are_of_their_own_type_whatever_the_virtual_hosts_default_is() {
    let rabbit = Rabbit::of_its_own().await;
    let server = rabbit.server();
    ctl(server, "add_vhost quorums --default-queue-type quorum").await;
    ctl(server, "set_permissions -p quorums guest .* .* .*").await;
    let url = rabbit.url.replace("%2f", "quorums");
    let transport = connected(&url, Part::Whole, &rabbit.topology).await;
    let replies = ExclusiveQueue { purpose: "replies", event_bindings: Vec::new(), max_length: 10 };
    let _replies = transport.consume_exclusive(replies).await.unwrap();
    let listed = ctl(server, "-q list_queues -p quorums --no-table-headers name type").await;
    let kinds: Vec<(&str, &str)> = listed.lines().filter_map(|line| line.split_once('\t')).collect();
    assert_eq!(kinds.len(), rabbit.topology.queues().len() + 1, "{listed}");
    for (queue, kind) in kinds {
        let is_transient = queue.ends_with(".requests") || queue.ends_with(".replies");
        assert_eq!(kind, if is_transient { "classic" } else { "quorum" }, "{queue}");
    }

    // One that was declared before our declarations named the type.
    let requests = rabbit.topology.requests(Service::Customer);
    let other = lapin::Connection::connect(&url, lapin::ConnectionProperties::default()).await.unwrap();
    let channel = other.create_channel().await.unwrap();
    channel.queue_delete(requests.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
    let (options, mut arguments) = (QueueDeclareOptions::durable(), FieldTable::default());
    arguments.insert("x-max-length".into(), AMQPValue::LongInt(10_000));
    arguments.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
    channel.queue_declare(requests.as_str().into(), options, arguments).await.unwrap();
    let later = connect(&url, Part::Service(Service::Customer), &rabbit.topology);
    is_down(&later, &[&requests, "x-queue-type", "'classic'", "'quorum'"]).await;
}

#[tokio::test]
async fn a_user_who_may_not_configure_uses_what_an_administrator_made_and_is_told_what_is_missing() {
    let rabbit = Rabbit::of_its_own().await;
    let (server, topology) = (rabbit.server(), &rabbit.topology);
    let namespace = &topology.namespace;
    ctl(server, "add_user service secret").await;
    let configure = format!("^{namespace}[.]inventory-service[.]");
    server.ctl(&["set_permissions", "service", &configure, ".*", ".*"]).await.unwrap();
    let url = rabbit.url.replace("guest:guest", "service:secret");
    let part = Part::Service(Service::Inventory);
    let transport = connect(&url, part, topology);
    let events = topology.work(WorkQueue::InventoryOrderEvents);
    is_down(&transport, &[&format!("queue {events}: it does not exist, and this user may not declare it")])
        .await;
    let LinkState::Down(reason) = transport.link_state().borrow().clone() else { panic!("it is down") };
    assert!(!reason.contains("order.commands"), "not its part: {reason}");

    let administrator = connected(&rabbit.url, Part::Whole, topology).await;
    transport.wait_until_up(WAIT_LIMIT).await.unwrap();
    let event = Message { body: "{}".into(), persistent: true, ..Message::default() };
    let target = Target::Events { routing_key: "order.07.created".to_owned() };
    assert_eq!(administrator.publish(vec![(target, event)], WAIT_LIMIT).await, [Ok(())]);
    let mut deliveries = transport.consume(&events, 5).await.unwrap();
    next(&mut deliveries).await.ack().await;

    // What vanishes is missed, and used again once it is back.
    ctl(server, &format!("delete_queue {events}")).await;
    assert!(tokio::time::timeout(WAIT_LIMIT, deliveries.recv()).await.expect("it ends").is_none());
    is_down(&transport, &[&events, "does not exist"]).await;
    administrator.declare().await.unwrap();
    transport.wait_until_up(WAIT_LIMIT).await.unwrap();
}

#[tokio::test]
async fn a_user_who_is_granted_the_right_to_configure_later_declares_what_is_missing() {
    let rabbit = Rabbit::of_its_own().await;
    let server = rabbit.server();
    ctl(server, "add_user service secret").await;
    ctl(server, "set_permissions service ^$ .* .*").await;
    let url = rabbit.url.replace("guest:guest", "service:secret");
    let transport = connect(&url, Part::Service(Service::Customer), &rabbit.topology);
    is_down(&transport, &["may not declare it"]).await;
    ctl(server, "set_permissions service .* .* .*").await;
    transport.wait_until_up(WAIT_LIMIT).await.unwrap();
}
