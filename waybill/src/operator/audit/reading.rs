//! Reading what the services say, page by page, and comparing it as it comes.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Context, ensure};
use schema::ids::OrderId;
use schema::inventory_messages::{AuditedReservation, StockAudit, StockAudited};
use schema::limits::REQUEST_MAX_ITEMS;
use schema::order_messages::{OrderAudit, OrderAudited};
use serde::Serialize;
use uuid::Uuid;

use super::client_log::ClientLog;
use super::judge::{self, Facts};
use super::violation::Violation;
use crate::admin::AdminConnection;

/// How long one page may take.
const LIMIT: Duration = Duration::from_secs(20);
const PAGE: u32 = REQUEST_MAX_ITEMS as u32;
/// Orders looked at again in one request.
const AGAIN_AT_ONCE: usize = 50;
/// What looks wrong at the most, before the rest isn't looked for any more.
const SUSPECTS_MAX: usize = 2_000;

/// How much was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Counts {
    pub(super) orders: u64,
    pub(super) reservations: u64,
}

/// A system that is read, beside what its clients were told.
pub(super) struct Reading<'a> {
    pub(super) connection: &'a AdminConnection,
    pub(super) log: &'a ClientLog,
}

impl Reading<'_> {
    /// Compares every order and reservation, in windows between two order ids.
    pub(super) async fn everything(&self) -> anyhow::Result<(Counts, Vec<Violation>)> {
        let mut counts = Counts::default();
        let mut reservations =
            Reservations { reading: self, ahead: VecDeque::new(), after: None, ended: false };
        let mut told = self.log.order_ids().into_iter().peekable();
        let mut violations = judge::books(&self.stock(None, 1).await?.mismatches);
        let mut after = None;
        loop {
            let page = self.orders(after, PAGE).await?;
            let through = if page.has_more { page.orders.last().map(|order| order.order_id) } else { None };
            ensure!(
                !page.has_more || through.is_some(),
                "order-service answered an empty page before the last"
            );
            let is_within = |id: OrderId| through.is_none_or(|through| id <= through);
            let facts = Facts {
                orders: page.orders,
                reservations: reservations.through(is_within).await?,
                told: std::iter::from_fn(|| told.next_if(|id| is_within(*id))).collect(),
            };
            counts.orders += facts.orders.len() as u64;
            counts.reservations += facts.reservations.len() as u64;
            violations.extend(judge::compare(&facts, self.log));
            violations.truncate(SUSPECTS_MAX);
            match through {
                Some(through) => after = Some(through),
                None => return Ok((counts, violations)),
            }
        }
    }

    /// Compares these orders, and every product's books, once more.
    pub(super) async fn again(&self, order_ids: &[OrderId]) -> anyhow::Result<Vec<Violation>> {
        let mut violations = judge::books(&self.stock(None, 1).await?.mismatches);
        for ids in order_ids.chunks(AGAIN_AT_ONCE) {
            let orders: Vec<OrderAudit> =
                ids.iter().map(|id| OrderAudit { after: before(*id), limit: 1 }).collect();
            let orders = self.connection.audit_orders(orders, LIMIT).await?;
            let stock: Vec<StockAudit> =
                ids.iter().map(|id| StockAudit { after: before(*id), limit: 1 }).collect();
            let stock = self.connection.audit_stock(stock, LIMIT).await?;
            // Where there is no such order, its page begins with the next one.
            let orders = ids
                .iter()
                .zip(orders)
                .filter_map(|(id, page)| page.orders.into_iter().find(|order| order.order_id == *id));
            let reservations = ids.iter().zip(stock).filter_map(|(id, page)| {
                page.reservations.into_iter().find(|reservation| reservation.order_id == *id)
            });
            let told = ids.iter().copied().filter(|id| self.log.told(*id).is_some());
            let facts = Facts {
                orders: orders.collect(),
                reservations: reservations.collect(),
                told: told.collect(),
            };
            violations.extend(judge::compare(&facts, self.log));
        }
        Ok(violations)
    }

    /// How many events are not yet published.
    pub(super) async fn unpublished(&self) -> anyhow::Result<u64> {
        Ok(self.orders(None, 1).await?.outbox)
    }

    async fn orders(&self, after: Option<OrderId>, limit: u32) -> anyhow::Result<OrderAudited> {
        let pages = self.connection.audit_orders(vec![OrderAudit { after, limit }], LIMIT).await?;
        pages.into_iter().next().context("order-service answered nothing")
    }

    async fn stock(&self, after: Option<OrderId>, limit: u32) -> anyhow::Result<StockAudited> {
        let pages = self.connection.audit_stock(vec![StockAudit { after, limit }], LIMIT).await?;
        pages.into_iter().next().context("inventory-service answered nothing")
    }
}

/// Reservations in their order, read as far as somebody wants them.
struct Reservations<'a> {
    reading: &'a Reading<'a>,
    ahead: VecDeque<AuditedReservation>,
    after: Option<OrderId>,
    ended: bool,
}

impl Reservations<'_> {
    async fn through(
        &mut self,
        is_within: impl Fn(OrderId) -> bool,
    ) -> anyhow::Result<Vec<AuditedReservation>> {
        let mut taken = Vec::new();
        loop {
            while let Some(next) = self.ahead.pop_front_if(|next| is_within(next.order_id)) {
                taken.push(next);
            }
            if !self.ahead.is_empty() || self.ended {
                return Ok(taken);
            }
            let page = self.reading.stock(self.after, PAGE).await?;
            ensure!(
                !page.has_more || !page.reservations.is_empty(),
                "inventory-service answered an empty page before the last"
            );
            self.ended = !page.has_more;
            self.after = page.reservations.last().map(|last| last.order_id).or(self.after);
            self.ahead.extend(page.reservations);
        }
    }
}

/// The id right before this one, which a page that begins with this one comes after.
fn before(id: OrderId) -> Option<OrderId> {
    id.0.as_u128().checked_sub(1).map(|before| OrderId(Uuid::from_u128(before)))
}
