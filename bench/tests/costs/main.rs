//! What one operation costs, in quantities that noise can't touch: messages that are published, SQL statements, and heap
//! allocations, of the whole system in this process on one thread. A change that costs more than the bounds has to say why,
//! and to renew them: the failure prints what was counted.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod connection;
mod counting_transport;
mod system;

use std::alloc::System as SystemAllocator;

use serde_json::{Value, json};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

use connection::Connection;
use system::System;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<SystemAllocator> = &INSTRUMENTED_SYSTEM;

/// Operations of a round; the counts of a round are divided by it.
const OPERATIONS: u64 = 20;
/// Loops in the background only add to a round, so that the smallest of several rounds is the operations' own.
const ROUNDS: usize = 8;

/// Quantities of one operation.
#[derive(Debug, Clone, Copy)]
struct Cost {
    messages: f64,
    statements: f64,
    allocations: f64,
}

const ORDER: &str = "query ($id: ID!) { order(id: $id) { id status version customerId \
    totalAmount { amount currencyCode } shippingAddress \
    lineItems { id productId productName quantity unitPrice { amount currencyCode } } createdAt updatedAt } }";
const ORDERS: &str = "{ orders(first: 20) { nodes { id status version totalAmount { amount currencyCode } \
    customer { id name email } \
    lineItems { id quantity product { id name description unitPrice { amount currencyCode } } } } \
    pageInfo { hasNextPage endCursor } } }";
const CREATE_ORDER: &str = "mutation { createOrder(input: { items: [{ productId: \"PROD01\", quantity: 1 }, \
    { productId: \"PROD02\", quantity: 1 }] }) { order { id status } userErrors { code message } } }";

#[tokio::test(flavor = "current_thread")]
async fn an_operation_costs_no_more_than_its_bounds() {
    let system = System::start().await;
    let mut connection = Connection::open(&system).await;
    let mut ids = Vec::new();
    for _ in 0..25 {
        let answer = connection.execute(CREATE_ORDER, &json!({})).await;
        let order = &answer["data"]["createOrder"]["order"];
        assert_eq!(order["status"], "PROCESSING", "{answer}");
        ids.push(order["id"].clone());
    }

    let order = (ORDER, json!({ "id": ids[0] }));
    let bounds = [
        ("order(id)", order, Cost { messages: 2.0, statements: 2.5, allocations: 600.0 }),
        (
            "orders(first: 20)",
            (ORDERS, json!({})),
            Cost { messages: 6.0, statements: 5.0, allocations: 5_400.0 },
        ),
        (
            "createOrder",
            (CREATE_ORDER, json!({})),
            Cost { messages: 7.5, statements: 23.0, allocations: 2_700.0 },
        ),
    ];
    let mut over = Vec::new();
    for (name, (document, variables), bound) in bounds {
        let cost = cost(&system, &mut connection, document, &variables).await;
        let fits = cost.messages <= bound.messages
            && cost.statements <= bound.statements
            && cost.allocations <= bound.allocations;
        if !fits {
            over.push(format!("{name} costs {cost:?}, and may cost {bound:?}"));
        }
    }
    assert!(over.is_empty(), "{over:#?}");
    system.stop().await;
}

async fn cost(system: &System, connection: &mut Connection, document: &str, variables: &Value) -> Cost {
    let counts = || {
        let allocations = u64::try_from(ALLOCATOR.stats().allocations).unwrap();
        [system.messages(), system.statements(), allocations]
    };
    let mut least = [u64::MAX; 3];
    for _ in 0..ROUNDS {
        let before = counts();
        for _ in 0..OPERATIONS {
            connection.execute_unread(document, variables).await;
        }
        for (least, (after, before)) in least.iter_mut().zip(counts().iter().zip(before)) {
            *least = (*least).min(after - before);
        }
    }
    let each = |count: u64| count as f64 / OPERATIONS as f64;
    Cost { messages: each(least[0]), statements: each(least[1]), allocations: each(least[2]) }
}
