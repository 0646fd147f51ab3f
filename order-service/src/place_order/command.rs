use bus::consumer::{Disposition, Job};
use bus::failure::Failure;
use bus::message::header;
use bus::rpc_server::{no_handler, respond};
use schema::domain_error::DomainResult;
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
        if let Some(refused) = placement.validate().into_iter().next() {
            return Err(done(work, || DomainResult::Refused { refused }));
        }
        let message_id = work.message.message_id.as_deref().and_then(|id| Uuid::parse_str(id).ok());
        Ok(Self { work, message_id: message_id.unwrap_or(placement.order_id.0), placement })
    }

    /// The trace it came with, which the order's first event carries on.
    pub(super) fn traceparent(&self) -> Option<String> {
        self.work.message.header_text(header::TRACEPARENT).map(str::to_owned)
    }

    /// Done: the row of its id is committed, by this command or by another one.
    pub(super) fn answered(&self, stored: &Stored) -> Disposition {
        done(self.work, || match (self.placement.check_same_input(&stored.order), stored.deleted) {
            (Err(refused), _) => DomainResult::Refused { refused },
            (Ok(()), true) => DomainResult::Done(OrderCreated { order: None, replayed: true }),
            (Ok(()), false) => DomainResult::Done(OrderCreated {
                order: Some(stored.order.clone()),
                replayed: stored.created_by != self.message_id,
            }),
        })
    }
}

/// Done; the answer is made only where somebody waits for it.
fn done(work: &Job, answer: impl FnOnce() -> DomainResult<OrderCreated>) -> Disposition {
    if work.message.reply_to.is_none() {
        return Disposition::Done(None);
    }
    let answer: Result<Box<RawValue>, Failure> = respond(&answer());
    answer.map_or_else(Disposition::Dead, |answer| Disposition::Done(Some(answer)))
}
