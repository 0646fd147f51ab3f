//! The data of the services in memory, and their answers to requests.

use schema::cursor::{OrderCursor, UpdateCursor};
use schema::customer::Customer;
use schema::domain_error::{DomainError, DomainErrorCode, DomainResult};
use schema::ids::{CustomerId, OrderId, ProductId, line_item_id};
use schema::inventory_messages::{ListProducts, ProductPage};
use schema::money::{Currency, Money};
use schema::order::{LineItem, Order, OrderStatus};
use schema::order_events::{EventKind, OrderEvent};
use schema::order_messages::request_fingerprint;
use schema::order_messages::{
    Change, CreateOrder, FoundOrder, HistoryEntry, Item, ListOrders, OrderCreated, OrderLookup, OrderPage,
    OrderRef, Replay, ReplayFrom, Replayed,
};
use schema::pattern::*;
use schema::product::Product;
use schema::time::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

#[derive(Default)]
pub(crate) struct ServiceData {
    pub(crate) orders: BTreeMap<OrderId, Order>,
    pub(crate) customers: BTreeMap<CustomerId, Customer>,
    pub(crate) products: BTreeMap<ProductId, Product>,
    /// Positions are indexes plus one.
    pub(crate) events: Vec<OrderEvent>,
    /// How many orders fit one answer to `order.list`.
    pub(crate) page_fits: Option<usize>,
}

impl ServiceData {
    /// Two customers, twenty products.
    pub(crate) fn stocked() -> Self {
        let mut stored = Self::default();
        for id in ["CUST01", "CUST02"] {
            let customer = Customer {
                id: id.parse().unwrap(),
                name: format!("Name of {id}"),
                email: format!("{id}@example.com"),
                phone: None,
                shipping_address: format!("1 {id} Street"),
            };
            stored.customers.insert(customer.id.clone(), customer);
        }
        for number in 1..=20 {
            let product = Product {
                id: format!("PROD{number:02}").parse().unwrap(),
                name: format!("Product {number}"),
                description: "A product".into(),
                unit_price: Money { amount_minor: 1_450, currency: Currency::USD },
                available_quantity: 100,
                created_at: "2026-01-01T00:00:00.000Z".parse().unwrap(),
                updated_at: "2026-01-01T00:00:00.000Z".parse().unwrap(),
            };
            stored.products.insert(product.id.clone(), product);
        }
        stored
    }

    pub(crate) fn placement(customer_id: &str, product_id: &str) -> CreateOrder {
        CreateOrder {
            order_id: OrderId(Uuid::now_v7()),
            customer_id: customer_id.parse().unwrap(),
            items: vec![Item { product_id: product_id.parse().unwrap(), quantity: 2 }],
            shipping_address: None,
            idempotency_key: None,
            placed_at: "2026-11-23T19:10:51.371Z".parse().unwrap(),
        }
    }

    /// Stores an order at once as PROCESSING, unless there is one of this id.
    pub(crate) fn place(&mut self, placement: &CreateOrder) -> DomainResult<OrderCreated> {
        let fingerprint = request_fingerprint(&placement.items, placement.shipping_address.as_deref());
        if let Some(order) = self.orders.get(&placement.order_id) {
            if order.fingerprint != fingerprint {
                let refused =
                    DomainError::new(DomainErrorCode::IdempotencyKeyReused, "used with another input");
                return DomainResult::Refused { refused };
            }
            return DomainResult::Done(OrderCreated { order: Some(order.clone()), replayed: true });
        }
        if self.events.iter().any(|event| event.order_id == placement.order_id) {
            return DomainResult::Done(OrderCreated { order: None, replayed: true });
        }
        let unit_price = Money { amount_minor: 1_450, currency: Currency::USD };
        let line_items: Vec<LineItem> = placement
            .items
            .iter()
            .map(|item| LineItem {
                id: line_item_id(placement.order_id, &item.product_id),
                product_id: item.product_id.clone(),
                product_name: Some("As ordered".into()),
                quantity: item.quantity,
                unit_price: Some(unit_price),
            })
            .collect();
        let prices = line_items.iter().filter_map(|line| line.unit_price?.times(line.quantity));
        let order = Order {
            id: placement.order_id,
            customer_id: placement.customer_id.clone(),
            status: OrderStatus::Processing,
            version: 1,
            fingerprint,
            total_amount: Money::sum(Currency::USD, prices),
            line_items,
            shipping_address: placement.shipping_address.clone().or(Some("1 Harbour Street".into())),
            tracking_company: None,
            tracking_number: None,
            rejection: None,
            created_at: self.later(placement.placed_at),
            updated_at: placement.placed_at,
        };
        self.record(EventKind::Created, &order, None);
        self.orders.insert(order.id, order.clone());
        DomainResult::Done(OrderCreated { order: Some(order), replayed: false })
    }

    /// Changes an order, as another client would; returns its event.
    pub(crate) fn change(&mut self, id: OrderId, change: impl FnOnce(&mut Order)) -> Arc<OrderEvent> {
        let order = self.orders.get_mut(&id).unwrap();
        let before = order.status;
        change(order);
        order.version += 1;
        let order = order.clone();
        let moved = (before != order.status).then_some(before);
        let kind = if moved.is_some() { EventKind::StatusChanged } else { EventKind::DetailsChanged };
        self.record(kind, &order, moved)
    }

    pub(crate) fn delete(&mut self, id: OrderId) -> Option<Order> {
        let mut order = self.orders.remove(&id)?;
        order.version += 1;
        self.record(EventKind::Deleted, &order, None);
        Some(order)
    }

    /// The answer to one item of a request.
    pub(crate) fn answer(&mut self, pattern: &str, question: &Value) -> Value {
        match pattern {
            CUSTOMER_GET => to_value(&self.customers.get(&read::<CustomerId>(question))),
            INVENTORY_GET => to_value(&self.products.get(&read::<ProductId>(question))),
            INVENTORY_LIST => to_value(&self.list_products(read(question))),
            ORDER_GET => to_value(&self.look_up(&read(question))),
            ORDER_LIST => to_value(&self.list_orders(&read(question))),
            ORDER_HISTORY => to_value(&self.history(&read(question))),
            ORDER_REPLAY => to_value(&self.replay(read(question))),
            ORDER_UPDATE => to_value(&self.update(read(question), |order, change| {
                order.status = change.changes.status.unwrap_or(order.status);
                order.shipping_address = change.changes.shipping_address.or(order.shipping_address.take());
                order.tracking_company = change.changes.tracking_company.or(order.tracking_company.take());
                order.tracking_number = change.changes.tracking_number.or(order.tracking_number.take());
            })),
            ORDER_CANCEL => {
                to_value(&self.update(read(question), |order, _| order.status = OrderStatus::Cancelled))
            }
            ORDER_DELETE => {
                let change: Change = read(question);
                let order = OrderRef { order_id: change.order_id, owner: change.owner };
                let found = self.find(&order).map(|order| order.id);
                to_value(&done_or_not_found(found.and_then(|id| self.delete(id))))
            }
            other => panic!("unexpected pattern {other}"),
        }
    }

    fn look_up(&self, lookup: &OrderLookup) -> Option<FoundOrder> {
        let found = |order: &Order, deleted| FoundOrder { order: order.clone(), created_by: None, deleted };
        if let Some(order) = self.find(&lookup.order) {
            return Some(found(order, false));
        }
        let is_its = |event: &&OrderEvent| event.order_id == lookup.order.order_id;
        let last = self.events.iter().rfind(is_its).filter(|_| lookup.creation)?;
        lookup.order.owner.includes(&last.customer_id).then(|| found(&last.order, true))
    }

    fn find(&self, order: &OrderRef) -> Option<&Order> {
        self.orders.get(&order.order_id).filter(|found| order.owner.includes(&found.customer_id))
    }

    fn update(&mut self, change: Change, apply: impl FnOnce(&mut Order, Change)) -> DomainResult<Order> {
        let order = OrderRef { order_id: change.order_id, owner: change.owner.clone() };
        let Some(id) = self.find(&order).map(|order| order.id) else { return done_or_not_found(None) };
        let event = self.change(id, |order| apply(order, change));
        DomainResult::Done(event.order.clone())
    }

    fn list_orders(&self, question: &ListOrders) -> DomainResult<OrderPage> {
        let bounds = question.bounds().unwrap();
        let place = |cursor: &Option<OrderCursor>| cursor.as_ref().map(|c| (c.created_at, c.order_id));
        let (after, before) = (place(&bounds.after), place(&bounds.before));
        let mut rows: Vec<Order> = self
            .orders
            .values()
            .filter(|order| question.owner.includes(&order.customer_id))
            .filter(|order| question.filter.includes(order))
            .filter(|order| after.is_none_or(|after| (order.created_at, order.id) < after))
            .filter(|order| before.is_none_or(|before| (order.created_at, order.id) > before))
            .cloned()
            .collect();
        rows.sort_by_key(|order| std::cmp::Reverse((order.created_at, order.id)));
        if !bounds.reads_forwards() {
            rows.reverse();
        }
        let mut page = bounds.cut(rows);
        if let Some(cut) =
            self.page_fits.and_then(|fits| page.rows.len().checked_sub(fits)).filter(|&cut| cut > 0)
        {
            if bounds.reads_forwards() {
                page.rows.truncate(page.rows.len() - cut);
                page.has_next_page = true;
            } else {
                page.rows.drain(..cut);
                page.has_previous_page = true;
            }
        }
        DomainResult::Done(OrderPage {
            orders: page.rows,
            has_next_page: page.has_next_page,
            has_previous_page: page.has_previous_page,
        })
    }

    fn list_products(&self, question: ListProducts) -> ProductPage {
        let matching = |product: &&Product| {
            question
                .search
                .as_ref()
                .is_none_or(|search| product.name.to_lowercase().contains(&search.to_lowercase()))
        };
        let bounds = question.bounds().unwrap();
        let after = bounds.after.as_ref().map(|cursor| &cursor.product_id);
        let before = bounds.before.as_ref().map(|cursor| &cursor.product_id);
        let mut rows: Vec<Product> = self
            .products
            .values()
            .filter(matching)
            .filter(|product| after.is_none_or(|after| product.id > *after))
            .filter(|product| before.is_none_or(|before| product.id < *before))
            .cloned()
            .collect();
        if !bounds.reads_forwards() {
            rows.reverse();
        }
        let page = bounds.cut(rows);
        ProductPage {
            products: page.rows,
            has_next_page: page.has_next_page,
            has_previous_page: page.has_previous_page,
        }
    }

    fn history(&self, order: &OrderRef) -> Vec<HistoryEntry> {
        let events = self.events.iter().filter(|event| event.order_id == order.order_id);
        events
            .map(|event| HistoryEntry {
                kind: event.kind,
                version: event.version,
                status: event.order.status,
                previous_status: event.previous_status,
                occurred_at: event.occurred_at,
            })
            .collect()
    }

    fn replay(&self, question: Replay) -> DomainResult<Replayed> {
        let head = self.events.len() as i64;
        let after = match &question.after {
            None => head,
            Some(ReplayFrom::Position(position)) => *position,
            Some(ReplayFrom::Cursor(cursor)) => match self.position_of(cursor, &question) {
                Some(position) => position,
                None => {
                    let refused = DomainError::new(DomainErrorCode::CursorInvalid, "not yours");
                    return DomainResult::Refused { refused };
                }
            },
        };
        let wanted = |event: &&OrderEvent| {
            question.owner.includes(&event.customer_id)
                && question.order_id.is_none_or(|id| id == event.order_id)
        };
        let following = self.events.iter().filter(|event| event.position > after);
        let events: Vec<OrderEvent> =
            following.filter(wanted).take(question.limit as usize).cloned().collect();
        let full = events.len() == question.limit as usize;
        let next = if full { events.last().map_or(head, |event| event.position) } else { head };
        DomainResult::Done(Replayed { events, next, head })
    }

    fn position_of(&self, cursor: &str, question: &Replay) -> Option<i64> {
        let cursor = UpdateCursor::decode(cursor).ok()?;
        let of_order = self.events.iter().filter(|event| event.order_id == cursor.order_id);
        let own = of_order.filter(|event| question.owner.includes(&event.customer_id));
        let mut own = own.peekable();
        let first = own.peek()?.position;
        Some(own.find(|event| event.version == cursor.version).map_or(first - 1, |event| event.position))
    }

    fn record(
        &mut self,
        kind: EventKind,
        order: &Order,
        previous_status: Option<OrderStatus>,
    ) -> Arc<OrderEvent> {
        let event = OrderEvent {
            position: self.events.len() as i64 + 1,
            kind,
            order_id: order.id,
            customer_id: order.customer_id.clone(),
            version: order.version,
            previous_status,
            occurred_at: order.updated_at,
            order: order.clone(),
        };
        self.events.push(event.clone());
        Arc::new(event)
    }

    fn later(&self, time: Timestamp) -> Timestamp {
        time.plus(std::time::Duration::from_millis(self.events.len() as u64))
    }
}

fn done_or_not_found(order: Option<Order>) -> DomainResult<Order> {
    match order {
        Some(order) => DomainResult::Done(order),
        None => DomainResult::Refused {
            refused: DomainError::new(DomainErrorCode::OrderNotFound, "there is no such order"),
        },
    }
}

fn read<T: DeserializeOwned>(question: &Value) -> T {
    serde_json::from_value(question.clone()).unwrap()
}

fn to_value(answer: &impl Serialize) -> Value {
    serde_json::to_value(answer).unwrap()
}
