use schema::order::Order;
use schema::order_messages::OrderRef;
use store::StoreError;

use crate::context::Context;
use crate::orders::find;

/// Each order, or nothing where there is none within its asker's reach.
pub(super) async fn get(context: &Context, refs: Vec<OrderRef>) -> Result<Vec<Option<Order>>, StoreError> {
    let stored = find(context.database.read(), refs.iter().map(|order| order.order_id)).await?;
    let reached = |asked: &OrderRef| {
        let stored = stored.get(&asked.order_id)?;
        let readable =
            !stored.deleted && !stored.is_fence() && asked.owner.includes(&stored.order.customer_id);
        readable.then(|| stored.order.clone())
    };
    Ok(refs.iter().map(reached).collect())
}
