use bus::consumer::{Disposition, Job};
use bus::failure::Failure;
use bus::message::header;
use bus::rpc_server::{no_handler, respond};
use schema::domain_error::{DomainError, DomainErrorCode, DomainResult};
use schema::fingerprint::request_fingerprint;
use schema::ids::OrderId;
use schema::order_messages::{CreateOrder, OrderCreated};
use schema::pattern::ORDER_CREATE;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::orders::Stored;

/// An `order.create` that can be worked on.
#[derive(Debug)]
pub(super) struct Command<'a> {
    pub(super) work: &'a Job,
    pub(super) placement: CreateOrder,
    pub(super) fingerprint: String,
    /// Who it is, kept when it is sent again; the order's id where a sender named none.
    pub(super) message_id: Uuid,
}

impl<'a> Command<'a> {
    /// The command, or the disposition on what is none.
    pub(super) fn read(work: &'a Job) -> Result<Self, Disposition> {
        if work.envelope.pattern != ORDER_CREATE {
            return Err(Disposition::Dead(no_handler(&work.envelope.pattern)));
        }
        let placement: CreateOrder = work.envelope.data().map_err(Disposition::Dead)?;
        let faults = placement.validate().into_iter().chain(key_fault(&placement));
        if let Some(refused) = faults.into_iter().next() {
            return Err(done(work, || DomainResult::Refused { refused }));
        }
        let message_id = work.message.message_id.as_deref().and_then(|id| Uuid::parse_str(id).ok());
        Ok(Self {
            work,
            fingerprint: request_fingerprint(&placement.items, placement.shipping_address.as_deref()),
            message_id: message_id.unwrap_or(placement.order_id.0),
            placement,
        })
    }

    /// The trace it came with, which the order's first event carries on.
    pub(super) fn traceparent(&self) -> Option<String> {
        self.work.message.header_text(header::TRACEPARENT).map(str::to_owned)
    }

    /// Done: the row of its id is committed, by this command or by another one.
    pub(super) fn answered(&self, stored: &Stored) -> Disposition {
        let same = stored.order.fingerprint == self.fingerprint
            && stored.order.customer_id == self.placement.customer_id;
        done(self.work, || match (same, stored.deleted) {
            (false, _) => DomainResult::Refused { refused: key_reused() },
            (true, true) => DomainResult::Done(OrderCreated { order: None, replayed: true }),
            (true, false) => DomainResult::Done(OrderCreated {
                order: Some(stored.order.clone()),
                replayed: stored.created_by != self.message_id,
            }),
        })
    }
}

/// A key names one order of one customer: another id under it would make a second one.
fn key_fault(placement: &CreateOrder) -> Option<DomainError> {
    let key = placement.idempotency_key.as_deref()?;
    let named = OrderId::for_idempotency_key(&placement.customer_id, key);
    (named != placement.order_id).then(|| {
        let message = "the key does not name this order";
        DomainError::at(DomainErrorCode::InvalidInput, message, ["input", "idempotencyKey"])
    })
}

fn key_reused() -> DomainError {
    let message = "the key was used with another input";
    DomainError::at(DomainErrorCode::IdempotencyKeyReused, message, ["input", "idempotencyKey"])
}

/// Done; the answer is made only where somebody waits for it.
fn done(work: &Job, answer: impl FnOnce() -> DomainResult<OrderCreated>) -> Disposition {
    if work.message.reply_to.is_none() {
        return Disposition::Done(None);
    }
    let answer: Result<Box<RawValue>, Failure> = respond(&answer());
    answer.map_or_else(Disposition::Dead, |answer| Disposition::Done(Some(answer)))
}
