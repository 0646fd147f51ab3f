//! The broker cancels consumers, whose queues go on.

use bus::topology::WorkQueue;

use crate::checker::assert_promises_kept;
use crate::cluster::{Cluster, Shape};
use crate::load::{Load, WorkloadConfig};
use crate::scale::scaled;

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_consumers_consume_again() {
    let cluster = Cluster::distributed("cancelled", Shape::default()).await.unwrap();
    let load = Load::start(&cluster, 4, WorkloadConfig::default()).await.unwrap();
    let (bus, api) = (cluster.bus().await.unwrap(), cluster.api("CUST01").unwrap());
    load.decided(&api).await;
    let times = scaled(1, 10);
    for _ in 0..times {
        for (queue, service) in [
            (WorkQueue::OrderCommands, "order-service"),
            (WorkQueue::InventoryOrderEvents, "inventory-service"),
        ] {
            let queue = bus.topology().work(queue);
            let said = "the broker has cancelled a consumer";
            let service = &cluster.copies_of(service)[0];
            let before = service.said(said).await.unwrap();
            let cancelled = cluster.broker().ctl(&["eval", &cancel(&queue)]).await.unwrap();
            assert_ne!(cancelled.trim(), "0", "{queue} has no consumer");
            testkit::eventually("the service notices", async || {
                service.said(said).await.is_ok_and(|times| times > before)
            })
            .await;
            let healed = load.decided(&api).await;
            println!("consumers of {queue} cancelled: an order was decided {healed:?} later");
        }
    }
    println!("{}", load.log().summary());
    assert_promises_kept(&cluster, load).await;
}

/// Notifies the channels of a quorum queue's consumers that it has ended, while it can't be found: they then cancel
/// the consumers. It is found again as soon as they have. Answers how many consumers there were.
fn cancel(queue: &str) -> String {
    format!(
        "Name = rabbit_misc:r(<<\"/\">>, queue, <<\"{queue}\">>), \
         [Queue] = mnesia:dirty_read(rabbit_queue, Name), \
         Channels = [element(1, Consumer) || Consumer <- rabbit_amqqueue:consumers(Queue)], \
         Ended = {{queue_event, Name, {{amqqueue:get_pid(Queue), {{machine, eol}}}}}}, \
         ok = mnesia:dirty_delete(rabbit_queue, Name), \
         [gen_server2:cast(Channel, Ended) || Channel <- Channels], \
         [rabbit_channel:info(Channel, [consumer_count]) || Channel <- Channels], \
         ok = mnesia:dirty_write(rabbit_queue, Queue), length(Channels)."
    )
}
