//! A fixed set of orders and changes, decided one after the other, and their final state.

use anyhow::Result;
use serde_json::{Value, json};
use testkit::eventually;
use uuid::Uuid;
use waybill::audit::{Invariant, check};

use crate::cluster::{Cluster, ENDLESS, RARE, UNKNOWN, Whose};
use crate::load::{Api, Basket, BasketItem, CUSTOMERS, Outcome};

/// The final state of every order and product, a line each. The additional version of an order that was PENDING at
/// first is left out.
pub(super) type FinalState = Vec<String>;

const ORDERS: &str = "SELECT idempotency_key || ' ' || status || ' ' || (version - (SELECT count(*) FROM order_events e \
     WHERE e.order_id = o.id AND e.version = 1 AND e.status = 'PENDING')) || ' ' || coalesce(total_amount, 0) || ' ' || \
     coalesce(tracking_number, '-') || ' ' || (deleted_at IS NOT NULL) || ' ' || \
     coalesce(rejection::jsonb ->> 'code', '-') || ' ' || (SELECT string_agg(product_id || '*' || quantity || '@' || \
     coalesce(unit_price, 0), ',' ORDER BY product_id) FROM order_line_items l WHERE l.order_id = o.id) \
     FROM orders o WHERE NOT fenced ORDER BY idempotency_key";
const PRODUCTS: &str = "SELECT id || ' ' || on_hand || ' ' || reserved FROM products ORDER BY id";

/// Places `count` orders under the same keys as ever, each decided before the next, and changes them. The rare product
/// runs out on the way, and is there again when orders are cancelled.
pub(super) async fn run(cluster: &Cluster, count: usize) -> Result<FinalState> {
    let apis = [cluster.api(CUSTOMERS[0])?, cluster.api(CUSTOMERS[1])?];
    for step in 0..count {
        let api = &apis[step % apis.len()];
        let id = placed(api, &format!("script-{step:04}"), &basket(step)).await;
        decided(cluster, id).await;
        for (field, input) in changes(step, id) {
            changed(api, field, input).await;
        }
        if step % 15 == 13 {
            eventually("an order is deleted", async || api.delete_order(id).await).await;
        }
        // The next order is decided on stock that agrees with the earlier ones.
        stock_agrees(cluster).await;
    }
    final_state(cluster).await
}

pub(super) async fn final_state(cluster: &Cluster) -> Result<FinalState> {
    let mut lines = cluster.tables.texts(Whose::Orders, ORDERS).await?;
    lines.extend(cluster.tables.texts(Whose::Inventory, PRODUCTS).await?);
    Ok(lines)
}

fn basket(step: usize) -> Basket {
    let item = |product_id: &str, quantity: usize| BasketItem {
        product_id: product_id.to_owned(),
        quantity: i64::try_from(quantity).expect("a small number"),
    };
    let mut items = vec![item(ENDLESS[step % ENDLESS.len()], 1 + step % 4)];
    match step % 8 {
        1 | 4 => items.push(item(RARE, 30)),
        6 => items.push(item(UNKNOWN, 1)),
        _ => items.push(item(ENDLESS[(step + 1) % ENDLESS.len()], 2)),
    }
    Basket { items, shipping_address: step.is_multiple_of(3).then(|| format!("{step} Harbour Street")) }
}

fn changes(step: usize, id: Uuid) -> Vec<(&'static str, Value)> {
    let update = |mut input: Value| {
        input["id"] = json!(id);
        ("updateOrder", input)
    };
    let moved = |to: &str| update(json!({ "shippingAddress": to }));
    let tracking = step.to_string();
    let shipped =
        update(json!({ "status": "SHIPPED", "trackingCompany": "Carrier", "trackingNumber": tracking }));
    match step % 5 {
        0 => vec![shipped, update(json!({ "status": "DELIVERED" }))],
        1 => vec![moved("2 Quay"), shipped],
        2 => vec![("cancelOrder", json!({ "id": id }))],
        3 => vec![moved("3 Quay")],
        _ => Vec::new(),
    }
}

async fn placed(api: &Api, key: &str, basket: &Basket) -> Uuid {
    eventually("an order is accepted", async || match api.create_order(basket, Some(key), true).await {
        Outcome::Ok { order, .. } => Ok(order.order_id),
        outcome => Err(outcome),
    })
    .await
}

/// Requests a change until it is made or refused: a rejected order can't be changed.
async fn changed(api: &Api, field: &str, input: Value) {
    eventually("a change is answered", async || match api.change_order(field, input.clone()).await {
        Outcome::Ok { .. } | Outcome::Refused(_) => Ok(()),
        outcome => Err(outcome),
    })
    .await;
}

async fn decided(cluster: &Cluster, id: Uuid) {
    let sql = format!("SELECT status FROM orders WHERE id = '{id}' AND NOT fenced AND status <> 'PENDING'");
    eventually("an order is decided", async || {
        let decided = cluster.tables.texts(Whose::Orders, &sql).await?;
        anyhow::ensure!(!decided.is_empty(), "order {id} is PENDING");
        anyhow::Ok(())
    })
    .await;
}

async fn stock_agrees(cluster: &Cluster) {
    eventually("stock is where the orders call for it", async || {
        let wrong = check(&cluster.tables.facts().await?);
        let wrong = wrong.into_iter().find(|violation| violation.invariant == Invariant::I4);
        anyhow::ensure!(wrong.is_none(), "{wrong:?}");
        anyhow::Ok(())
    })
    .await;
}
