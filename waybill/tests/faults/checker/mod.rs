//! Gathers what a fault left, from outside: the tables, the API, the queues, and what clients recorded. The audit's judge
//! then finds what is broken ([`waybill::audit::check`]).

mod quiescence;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::Result;
use bus::dead_letters::{self, Selection};
use bus::transport::SharedTransport;
use schema::ids::OrderId;
use schema::order::OrderStatus;
use serde::Deserialize;
use serde_json::json;
use waybill::audit::{ChangeRecord, Facts, Invariant, PlacementRecord, SubscriberRecord, Violation, check};

use crate::cluster::Cluster;
use crate::load::{Api, CUSTOMERS, Change, ClientLog, Entry, Subscriber};

pub(crate) use quiescence::{
    assert_promises_kept, assert_promises_kept_with, facts_at_rest, lasting_violations,
};

/// Observes one cluster after its load has stopped.
struct Observer<'a> {
    cluster: &'a Cluster,
    bus: Option<SharedTransport>,
    log: Arc<ClientLog>,
    subscribers: Vec<Subscriber>,
    poison: Vec<String>,
}

impl<'a> Observer<'a> {
    async fn new(
        cluster: &'a Cluster,
        log: Arc<ClientLog>,
        subscribers: Vec<Subscriber>,
        poison: Vec<String>,
    ) -> Result<Self> {
        let bus = if cluster.is_distributed() { Some(cluster.bus().await?) } else { None };
        Ok(Self { cluster, bus, log, subscribers, poison })
    }

    /// The facts now and what they break. A system that can't be observed is not at rest.
    async fn observe(&self) -> (Vec<Violation>, Facts) {
        let observed = async {
            let mut facts = self.facts().await?;
            let mut violations = check(&facts);
            if violations.iter().all(|violation| violation.invariant != Invariant::Rest) {
                facts.listed = Some(self.listed().await?);
                violations = check(&facts);
            }
            anyhow::Ok((violations, facts))
        };
        observed.await.unwrap_or_else(|error| {
            let violation =
                Violation::new(Invariant::Rest, format!("the system can't be observed: {error:#}"));
            (vec![violation], Facts::default())
        })
    }

    /// Everything but what the API lists, which is read once the system is at rest.
    async fn facts(&self) -> Result<Facts> {
        let depths = self.depths().await?;
        self.cluster.tables.check_rows_by_product().await?;
        let stored = self.cluster.tables.facts().await?;
        let changes = self.log.changes();
        Ok(Facts {
            recorded_events: self.cluster.recorded_events(),
            placements: self.log.entries().iter().map(placement).collect(),
            changes: changes.iter().map(change).collect(),
            answered_versions: self.log.answered_versions(),
            subscribers: self.subscribers.iter().enumerate().map(subscriber).collect(),
            dead_letters: self.dead_letters(&depths).await?,
            queues: depths.into_iter().filter(|(queue, _)| !queue.ends_with(".dead")).collect(),
            poison: self.poison.clone(),
            ..stored
        })
    }

    /// How many messages each queue holds.
    async fn depths(&self) -> Result<Vec<(String, u64)>> {
        let mut depths = Vec::new();
        match &self.bus {
            Some(bus) => {
                for queue in bus.topology().queues() {
                    let depth = bus.depth(&queue.name).await?;
                    depths.push((queue.name, depth.map_or(0, |depth| depth.ready)));
                }
            }
            // The running process locks its file.
            None => {
                for line in self.cluster.programs[0].metrics().await?.lines() {
                    depths.extend(embedded_depth(line));
                }
            }
        }
        Ok(depths)
    }

    /// The ids of the dead letters; stand-ins for those of the embedded broker.
    async fn dead_letters(&self, depths: &[(String, u64)]) -> Result<Vec<String>> {
        if let Some(bus) = &self.bus {
            let letters = dead_letters::list(bus, &Selection::All).await?;
            return Ok(letters.into_iter().map(|letter| letter.id).collect());
        }
        let dead = depths.iter().filter(|(queue, _)| queue.ends_with(".dead"));
        Ok(dead.flat_map(|(queue, count)| (0..*count).map(move |at| format!("{queue} {at}"))).collect())
    }

    /// Status and version of every order that the API lists.
    async fn listed(&self) -> Result<BTreeMap<OrderId, (OrderStatus, u32)>> {
        let mut listed = BTreeMap::new();
        for customer in CUSTOMERS {
            list(&self.cluster.api(customer)?, &mut listed).await?;
        }
        Ok(listed)
    }
}

/// Reads `waybill_broker_ready_messages{queue="..."} 0`, and what is unsettled as if it were a queue.
fn embedded_depth(line: &str) -> Option<(String, u64)> {
    let (name, value) = line.rsplit_once(' ')?;
    let queue = match name.strip_prefix("waybill_broker_ready_messages{queue=\"") {
        Some(rest) => rest.strip_suffix("\"}")?,
        None => (name == "waybill_broker_unsettled_messages").then_some(name)?,
    };
    Some((queue.to_owned(), value.parse().ok()?))
}

async fn list(api: &Api, listed: &mut BTreeMap<OrderId, (OrderStatus, u32)>) -> Result<()> {
    #[derive(Deserialize)]
    struct Node {
        id: OrderId,
        status: OrderStatus,
        version: u32,
    }
    let document = "query ($after: String) { orders(first: 100, after: $after) {
        nodes { id status version } pageInfo { hasNextPage endCursor } } }";
    let mut after = serde_json::Value::Null;
    loop {
        let data = api.query(document, json!({ "after": after })).await?;
        let page = &data["orders"];
        let nodes: Vec<Node> = serde_json::from_value(page["nodes"].clone())?;
        listed.extend(nodes.into_iter().map(|node| (node.id, (node.status, node.version))));
        if page["pageInfo"]["hasNextPage"] != json!(true) {
            return Ok(());
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
}

fn placement(entry: &Entry) -> PlacementRecord {
    let customer_id = entry.customer_id.parse().expect("a customer's id");
    PlacementRecord {
        order_id: OrderId::for_idempotency_key(&customer_id, &entry.idempotency_key),
        outcome: entry.outcome(),
        was_unknown: entry.was_unknown(),
        answered: entry.order_ids(),
        fingerprints: BTreeSet::new(),
    }
}

fn change(change: &Change) -> ChangeRecord {
    ChangeRecord { order_id: change.order_id, effect: change.effect, outcome: change.answer.outcome }
}

fn subscriber((index, subscriber): (usize, &Subscriber)) -> SubscriberRecord {
    let notes = subscriber.notes();
    SubscriberRecord {
        name: format!("subscriber {index} ({} connections)", notes.connections),
        scope: subscriber.scope.clone(),
        after: subscriber.after,
        received: notes.received,
        errors: notes.errors,
    }
}
