//! Delivery, prefetch, acknowledgement and redelivery.

use tokio::sync::mpsc::error::TryRecvError;

use super::Broker;
use super::kit::{
    connect, consume, in_time, name, named, names, next, publish, ready_in, set, until_ready, work_queue,
};

/// No other consumer receives it.
pub async fn an_acknowledged_message_is_gone(broker: &dyn Broker) {
    let (transport, queue) = connect(broker, "order-service.1").await;
    publish(&transport, &queue, vec![named("first"), named("second")]).await;
    let mut deliveries = consume(&transport, &queue, 2).await;
    next(&mut deliveries).await.ack().await;
    let _unacked = next(&mut deliveries).await;
    transport.close().await;

    let another = broker.transport("order-service.2").await;
    until_ready(&another, &queue, 1).await;
    assert_eq!(ready_in(&another, &queue).await, ["second"]);
}

/// Its delivery count shows that it was delivered before.
pub async fn an_unacknowledged_message_of_a_lost_connection_is_redelivered(broker: &dyn Broker) {
    let (dying, queue) = connect(broker, "order-service.1").await;
    publish(&dying, &queue, vec![named("m")]).await;
    let delivery = next(&mut consume(&dying, &queue, 1).await).await;
    assert_eq!(delivery.delivery_count, 0);
    dying.close().await;
    // Has no effect: the connection that it came over is closed.
    delivery.ack().await;

    let another = broker.transport("order-service.2").await;
    let again = next(&mut consume(&another, &queue, 1).await).await;
    assert_eq!((name(&again.message), again.delivery_count), ("m".to_owned(), 1));
}

/// The other messages stay in the queue, for other consumers.
pub async fn no_more_deliveries_than_the_prefetch_are_unacknowledged(broker: &dyn Broker) {
    let (transport, queue) = connect(broker, "order-service.1").await;
    publish(&transport, &queue, names(20).iter().map(named).collect()).await;
    let mut deliveries = consume(&transport, &queue, 5).await;
    let mut unacked = Vec::new();
    for _ in 0..5 {
        unacked.push(next(&mut deliveries).await);
    }
    until_ready(&transport, &queue, 15).await;
    assert_eq!(deliveries.try_recv().err(), Some(TryRecvError::Empty));
    unacked.remove(0).ack().await;
    // Kept: dropped, it would be redelivered.
    let sixth = next(&mut deliveries).await;
    assert_eq!(name(&sixth.message), "m0005");
    assert_eq!(deliveries.try_recv().err(), Some(TryRecvError::Empty));
}

/// Each message goes to one of them.
pub async fn two_consumers_share_a_queue_and_receive_nothing_twice(broker: &dyn Broker) {
    let first = broker.transport("order-service.1").await;
    let second = broker.transport("order-service.2").await;
    let queue = work_queue(&first);
    let mut of_first = consume(&first, &queue, 5).await;
    let mut of_second = consume(&second, &queue, 5).await;
    publish(&first, &queue, names(100).iter().map(named).collect()).await;
    let (mut by_first, mut by_second) = (Vec::new(), Vec::new());
    while by_first.len() + by_second.len() < 100 {
        let taking = async {
            tokio::select! {
                delivery = of_first.recv() => (delivery, &mut by_first),
                delivery = of_second.recv() => (delivery, &mut by_second),
            }
        };
        let (delivery, taken) = in_time("a delivery", taking).await;
        let delivery = delivery.expect("the consumers live");
        taken.push(name(&delivery.message));
        delivery.ack().await;
    }
    assert!(!by_first.is_empty() && !by_second.is_empty(), "each receives a part");
    assert_eq!(set(by_first.into_iter().chain(by_second)), set(names(100)));
    until_ready(&first, &queue, 0).await;
}

/// Deliveries that were received can still be acknowledged.
pub async fn a_dropped_consumer_requeues_deliveries_that_were_not_received(broker: &dyn Broker) {
    let (transport, queue) = connect(broker, "order-service.1").await;
    publish(&transport, &queue, names(10).iter().map(named).collect()).await;
    let mut deliveries = consume(&transport, &queue, 10).await;
    let taken = next(&mut deliveries).await;
    until_ready(&transport, &queue, 0).await;
    drop(deliveries);
    until_ready(&transport, &queue, 9).await;
    assert_eq!(set(ready_in(&transport, &queue).await), set(names(10).split_off(1)));
    taken.ack().await;
    transport.close().await;
    let another = broker.transport("order-service.2").await;
    until_ready(&another, &queue, 9).await;
}

/// As when a handler is dropped while it runs.
pub async fn a_dropped_delivery_is_redelivered(broker: &dyn Broker) {
    let (transport, queue) = connect(broker, "order-service.1").await;
    publish(&transport, &queue, vec![named("m")]).await;
    let mut deliveries = consume(&transport, &queue, 1).await;
    drop(next(&mut deliveries).await);
    assert_eq!(name(&next(&mut deliveries).await.message), "m");
}
