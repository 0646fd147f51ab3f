//! Metrics in Prometheus's text format. Code records them with the `metrics` crate's macros; a histogram whose name
//! ends in `_seconds` gets buckets for times, any other buckets for counts and sizes.

use std::sync::OnceLock;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use self::Kind::{Counter, Gauge, Histogram};

/// A metric's name, kind and description.
pub type Metric = (&'static str, Kind, &'static str);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

const SECONDS: [f64; 14] =
    [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const COUNTS: [f64; 11] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 10_000.0];

/// The metrics that this process has recorded.
#[derive(Clone)]
pub struct Metrics(Option<PrometheusHandle>);

/// Installs the process's recorder; a later call returns the same one.
pub fn install() -> Metrics {
    static INSTALLED: OnceLock<Metrics> = OnceLock::new();
    let install = || {
        let builder = PrometheusBuilder::new()
            .set_buckets(&COUNTS)
            .and_then(|builder| {
                builder.set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
            })
            .expect("the buckets are not empty");
        // A recorder that is installed already stays, and /metrics is empty.
        let handle = builder.install_recorder().ok();
        METRICS.iter().for_each(describe);
        Metrics(handle)
    };
    INSTALLED.get_or_init(install).clone()
}

fn describe(&(name, kind, description): &Metric) {
    match kind {
        Kind::Counter => metrics::describe_counter!(name, description),
        Kind::Gauge => metrics::describe_gauge!(name, description),
        Kind::Histogram => metrics::describe_histogram!(name, description),
    }
}

impl Metrics {
    pub fn render(&self) -> String {
        let Some(handle) = &self.0 else { return String::new() };
        // Bounds what histograms buffer between scrapes.
        handle.run_upkeep();
        handle.render()
    }
}

/// Every metric that a process of the project records, in alphabetical order. A test holds the sources against it.
pub const METRICS: &[Metric] = &[
    ("waybill_breaker_open", Gauge, "1 while requests to the service fail at once"),
    ("waybill_broker_blocked", Gauge, "1 while the broker blocks publishing, for lack of memory or disk"),
    ("waybill_broker_bytes", Gauge, "Bytes of all messages in the embedded broker"),
    ("waybill_broker_commit_seconds", Histogram, "How long a commit of the embedded broker takes"),
    ("waybill_broker_connected", Gauge, "1 while connected to the broker, which accepts the topology"),
    ("waybill_broker_connects_total", Counter, "Connections made to the broker; it rises with each loss"),
    ("waybill_broker_consumers", Gauge, "Consumers of the queue in all processes; a lasting 0 is a fault"),
    ("waybill_broker_ready_messages", Gauge, "Messages waiting in the queue, or dead letters in a .dead"),
    ("waybill_broker_unsettled_messages", Gauge, "Unacknowledged messages in the embedded broker"),
    ("waybill_condition_met", Gauge, "1 while the condition of readiness is met"),
    ("waybill_consumers", Gauge, "Consumers of this process, by queue, or by purpose for its own queues"),
    (
        "waybill_database_write_failures_total",
        Counter,
        "Writes that failed for the database's or its server's state",
    ),
    ("waybill_dead_letters_total", Counter, "Messages that this process dead-lettered, by queue and code"),
    ("waybill_deliveries_total", Counter, "Messages delivered to this process"),
    ("waybill_events_published_total", Counter, "Order events published and marked so"),
    ("waybill_expired_requests_total", Counter, "Requests dropped because they came after their deadline"),
    ("waybill_holds_settled_total", Counter, "Holds that order-service was asked about for lack of events"),
    ("waybill_hub_lag_events", Gauge, "Order events that this gateway has still to send to its subscribers"),
    ("waybill_late_replies_total", Counter, "Replies that came after their request had ended"),
    ("waybill_loop_silent_seconds", Gauge, "Time since the last heartbeat of a loop; -1 if it has ended"),
    ("waybill_missed_events_total", Counter, "Order events that had not come, and were read and applied"),
    (
        "waybill_operations_beyond_limit_total",
        Counter,
        "Operations executed beyond a limit that is only measured, by limit",
    ),
    (
        "waybill_orders_placed_again_total",
        Counter,
        "Accepted orders that the broker lost, by what became of them; a rise is a fault of the broker's settings",
    ),
    ("waybill_orders_placed_total", Counter, "Orders created, by their first status"),
    ("waybill_outbox_events", Gauge, "Committed events that are not published yet; 100000 is a maximum"),
    ("waybill_outbox_oldest_seconds", Gauge, "How long the oldest unpublished event has waited"),
    ("waybill_pending_orders", Gauge, "Orders that are PENDING; 100000 is a maximum"),
    ("waybill_pending_orders_oldest_seconds", Gauge, "How long the oldest PENDING order has been PENDING"),
    ("waybill_published_total", Counter, "Messages published, by outcome"),
    ("waybill_read_batch_items", Histogram, "Items read by one request, by pattern"),
    ("waybill_relay_active", Gauge, "1 in the one copy of order-service that publishes events"),
    ("waybill_requests_total", Counter, "Requests to services, by pattern and outcome"),
    ("waybill_reservations_total", Counter, "Reservations of stock, by outcome"),
    ("waybill_settled_total", Counter, "Deliveries acknowledged or rejected, by outcome"),
    ("waybill_slow_subscribers_total", Counter, "Subscribers that fell behind and replay again"),
    ("waybill_stock_inconsistent_total", Counter, "Orders whose stock contradicts an event: audit them"),
    ("waybill_stock_mended_total", Counter, "Orders whose missing hold was taken upon an event"),
    ("waybill_subscribers", Gauge, "Subscribers of this gateway that receive live events"),
    (
        "waybill_unseen_orders",
        Gauge,
        "Accepted orders whose command order-service has not answered to this gateway",
    ),
    ("waybill_untrusted_documents_total", Counter, "Documents executed that are not among the trusted ones"),
    ("waybill_unwatched_orders_total", Counter, "Accepted orders that this gateway had no room to remember"),
];
