use std::collections::HashSet;
use std::time::Duration;

use bus::heartbeat::Heartbeat;
use bus::message::header;
use order_service::service::relay;
use schema::order_messages::{OrderScope, Replay, ReplayFrom};
use store::failpoint::Failpoint;
use store::relay::{Relay, RelayError, Relayed};
use tokio_util::sync::CancellationToken;

use crate::backends::Mood;
use crate::broker::Broker;
use crate::kit::{OrderService, answer_of, keyed};
use crate::on_both_databases;

on_both_databases!(
    events_are_published_once_in_order_with_their_orders,
    one_trace_follows_an_order_from_placing_to_its_end,
    a_crash_after_publishing_repeats_the_same_messages,
    a_crash_before_publishing_loses_nothing,
    only_a_contiguous_prefix_is_marked,
    one_relay_works_and_another_takes_over,
    a_copy_that_cannot_publish_leaves_it_to_another,
    numbering_from_several_copies_leaves_no_hole,
    the_runner_publishes_what_is_committed_and_gives_up_its_lease,
);

async fn orders(service: &OrderService, count: u32) {
    let batch: Vec<_> = (0..count).map(|n| service.command(keyed(&n.to_string(), &[("MUG", 1)]))).collect();
    service.deliver(&batch).await;
}

fn positions(arrived: &[(String, schema::order_events::OrderEvent)]) -> Vec<i64> {
    arrived.iter().map(|(_, event)| event.position).collect()
}

/// Ticks until the relay has the lease: the one that crashed keeps it for seconds.
async fn tick_once_leased(service: &OrderService, relay: &Relay) -> Relayed {
    testkit::eventually("the lease has been taken over", async || {
        service.clock.advance(Duration::from_secs(1));
        Some(relay.tick().await.unwrap()).filter(|relayed| *relayed != Relayed::Standby)
    })
    .await
}

async fn crash_at(service: &OrderService, broker: &Broker, failpoint: Failpoint) {
    let transport = broker.transport("order.crashing");
    service
        .crash_at(failpoint, async |service| {
            relay(&service.context, transport).tick().await.unwrap();
        })
        .await;
}

async fn events_are_published_once_in_order_with_their_orders(service: OrderService) {
    let broker = Broker::new(service.clock.clone());
    let relay = relay(&service.context, broker.transport("order.1"));
    assert_eq!(relay.tick().await, Ok(Relayed::Published(0)));
    let placed = service.order(&[("MUG", 1)]).await;
    let cancelled = service.cancel(placed.id).await.unwrap();
    assert_eq!(relay.tick().await, Ok(Relayed::Published(2)));
    assert_eq!(relay.tick().await, Ok(Relayed::Published(0)));
    let arrived = broker.arrived().await;
    assert_eq!(positions(&arrived), [1, 2]);
    assert_eq!(arrived[0].1.order, placed);
    assert_eq!(arrived[1].1.order, cancelled);
    assert_eq!(service.count("order_events WHERE published_at IS NULL").await, 0);
}

async fn one_trace_follows_an_order_from_placing_to_its_end(service: OrderService) {
    let broker = Broker::new(service.clock.clone());
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let mut sent = service.command(keyed("k1", &[("MUG", 1)]));
    sent.0.message.set_header(header::TRACEPARENT, traceparent.into());
    service.backends.state().inventory = Mood::Away;
    let order = answer_of(service.deliver(&[sent]).await.remove(0)).unwrap().order.unwrap();
    service.backends.state().inventory = Mood::Answers;
    service.retry_until_settled(order.id).await;
    relay(&service.context, broker.transport("order.1")).tick().await.unwrap();
    let messages = broker.messages().await;
    let traces: Vec<_> = messages.iter().map(|message| message.header_text(header::TRACEPARENT)).collect();
    assert_eq!(traces, [Some(traceparent); 2]);
}

async fn a_crash_after_publishing_repeats_the_same_messages(service: OrderService) {
    let broker = Broker::new(service.clock.clone());
    orders(&service, 3).await;
    crash_at(&service, &broker, Failpoint::AfterPublishBeforeMark).await;
    let first = broker.arrived().await;
    assert_eq!(positions(&first), [1, 2, 3]);
    let relay = relay(&service.context, broker.transport("order.2"));
    assert_eq!(tick_once_leased(&service, &relay).await, Relayed::Published(3));
    assert_eq!(broker.arrived().await, first);
}

async fn a_crash_before_publishing_loses_nothing(service: OrderService) {
    let broker = Broker::new(service.clock.clone());
    orders(&service, 3).await;
    crash_at(&service, &broker, Failpoint::AfterNumberingBeforePublish).await;
    assert_eq!(broker.arrived().await, []);
    let relay = relay(&service.context, broker.transport("order.2"));
    assert_eq!(tick_once_leased(&service, &relay).await, Relayed::Published(3));
    assert_eq!(positions(&broker.arrived().await), [1, 2, 3]);
}

async fn only_a_contiguous_prefix_is_marked(service: OrderService) {
    let broker = Broker::new(service.clock.clone());
    let relay = relay(&service.context, broker.transport("order.1"));
    orders(&service, 5).await;
    broker.confirm_only(2);
    assert!(matches!(relay.tick().await, Err(RelayError::Publish(_))));
    assert_eq!(service.count("order_events WHERE published_at IS NULL").await, 3);
    assert_eq!(relay.tick().await, Ok(Relayed::Published(3)));
    assert_eq!(positions(&broker.arrived().await), [1, 2, 3, 4, 5, 3, 4, 5]);
}

async fn one_relay_works_and_another_takes_over(service: OrderService) {
    let broker = Broker::new(service.clock.clone());
    let first = relay(&service.context, broker.transport("order.1"));
    let second = relay(&service.another_copy().await.context, broker.transport("order.2"));
    assert_eq!(first.tick().await, Ok(Relayed::Published(0)));
    orders(&service, 2).await;
    assert_eq!(second.tick().await, Ok(Relayed::Standby));
    assert_eq!(first.tick().await, Ok(Relayed::Published(2)));
    first.lease.release().await.unwrap();
    assert_eq!(second.tick().await, Ok(Relayed::Published(0)), "a lease given up is free at once");
    assert_eq!(first.tick().await, Ok(Relayed::Standby));
}

async fn a_copy_that_cannot_publish_leaves_it_to_another(service: OrderService) {
    let (unwell, broker) = (Broker::new(service.clock.clone()), Broker::new(service.clock.clone()));
    let first = relay(&service.context, unwell.transport("order.1"));
    let second = relay(&service.another_copy().await.context, broker.transport("order.2"));
    assert_eq!(first.tick().await, Ok(Relayed::Published(0)));
    orders(&service, 2).await;
    unwell.confirm_only(0);
    assert!(matches!(first.tick().await, Err(RelayError::Publish(_))));
    assert_eq!(second.tick().await, Ok(Relayed::Published(2)), "at once, by no clock");
    assert_eq!(positions(&broker.arrived().await), [1, 2]);
}

async fn numbering_from_several_copies_leaves_no_hole(service: OrderService) {
    let other = service.another_copy().await;
    let placing = (0..30).map(|n| {
        let service = if n % 2 == 0 { &service } else { &other };
        async move {
            service.place(keyed(&n.to_string(), &[("MUG", 1)])).await.unwrap();
            let replay = Replay {
                owner: OrderScope::Any,
                order_id: None,
                after: Some(ReplayFrom::Position(0)),
                limit: 500,
            };
            service.replay(&replay).await.unwrap()
        }
    });
    for page in futures::future::join_all(placing).await {
        let positions: Vec<i64> = page.events.iter().map(|event| event.position).collect();
        assert_eq!(positions, (1..=page.head).collect::<Vec<_>>());
        let orders: HashSet<_> = page.events.iter().map(|event| event.order_id).collect();
        assert_eq!(orders.len(), positions.len());
    }
    assert_eq!(service.count("order_events WHERE position BETWEEN 1 AND 30").await, 30);
}

async fn the_runner_publishes_what_is_committed_and_gives_up_its_lease(service: OrderService) {
    let broker = Broker::new(service.clock.clone());
    let (stop, committed) = (CancellationToken::new(), service.context.committed.clone());
    let running = tokio::spawn({
        let (relay, stop) = (relay(&service.context, broker.transport("order.1")), stop.clone());
        async move { relay.run(&committed, &Heartbeat::new(), &stop).await }
    });
    orders(&service, 3).await;
    testkit::eventually("everything is published", async || {
        service.count("order_events WHERE published_at IS NULL").await == 0
    })
    .await;
    stop.cancel();
    running.await.unwrap();
    assert_eq!(positions(&broker.arrived().await), [1, 2, 3]);
    let successor = relay(&service.context, broker.transport("order.2"));
    assert_eq!(successor.tick().await, Ok(Relayed::Published(0)));
}
