use schema::order_messages::{AuditPage, OrderAudited};
use schema::pattern::ORDER_AUDIT;

use order_service::queue_metrics;
use std::time::Duration;

use crate::backends::Mood;
use crate::kit::{OrderService, keyed};
use crate::on_both_databases;

on_both_databases!(
    an_audit_pages_through_every_order_deleted_ones_included,
    gauges_say_how_much_waits_and_for_how_long,
);

async fn gauges_say_how_much_waits_and_for_how_long(service: OrderService) {
    let metrics = service_kit::metrics::install();
    let gauge = |name: &str| -> f64 {
        let shown = metrics.render();
        let line = shown.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.unwrap_or_else(|| panic!("no {name} in {shown}")).parse().unwrap()
    };
    queue_metrics::record(&service.context).await.unwrap();
    let ages = ["waybill_outbox_oldest_seconds", "waybill_pending_orders_oldest_seconds"];
    assert_eq!((gauge("waybill_outbox_events"), gauge("waybill_pending_orders")), (0.0, 0.0));
    assert_eq!(ages.map(gauge), [0.0, 0.0]);

    service.order(&[("MUG", 1)]).await;
    service.backends.state().inventory = Mood::Away;
    service.order(&[("MUG", 1)]).await;
    service.clock.advance(Duration::from_secs(90));
    queue_metrics::record(&service.context).await.unwrap();
    assert_eq!((gauge("waybill_outbox_events"), gauge("waybill_pending_orders")), (2.0, 1.0));
    assert!(gauge(ages[0]) >= 90.0, "{}", gauge(ages[0]));
    if service.is_on_sqlite() {
        // PostgreSQL sets pending_since by its own clock.
        assert!(gauge(ages[1]) >= 90.0, "{}", gauge(ages[1]));
    }
}

async fn an_audit_pages_through_every_order_deleted_ones_included(service: OrderService) {
    let kept = service.place(keyed("k1", &[("MUG", 2)])).await.unwrap().order.unwrap();
    let deleted = service.order(&[("TRAY", 1)]).await;
    service.delete(deleted.id).await.unwrap();
    service.settle(schema::ids::OrderId(uuid::Uuid::now_v7()), 1).await;
    let mut after = None;
    let mut audited = Vec::new();
    loop {
        let page: OrderAudited = service.ask_one(ORDER_AUDIT, &AuditPage { after, limit: 1 }).await;
        assert_eq!((page.outbox, page.head), (3, 3));
        let backlog = page.backlog.map(|backlog| (backlog.pending, backlog.unpublished_since.is_some()));
        assert_eq!(backlog, after.is_none().then_some((0, true)));
        audited.extend(page.orders);
        after = audited.last().map(|order| order.order_id);
        if !page.has_more {
            break;
        }
    }
    assert_eq!(audited.len(), 2, "a fence is no order");
    let kept = audited.iter().find(|order| order.order_id == kept.id).unwrap();
    assert_eq!(kept.idempotency_key.as_deref(), Some("k1"));
    assert_eq!((kept.version, kept.deleted, kept.steps.len()), (1, false, 1));
    assert_eq!(kept.items[0].quantity, 2);
    let deleted = audited.iter().find(|order| order.order_id == deleted.id).unwrap();
    assert_eq!((deleted.version, deleted.deleted, deleted.steps.len()), (2, true, 2));
}
