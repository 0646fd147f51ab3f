use schema::ids::{CustomerId, OrderId};
use schema::order::{Order, OrderStatus};
use schema::order_events::{EventKind, OrderEvent};
use schema::order_messages::request_fingerprint;
use std::sync::Arc;

/// The creation of a customer's only order.
pub(super) fn event(position: i64, customer: &str) -> Arc<OrderEvent> {
    let customer_id: CustomerId = customer.parse().unwrap();
    let occurred_at = "2026-11-23T19:10:51.371Z".parse().unwrap();
    let order = Order {
        id: OrderId::for_idempotency_key(&customer_id, "the only one"),
        customer_id: customer_id.clone(),
        status: OrderStatus::Pending,
        version: 1,
        fingerprint: request_fingerprint(&[], None),
        line_items: Vec::new(),
        total_amount: None,
        shipping_address: None,
        tracking_company: None,
        tracking_number: None,
        rejection: None,
        created_at: occurred_at,
        updated_at: occurred_at,
    };
    Arc::new(OrderEvent {
        position,
        kind: EventKind::Created,
        order_id: order.id,
        customer_id,
        version: 1,
        previous_status: None,
        occurred_at,
        order,
    })
}
