//! `waybill audit`: checks on a running system that orders, stock and events agree.
//!
//! [`check`] is the judge. It is pure, and judges the error and simulation tests too: each only gathers [`Facts`].

mod checks;
mod facts;
mod report;
mod stock;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use schema::ids::{OrderId, ProductId};
use schema::inventory_messages::{AuditedReservation, StockAudited, StockLevels};
use schema::limits::{AUDIT_PAGES_MAX, REQUEST_MAX_ITEMS};
use schema::order::OrderStatus;
use schema::order_messages::{AuditPage, AuditedOrder, OrderAudited};
use schema::time::Timestamp;
use service_kit::config::ConfigErrors;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::admin::{AdminAddressArgs, AdminConnection, AdminRequest};
use crate::output::OutputArgs;
use facts::ClientLog;
use report::Report;

pub use checks::check;
pub use facts::{
    ChangeEffect, ChangeRecord, ClientOutcome, EventFacts, Facts, Ledger, MovementFacts, OrderFacts,
    OrderVersion, PlacementRecord, ProductFacts, RecordedEvents, SubscriberRecord,
};
pub use report::{Invariant, Violation};

/// Between two readings of what looked wrong.
const PAUSE: Duration = Duration::from_millis(500);
/// Violations that are followed up; further ones are not looked for.
const SUSPECTED_MAX: usize = 2_000;
const LIMIT: Duration = Duration::from_secs(20);
/// How far the time of a rejection may be from the moment at which the stock was looked at: the other service's answer, a
/// retry, and clocks that differ between copies.
const REJECTED_WITHIN: Duration = Duration::from_secs(10);
const PAGE: u32 = REQUEST_MAX_ITEMS as u32;

/// Check on a live system that orders, stock and events agree
///
/// Asks order-service and inventory-service for every order and every reservation, and checks that stock agrees with the
/// orders and with its ledger (I4), that histories are legal and without gaps (I5), that every event was published (I6),
/// and that no stock is held for an order that does not exist. What looks wrong is read again, once every event is
/// published, until it is right or the time given by --patience ends: only what stays wrong is reported. Exits with 1 if
/// anything is.
#[derive(Args, Debug)]
pub(crate) struct AuditArgs {
    /// What clients were answered, to check too that every success is one order (I1), that every definite error left nothing
    /// (I2), and that every unknown outcome is one order (I3). A file of JSON lines, one an attempt:
    /// {"key": "basket-7", "customerId": "CUST01", "outcome": "ok|error|unknown", "orderId": null}
    #[arg(long, value_name = "FILE")]
    client_log: Option<PathBuf>,
    /// How long what looks wrong may take to become right, such as 10s. Stock that a crash left held is released after
    /// RESERVATION_HOLD, a minute by default
    #[arg(long, value_name = "DURATION", default_value = "90s")]
    patience: String,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    address: AdminAddressArgs,
}

pub(crate) async fn run(args: AuditArgs) -> anyhow::Result<ExitCode> {
    let mut errors = ConfigErrors::default();
    let address = args.address.check(&mut errors);
    let patience = errors.duration("PATIENCE", &args.patience, Duration::ZERO..=Duration::from_secs(3_600));
    let (address, patience) = errors.finish((address, patience))?;
    let log = args.client_log.as_deref().map(ClientLog::read).transpose()?;
    let logged = log.as_ref().map(|log| log.0.len());
    let connection = address.connect().await?;
    let log = log.unwrap_or_default();
    let report = connection
        .run(async |connection| audit(&Services { connection, log: &log, now: None }, patience, logged).await)
        .await?;
    args.output.print(&report, Report::text)?;
    Ok(if report.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn audit(services: &Services<'_>, patience: Duration, logged: Option<usize>) -> anyhow::Result<Report> {
    ensure!(
        services.connection.has_services(),
        "waybill is not running, so that there are no services to ask"
    );
    let deadline = Instant::now() + patience;
    // Under load there are always events that were not published yet: only those from before now have to be.
    let began = services.orders(None, 1).await?.backlog.map(|backlog| backlog.now);
    let services = &Services { now: began.map(|now| (now, Instant::now())), ..*services };
    let (mut orders, mut reservations, mut suspected) = (0, 0, Vec::new());
    let read = services.read_all(|facts| {
        orders += facts.orders.len();
        reservations += facts.reservations.len();
        suspected.extend(check(facts));
        suspected.truncate(SUSPECTED_MAX);
    });
    read.await?;
    let mut unpublished = services.unpublished_before(began).await?;
    while unpublished > 0 && Instant::now() < deadline {
        sleep(PAUSE).await;
        unpublished = services.unpublished_before(began).await?;
    }
    while !suspected.is_empty() {
        let mut again = Vec::new();
        services.read_again(&subjects(&suspected), |facts| again.extend(check(facts))).await?;
        suspected = still_there(&suspected, again);
        if Instant::now() >= deadline {
            break;
        }
        sleep(PAUSE).await;
    }
    suspected.extend(check(&Facts { unpublished, ..Facts::default() }));
    Ok(Report::new(orders, reservations, logged, suspected))
}

/// Of what was found again, what was found before as well, with its new figures.
fn still_there(before: &[Violation], again: Vec<Violation>) -> Vec<Violation> {
    let is_old = |violation: &Violation| before.iter().any(|old| old.has_subject_of(violation));
    again.into_iter().filter(is_old).collect()
}

fn subjects(violations: &[Violation]) -> Vec<OrderId> {
    let ids: BTreeSet<OrderId> = violations.iter().filter_map(|violation| violation.order_id).collect();
    ids.into_iter().collect()
}

/// The services of a running system, and what its clients wrote down.
struct Services<'a> {
    connection: &'a AdminConnection,
    log: &'a ClientLog,
    /// The time by order-service's clock at some moment.
    now: Option<(Timestamp, Instant)>,
}

impl Services<'_> {
    /// Passes the facts of every order and reservation to `judge`, in windows between two order ids.
    async fn read_all(&self, mut judge: impl FnMut(&Facts)) -> anyhow::Result<()> {
        judge(&self.stock_mismatches().await?);
        let (mut ahead, mut reserved_after, mut more_reserved) = (VecDeque::new(), None, true);
        let (mut logged, mut after) = (self.log.0.keys().copied().peekable(), None);
        loop {
            let page = self.orders(after, PAGE).await?;
            after = page.orders.last().map(|order| order.order_id);
            ensure!(
                !page.has_more || after.is_some(),
                "order-service answered an empty page before the last"
            );
            let is_within = |id: OrderId| !page.has_more || Some(id) <= after;
            let mut reservations = Vec::new();
            loop {
                let within = ahead.partition_point(|next: &AuditedReservation| is_within(next.order_id));
                reservations.extend(ahead.drain(..within));
                if !ahead.is_empty() || !more_reserved {
                    break;
                }
                let page = self.stock(reserved_after, PAGE).await?;
                more_reserved = page.has_more;
                ahead.extend(page.reservations);
                reserved_after = ahead.back().map(|last| last.order_id);
                let is_empty = more_reserved && ahead.is_empty();
                ensure!(!is_empty, "inventory-service answered an empty page before the last");
            }
            let logged = std::iter::from_fn(|| logged.next_if(|id| is_within(*id)));
            judge(&self.facts(page.orders, reservations, logged).await?);
            if !page.has_more {
                return Ok(());
            }
        }
    }

    /// Passes the facts of these orders, and every product that is inconsistent, to `judge`.
    async fn read_again(&self, order_ids: &[OrderId], mut judge: impl FnMut(&Facts)) -> anyhow::Result<()> {
        judge(&self.stock_mismatches().await?);
        for ids in order_ids.chunks(AUDIT_PAGES_MAX) {
            let page = |id: &OrderId| AuditPage { after: before(*id), limit: 1 };
            let orders = AdminRequest::AuditOrders(ids.iter().map(page).collect());
            let page = |id: &OrderId| AuditPage { after: before(*id), limit: 1 };
            let stock = AdminRequest::AuditStock(ids.iter().map(page).collect());
            // If there is no such order, its page begins with the next one.
            let orders = ids.iter().zip(self.pages::<OrderAudited>(orders).await?);
            let orders =
                orders.filter_map(|(id, page)| page.orders.into_iter().find(|order| order.order_id == *id));
            let reserved = ids.iter().zip(self.pages::<StockAudited>(stock).await?);
            let reserved =
                reserved.filter_map(|(id, page)| page.reservations.into_iter().find(|is| is.order_id == *id));
            judge(&self.facts(orders.collect(), reserved.collect(), ids.iter().copied()).await?);
        }
        Ok(())
    }

    /// How many events are not published, if there is one among them that happened before this time.
    async fn unpublished_before(&self, time: Option<Timestamp>) -> anyhow::Result<u64> {
        let OrderAudited { outbox, backlog, .. } = self.orders(None, 1).await?;
        let oldest = backlog.and_then(|backlog| backlog.unpublished_since);
        let is_later = oldest.zip(time).is_some_and(|(oldest, time)| oldest > time);
        Ok(if is_later { 0 } else { outbox })
    }

    async fn facts(
        &self,
        orders: Vec<AuditedOrder>,
        reservations: Vec<AuditedReservation>,
        logged: impl Iterator<Item = OrderId>,
    ) -> anyhow::Result<Facts> {
        let placements = logged.filter_map(|id| self.log.record(id)).collect();
        let levels = self.levels(&orders).await?;
        let mut facts = Facts { reservations, placements, levels, ..Facts::default() };
        orders.into_iter().for_each(|order| facts.add_order(order));
        Ok(facts)
    }

    /// Asks the ledger what was available when orders were REJECTED for want of stock.
    async fn levels(
        &self,
        orders: &[AuditedOrder],
    ) -> anyhow::Result<BTreeMap<(OrderId, ProductId), Vec<i64>>> {
        let mut levels = BTreeMap::new();
        let Some((now, read_at)) = self.now else { return Ok(levels) };
        let now = now.plus(read_at.elapsed());
        let mut keys = Vec::new();
        for order in orders {
            let rejected = order.steps.iter().find(|step| step.status == OrderStatus::Rejected);
            let shortfalls = order.rejection.iter().flat_map(|rejection| &rejection.shortfalls);
            for (step, shortfall) in
                rejected.into_iter().flat_map(|step| shortfalls.clone().map(move |short| (step, short)))
            {
                let ago = now.since(step.occurred_at);
                let asked = StockLevels {
                    product_id: shortfall.product_id.clone(),
                    ago_ms: u64::try_from(ago.as_millis()).unwrap_or(u64::MAX),
                    within_ms: u64::try_from(REJECTED_WITHIN.as_millis()).unwrap_or(u64::MAX),
                };
                keys.push((order.order_id, asked));
            }
        }
        for keys in keys.chunks(REQUEST_MAX_ITEMS) {
            let asked = AdminRequest::StockLevels(keys.iter().map(|(_, asked)| asked.clone()).collect());
            let answers = self.pages::<Vec<i64>>(asked).await?;
            let known = keys.iter().zip(answers);
            levels.extend(known.map(|((id, asked), units)| ((*id, asked.product_id.clone()), units)));
        }
        Ok(levels)
    }

    async fn stock_mismatches(&self) -> anyhow::Result<Facts> {
        Ok(Facts { mismatches: self.stock(None, 1).await?.mismatches, ..Facts::default() })
    }

    async fn orders(&self, after: Option<OrderId>, limit: u32) -> anyhow::Result<OrderAudited> {
        let pages = self.pages(AdminRequest::AuditOrders(vec![AuditPage { after, limit }])).await?;
        pages.into_iter().next().context("order-service answered nothing")
    }

    async fn stock(&self, after: Option<OrderId>, limit: u32) -> anyhow::Result<StockAudited> {
        let pages = self.pages(AdminRequest::AuditStock(vec![AuditPage { after, limit }])).await?;
        pages.into_iter().next().context("inventory-service answered nothing")
    }

    async fn pages<A: 'static>(&self, request: AdminRequest) -> anyhow::Result<Vec<A>> {
        self.connection.call_within(request, LIMIT).await
    }
}

/// The id right before this one, which a page that begins with this one comes after.
fn before(id: OrderId) -> Option<OrderId> {
    id.0.as_u128().checked_sub(1).map(|before| OrderId(Uuid::from_u128(before)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_is_reported_if_it_is_found_again_with_whatever_figures() {
        let product = |id: &str, error: &str| Violation::of_product(&id.parse().unwrap(), error);
        let order = |id: u128, invariant| Violation::of_order(invariant, OrderId(Uuid::from_u128(id)), "off");
        let before = [product("P1", "5 too many"), order(1, Invariant::I4), order(2, Invariant::I4)];
        let again = vec![
            product("P1", "7 too many"),
            product("P2", "1 too many"),
            order(1, Invariant::I5),
            order(2, Invariant::I4),
        ];
        assert_eq!(still_there(&before, again), [product("P1", "7 too many"), order(2, Invariant::I4)]);
    }
}
