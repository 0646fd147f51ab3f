//! What survives if the broker is killed and started again.

use std::time::Duration;

use super::kit::{QUEUE, WAIT_LIMIT, ack_next, connect, consume, in_time, named, names, next, publish, set};
use super::{Broker, retry_delays};
use crate::dead_letters::{Selection, list};
use crate::transport::Target;

/// All of them and no others; dead letters too.
pub async fn confirmed_jobs_survive_a_restart_of_the_broker(broker: &dyn Broker) {
    let (transport, queue) = connect(broker, "order-service.1").await;
    publish(&transport, &queue, names(200).iter().map(named).collect()).await;
    let dead = Target::DeadLetter(transport.topology().dead(QUEUE));
    assert_eq!(transport.publish(vec![(dead, named("dead"))], WAIT_LIMIT).await, [Ok(())]);
    let mut deliveries = consume(&transport, &queue, 50).await;
    let _unacked = next(&mut deliveries).await;
    broker.restart().await;
    drop((deliveries, transport));

    let transport = in_time("a connection", broker.transport("order-service.2")).await;
    let mut deliveries = consume(&transport, &queue, 50).await;
    assert_eq!(set(ack_next(&mut deliveries, 200).await), set(names(200)));
    let letters = list(&transport, &Selection::All).await.unwrap();
    assert_eq!(letters.into_iter().map(|letter| letter.id).collect::<Vec<_>>(), ["dead"]);
}

/// And are delivered after their delay.
pub async fn jobs_that_wait_for_their_retry_survive_a_restart_of_the_broker(broker: &dyn Broker) {
    let (transport, queue) = connect(broker, "order-service.1").await;
    let waiting = |delay: Duration| names(20).into_iter().map(move |name| format!("{name} {delay:?}"));
    for delay in retry_delays().0 {
        let retry = transport.topology().retry(QUEUE, delay);
        publish(&transport, &retry, waiting(delay).map(named).collect()).await;
    }
    broker.restart().await;
    drop(transport);

    let transport = in_time("a connection", broker.transport("order-service.2")).await;
    let mut deliveries = consume(&transport, &queue, 50).await;
    assert_eq!(set(ack_next(&mut deliveries, 40).await), set(retry_delays().0.into_iter().flat_map(waiting)));
}
