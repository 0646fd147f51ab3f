//! Who is delivered what, and when again.

use tokio::sync::mpsc::error::TryRecvError;

use super::Broker;
use super::words::{
    consume, in_time, lying_in, name, named, names, next, publish, set, until_ready, work_queue,
};

/// Acknowledged for good: no other consumer sees it.
pub async fn what_was_acknowledged_is_gone(broker: &dyn Broker) {
    let transport = broker.transport("order-service.1").await;
    let queue = work_queue(&transport);
    publish(&transport, &queue, vec![named("first"), named("second")]).await;
    let mut deliveries = consume(&transport, &queue, 2).await;
    next(&mut deliveries).await.ack().await;
    let _unsettled = next(&mut deliveries).await;
    transport.close().await;

    let another = broker.transport("order-service.2").await;
    until_ready(&another, &queue, 1).await;
    assert_eq!(lying_in(&another, &queue).await, ["second"]);
}

/// Another consumer gets it, and is told that it is not the first.
pub async fn what_a_dead_consumer_left_unacknowledged_comes_again(broker: &dyn Broker) {
    let dying = broker.transport("order-service.1").await;
    let queue = work_queue(&dying);
    publish(&dying, &queue, vec![named("m")]).await;
    let delivery = next(&mut consume(&dying, &queue, 1).await).await;
    assert_eq!(delivery.delivery_count, 0);
    dying.close().await;
    // Too late to count: the connection that it came over is gone.
    delivery.ack().await;

    let another = broker.transport("order-service.2").await;
    let again = next(&mut consume(&another, &queue, 1).await).await;
    assert_eq!((name(&again.message), again.delivery_count), ("m".to_owned(), 1));
}

/// The rest waits in the queue, for others to take.
pub async fn no_more_than_the_prefetch_is_unsettled(broker: &dyn Broker) {
    let transport = broker.transport("order-service.1").await;
    let queue = work_queue(&transport);
    publish(&transport, &queue, names(20).iter().map(named).collect()).await;
    let mut deliveries = consume(&transport, &queue, 5).await;
    let mut unsettled = Vec::new();
    for _ in 0..5 {
        unsettled.push(next(&mut deliveries).await);
    }
    until_ready(&transport, &queue, 15).await;
    assert_eq!(deliveries.try_recv().err(), Some(TryRecvError::Empty));
    unsettled.remove(0).ack().await;
    // Held: dropped, it would be delivered again.
    let sixth = next(&mut deliveries).await;
    assert_eq!(name(&sixth.message), "m0005");
    assert_eq!(deliveries.try_recv().err(), Some(TryRecvError::Empty));
}

/// Each message goes to one of them.
pub async fn two_consumers_share_a_queue_and_get_nothing_twice(broker: &dyn Broker) {
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
    assert!(!by_first.is_empty() && !by_second.is_empty(), "each gets a part");
    assert_eq!(set(by_first.into_iter().chain(by_second)), set(names(100)));
    until_ready(&first, &queue, 0).await;
}

/// What it has taken stays its own, and can still be settled.
pub async fn a_dropped_consumer_gives_back_what_it_has_not_taken(broker: &dyn Broker) {
    let transport = broker.transport("order-service.1").await;
    let queue = work_queue(&transport);
    publish(&transport, &queue, names(10).iter().map(named).collect()).await;
    let mut deliveries = consume(&transport, &queue, 10).await;
    let taken = next(&mut deliveries).await;
    until_ready(&transport, &queue, 0).await;
    drop(deliveries);
    until_ready(&transport, &queue, 9).await;
    assert_eq!(set(lying_in(&transport, &queue).await), set(names(10).split_off(1)));
    taken.ack().await;
    transport.close().await;
    let another = broker.transport("order-service.2").await;
    until_ready(&another, &queue, 9).await;
}

/// A handler that is dropped half-way gives its message back.
pub async fn a_dropped_delivery_comes_again(broker: &dyn Broker) {
    let transport = broker.transport("order-service.1").await;
    let queue = work_queue(&transport);
    publish(&transport, &queue, vec![named("m")]).await;
    let mut deliveries = consume(&transport, &queue, 1).await;
    drop(next(&mut deliveries).await);
    assert_eq!(name(&next(&mut deliveries).await.message), "m");
}
