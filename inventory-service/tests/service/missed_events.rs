use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bus::clock::Deadline;
use bus::rpc_client::{RequestError, RpcClient};
use inventory_service::missed_events::{ApplyMissedEvents, Compared};
use schema::domain_error::DomainResult;
use schema::order::OrderStatus::{Cancelled, Pending, Processing, Shipped};
use schema::order_events::OrderEvent;
use schema::order_messages::{Replay, ReplayFrom, Replayed};
use schema::pattern::ORDER_REPLAY;
use serde_json::value::{RawValue, to_raw_value};

use crate::kit::{InventoryService, event, fresh_order, on_each_database, reserve};

const ITEMS: &[(&str, u32)] = &[("MUG", 2)];

/// An order-service with these events.
#[derive(Default)]
struct Orders(Mutex<Vec<OrderEvent>>);

impl Orders {
    fn add(&self, mut event: OrderEvent) -> OrderEvent {
        let mut events = self.0.lock().unwrap();
        event.position = events.len() as i64 + 1;
        events.push(event.clone());
        event
    }
}

#[async_trait]
impl RpcClient for Orders {
    async fn call(
        &self,
        pattern: &str,
        data: Box<RawValue>,
        _: Deadline,
    ) -> Result<Box<RawValue>, RequestError> {
        assert_eq!(pattern, ORDER_REPLAY);
        let replays: Vec<Replay> = serde_json::from_str(data.get()).unwrap();
        let stored = self.0.lock().unwrap();
        let head = stored.len() as i64;
        let answer = |replay: &Replay| {
            let after = match replay.after {
                Some(ReplayFrom::Position(position)) => position,
                _ => head,
            };
            let following = stored.iter().filter(|event| event.position > after);
            // Two at a time, so that there is more than one page.
            let events: Vec<OrderEvent> = following.take(replay.limit.min(2) as usize).cloned().collect();
            let next = events.last().map_or(after.min(head), |event| event.position);
            DomainResult::Done(Replayed { events, next, head })
        };
        Ok(to_raw_value(&replays.iter().map(answer).collect::<Vec<_>>()).unwrap())
    }
}

fn comparing(service: &InventoryService, orders: &Arc<Orders>) -> ApplyMissedEvents {
    ApplyMissedEvents {
        inventory: service.inventory.clone(),
        rpc: orders.clone(),
        timeout: testkit::WAIT_LIMIT,
        aged: 0,
    }
}

/// Ticks until nothing is left that is old enough; returns what was missed.
async fn compare(comparing: &mut ApplyMissedEvents) -> usize {
    let mut all = 0;
    loop {
        let Compared { missed, more } = comparing.tick().await.unwrap();
        all += missed;
        if !more {
            return all;
        }
    }
}

#[tokio::test]
async fn events_that_never_came_are_applied_once_they_should_have() {
    on_each_database(async |service| {
        service.stock("MUG", 10).await;
        let orders = Arc::<Orders>::default();
        let mut comparing = comparing(&service, &orders);
        assert_eq!(compare(&mut comparing).await, 0, "it begins at the end");

        let [cancelled, shipped, sound, undecided] = [(); 4].map(|()| fresh_order());
        for order in [cancelled, shipped, sound] {
            service.reserve(reserve(order, 1, ITEMS)).await;
            service.tell(&[orders.add(event(order, 1, Processing, ITEMS))]).await;
        }
        orders.add(event(undecided, 1, Pending, ITEMS));
        assert_eq!(service.available("MUG").await, 4);
        // These are lost with their queue.
        orders.add(event(cancelled, 2, Cancelled, ITEMS));
        orders.add(event(shipped, 2, Shipped, ITEMS));

        assert_eq!(compare(&mut comparing).await, 0, "they may still be on their way");
        assert_eq!(service.available("MUG").await, 4);
        assert_eq!(compare(&mut comparing).await, 2);
        assert_eq!(service.available("MUG").await, 6);
        assert_eq!(compare(&mut comparing).await, 0);
        service.assert_ledger_adds_up().await;
    })
    .await;
}

#[tokio::test]
async fn another_copy_and_the_next_start_go_on_from_there() {
    on_each_database(async |service| {
        service.stock("MUG", 10).await;
        let orders = Arc::<Orders>::default();
        compare(&mut comparing(&service, &orders)).await;
        let order = fresh_order();
        service.reserve(reserve(order, 1, ITEMS)).await;
        service.tell(&[orders.add(event(order, 1, Processing, ITEMS))]).await;
        // The service is away, and its queue is deleted with this in it.
        orders.add(event(order, 2, Cancelled, ITEMS));
        let mut copies = [comparing(&service, &orders), comparing(&service, &orders)];
        for copy in &mut copies {
            assert_eq!(compare(copy).await, 0);
        }
        let [first, second] = &mut copies;
        assert_eq!((compare(first).await, compare(second).await), (1, 0));
        assert_eq!(service.available("MUG").await, 10);

        // A database of orders that was restored from a backup has fewer events.
        orders.0.lock().unwrap().clear();
        compare(first).await;
        let order = fresh_order();
        service.reserve(reserve(order, 1, ITEMS)).await;
        orders.add(event(order, 1, Cancelled, ITEMS));
        compare(first).await;
        assert_eq!(compare(first).await, 1);
        assert_eq!(service.available("MUG").await, 10);
    })
    .await;
}
