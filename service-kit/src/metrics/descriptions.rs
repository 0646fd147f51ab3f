use super::Kind::{Counter, Gauge, Histogram};
use super::Metric;

/// Everything that any process of the project records, in alphabetical order, with what whoever looks at it wants to know.
/// What isn't here is not recorded.
pub const METRICS: &[Metric] = &[
    Metric(
        "waybill_breaker_open",
        Gauge,
        "1 while requests to the service are refused at once because it didn't answer the last ones",
    ),
    Metric(
        "waybill_broker_blocked",
        Gauge,
        "1 while the broker takes no publishing, for want of memory or disk",
    ),
    Metric("waybill_broker_bytes", Gauge, "Bytes of all messages in the embedded broker"),
    Metric("waybill_broker_commit_seconds", Histogram, "How long a commit of the embedded broker takes"),
    Metric(
        "waybill_broker_connected",
        Gauge,
        "1 while the process is connected to the broker and the broker accepts its topology",
    ),
    Metric(
        "waybill_broker_connects_total",
        Counter,
        "Connections made to the broker; it rises with each loss",
    ),
    Metric(
        "waybill_broker_consumers",
        Gauge,
        "Consumers of the queue, of all processes, as the broker counts them; 0 is for moments only",
    ),
    Metric(
        "waybill_broker_ready_messages",
        Gauge,
        "Messages that wait in the queue; in one that ends in .dead they are dead letters",
    ),
    Metric(
        "waybill_broker_unsettled_messages",
        Gauge,
        "Messages of the embedded broker that are delivered and not settled",
    ),
    Metric("waybill_condition_met", Gauge, "1 while the condition of readiness is met"),
    Metric(
        "waybill_consumers",
        Gauge,
        "Consumers that this process has begun, by queue; of its own queues, by purpose",
    ),
    Metric(
        "waybill_dead_letters_total",
        Counter,
        "Messages that this process has given up on, by dead-letter queue and code",
    ),
    Metric("waybill_deliveries_total", Counter, "Messages delivered to this process"),
    Metric("waybill_events_published_total", Counter, "Order events published and marked so"),
    Metric(
        "waybill_expired_requests_total",
        Counter,
        "Requests that came after their deadline and were not worked on",
    ),
    Metric(
        "waybill_holds_settled_total",
        Counter,
        "Holds that order-service was asked about because nothing was heard of their orders",
    ),
    Metric(
        "waybill_hub_lag_events",
        Gauge,
        "Order events that are known of and not yet told to this gateway's subscribers",
    ),
    Metric("waybill_late_replies_total", Counter, "Replies that nobody waited for any more"),
    Metric(
        "waybill_loop_silent_seconds",
        Gauge,
        "How long ago a loop that has to go on gave its last sign of life; -1 where it has ended",
    ),
    Metric(
        "waybill_orders_placed_total",
        Counter,
        "Orders stored for the first time, by the status they were stored in",
    ),
    Metric(
        "waybill_outbox_events",
        Gauge,
        "Committed events that are not published yet; 100000 means that many or more",
    ),
    Metric("waybill_outbox_oldest_seconds", Gauge, "For how long the first of them has waited"),
    Metric("waybill_pending_orders", Gauge, "Orders that are PENDING; 100000 means that many or more"),
    Metric("waybill_pending_orders_oldest_seconds", Gauge, "For how long the first of them has been PENDING"),
    Metric("waybill_published_total", Counter, "Messages published, by outcome"),
    Metric(
        "waybill_relay_active",
        Gauge,
        "1 in the copy of order-service that publishes events; for longer than a moment it is 1 in one copy",
    ),
    Metric("waybill_requests_total", Counter, "Requests to services, by pattern and outcome"),
    Metric("waybill_reservations_total", Counter, "Reservations of stock, by outcome"),
    Metric("waybill_settled_total", Counter, "Deliveries settled, by outcome"),
    Metric(
        "waybill_slow_subscribers_total",
        Counter,
        "Subscribers that fell behind their buffer and went back to replaying",
    ),
    Metric(
        "waybill_stock_inconsistent_total",
        Counter,
        "Orders whose stock could not be brought to what an event calls for; waybill audit names them",
    ),
    Metric(
        "waybill_stock_mended_total",
        Counter,
        "Orders whose stock was not held when an event called for it, and was taken then",
    ),
    Metric("waybill_subscribers", Gauge, "Subscribers of this gateway that hear live events"),
];
