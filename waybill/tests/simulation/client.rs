//! What clients ask for, and what they are answered.

use bus::clock::Deadline;
use bus::envelope;
use bus::message::Message;
use bus::rpc_client::{RpcClient, request};
use rand::RngExt as _;
use rand::rngs::StdRng;
use schema::domain_error::DomainResult;
use schema::ids::OrderId;
use schema::order::{Order, OrderStatus};
use schema::order_messages::request_fingerprint;
use schema::order_messages::{Change, Changes, CreateOrder, Item, OrderScope};
use schema::pattern::{ORDER_CANCEL, ORDER_CREATE, ORDER_DELETE, ORDER_UPDATE};
use schema::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use uuid::Uuid;
use waybill::audit::OrderVersion;

use crate::ordered_link::CUSTOMERS;
use crate::template::STOCK;

/// Everything that was asked for and answered.
#[derive(Default)]
pub(crate) struct Client {
    /// Accepted orders, with the fingerprints of all inputs that were accepted under their id.
    pub(crate) accepted: BTreeMap<OrderId, BTreeSet<String>>,
    /// What the answers to changes said of their orders.
    pub(crate) answered: Vec<OrderVersion>,
    /// Changes that were asked for, each with its first answer, if one came.
    asked: Vec<(&'static str, Change, Option<DomainResult<Order>>)>,
}

pub(crate) fn draw_id(rng: &mut StdRng) -> Uuid {
    uuid::Builder::from_random_bytes(rng.random()).into_uuid()
}

impl Client {
    /// A command to place an order: often under a key that was used before, with the same input or another.
    pub(crate) fn places(&mut self, rng: &mut StdRng, now: Timestamp) -> Message {
        let customer_id = CUSTOMERS[rng.random_range(0..20) * 3 / 20].parse().unwrap();
        let key = format!("key {}", rng.random_range(0..25));
        let keyed = rng.random_bool(0.5);
        let order_id =
            if keyed { OrderId::for_idempotency_key(&customer_id, &key) } else { OrderId(draw_id(rng)) };
        // Under one key mostly the same input comes again.
        let spread = if keyed && rng.random_bool(0.8) { 1 } else { 3 };
        let mut products: Vec<&str> = STOCK.iter().map(|(product, _)| *product).collect();
        if rng.random_bool(0.05) {
            products[0] = "NO SUCH PRODUCT";
        }
        let items = (0..rng.random_range(1..=spread)).map(|index| {
            let product = if keyed { index } else { (index + rng.random_range(0..2)) % products.len() };
            Item { product_id: products[product].parse().unwrap(), quantity: 1 + index as u32 % 2 }
        });
        let mut items: Vec<Item> = items.collect();
        items.sort_by(|a, b| a.product_id.cmp(&b.product_id));
        items.dedup_by(|a, b| a.product_id == b.product_id);
        self.accepted.entry(order_id).or_default().insert(request_fingerprint(&items, None));
        let placement = CreateOrder {
            order_id,
            customer_id,
            items,
            shipping_address: None,
            idempotency_key: keyed.then_some(key),
            placed_at: now,
        };
        Message {
            body: envelope::write(ORDER_CREATE, &placement, None),
            message_id: Some(draw_id(rng).to_string()),
            kind: Some(ORDER_CREATE.to_owned()),
            persistent: true,
            ..Message::default()
        }
    }

    /// A change to ask for: often one that was asked for before, under the same request id, however long ago.
    pub(crate) fn change(&mut self, rng: &mut StdRng) -> Option<usize> {
        if !self.asked.is_empty() && rng.random_bool(0.3) {
            return Some(rng.random_range(0..self.asked.len()));
        }
        let (pattern, change) = self.fresh_change(rng)?;
        self.asked.push((pattern, change, None));
        Some(self.asked.len() - 1)
    }

    /// A change to an order that was asked for, under a request id of its own.
    fn fresh_change(&self, rng: &mut StdRng) -> Option<(&'static str, Change)> {
        let index = rng.random_range(0..self.accepted.len().max(1));
        let order_id = *self.accepted.keys().nth(index)?;
        let mut changes = Changes::default();
        let pattern = match rng.random_range(0..10) {
            0..2 => ORDER_CANCEL,
            2 => ORDER_DELETE,
            3..7 => {
                changes.status = Some(OrderStatus::Shipped);
                changes.tracking_company = Some("Parcel Post".to_owned());
                changes.tracking_number = Some(format!("PP {}", rng.random_range(0..3)));
                ORDER_UPDATE
            }
            7 => {
                changes.shipping_address = Some(format!("{} Mill Lane", rng.random_range(1..4)));
                ORDER_UPDATE
            }
            _ => {
                changes.status = Some(OrderStatus::Delivered);
                ORDER_UPDATE
            }
        };
        let expected_version = rng.random_bool(0.3).then(|| rng.random_range(1..4));
        let request_id = draw_id(rng);
        Some((pattern, Change { request_id, order_id, owner: OrderScope::Any, changes, expected_version }))
    }

    /// Asks for the change, and keeps its answer: it is the same each time.
    pub(crate) async fn ask_for(&mut self, rpc: &dyn RpcClient, index: usize) {
        let (pattern, change, first) = &mut self.asked[index];
        let deadline = Deadline::after(Duration::from_secs(60));
        let answers: Result<Vec<DomainResult<Order>>, _> =
            request(rpc, pattern, std::slice::from_ref(change), deadline).await;
        let Some(answer) = answers.ok().and_then(|mut answers| answers.pop()) else { return };
        if let DomainResult::Done(order) = &answer {
            self.answered.push(OrderVersion {
                order_id: order.id,
                version: order.version,
                status: order.status,
            });
        }
        let first = first.get_or_insert_with(|| answer.clone());
        assert_eq!(*first, answer, "one request was answered differently: {pattern} {change:?}");
    }
}
