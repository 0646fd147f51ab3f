//! Decides changes to stored orders.
//!
//! The caller knows that the order exists. The checks follow in this order: is there anything to change, does the order
//! have the expected version, and does its status allow the change?

use schema::domain_error::{DomainError, DomainErrorCode};
use schema::order::{Order, OrderStatus};
use schema::order_events::EventKind;
use schema::order_messages::Changes;
use schema::time::Timestamp;

use super::transition::{Transition, is_final, is_requestable, transition};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// The order right after the change, with its new version.
    pub order: Order,
    pub kind: EventKind,
    /// The status before, if it changed.
    pub previous_status: Option<OrderStatus>,
}

impl Changed {
    /// Returns the change from `before` to `order`, which still has the old version and time.
    pub fn by(before: &Order, mut order: Order, now: Timestamp) -> Self {
        order.version = before.version + 1;
        // By whichever copy's clock: a change is no older than the one before it.
        order.updated_at = now.max(before.updated_at);
        let moved = before.status != order.status;
        let kind = if moved { EventKind::StatusChanged } else { EventKind::DetailsChanged };
        Self { order, kind, previous_status: moved.then_some(before.status) }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// One change, one version, one event.
    Applied(Box<Changed>),
    /// There is nothing to change: the response is the order as it is.
    NoOp,
    Refused(DomainError),
}

/// Decides setting the given fields, all of them or none.
///
/// The address may change until the order is SHIPPED. Tracking may be set from PROCESSING on, and corrected while the
/// order is SHIPPED. In a final status nothing may change.
pub fn update(order: &Order, changes: &Changes, expected_version: Option<u32>, now: Timestamp) -> Decision {
    let mut after = order.clone();
    after.status = changes.status.unwrap_or(order.status);
    for (field, change) in [
        (&mut after.shipping_address, &changes.shipping_address),
        (&mut after.tracking_company, &changes.tracking_company),
        (&mut after.tracking_number, &changes.tracking_number),
    ] {
        if change.is_some() {
            field.clone_from(change);
        }
    }
    if after == *order {
        return Decision::NoOp;
    }
    match version_refusal(order, expected_version).or_else(|| update_refusal(order, &after)) {
        Some(refusal) => Decision::Refused(refusal),
        None => Decision::Applied(Box::new(Changed::by(order, after, now))),
    }
}

pub fn cancel(order: &Order, expected_version: Option<u32>, now: Timestamp) -> Decision {
    let changes = Changes { status: Some(OrderStatus::Cancelled), ..Changes::default() };
    match update(order, &changes, expected_version, now) {
        Decision::Refused(refusal) if refusal.code == DomainErrorCode::InvalidTransition => {
            Decision::Refused(not_open(refusal.message))
        }
        decision => decision,
    }
}

/// Decides a deletion, which any status but SHIPPED allows: a shipment under way keeps its order.
pub fn delete(order: &Order, expected_version: Option<u32>, now: Timestamp) -> Decision {
    if let Some(refusal) = version_refusal(order, expected_version) {
        return Decision::Refused(refusal);
    }
    if order.status == OrderStatus::Shipped {
        return Decision::Refused(not_open("a SHIPPED order can't be deleted"));
    }
    let changed = Changed::by(order, order.clone(), now);
    Decision::Applied(Box::new(Changed { kind: EventKind::Deleted, ..changed }))
}

fn version_refusal(order: &Order, expected_version: Option<u32>) -> Option<DomainError> {
    let expected = expected_version.filter(|&expected| expected != order.version)?;
    let message = format!("the order has version {}, not {expected}", order.version);
    Some(DomainError::at(DomainErrorCode::VersionConflict, message, ["input", "expectedVersion"]))
}

fn update_refusal(before: &Order, after: &Order) -> Option<DomainError> {
    move_refusal(before.status, after.status)
        .or_else(|| address_refusal(before, after))
        .or_else(|| tracking_refusal(before, after))
}

fn move_refusal(from: OrderStatus, to: OrderStatus) -> Option<DomainError> {
    match transition(from, to) {
        Transition::NoOp => None,
        Transition::Applied if is_requestable(to) => None,
        Transition::Applied => {
            Some(not_allowed(format!("a {from} order becomes {to} by itself, not on request")))
        }
        Transition::Refused => Some(not_allowed(format!("a {from} order can't become {to}"))),
    }
}

fn address_refusal(before: &Order, after: &Order) -> Option<DomainError> {
    let open = matches!(before.status, OrderStatus::Pending | OrderStatus::Processing);
    let changes = before.shipping_address != after.shipping_address;
    (changes && !open).then(|| {
        let message = format!("the shipping address of a {} order can't be changed", before.status);
        DomainError::at(DomainErrorCode::InvalidTransition, message, ["input", "shippingAddress"])
    })
}

fn tracking_refusal(before: &Order, after: &Order) -> Option<DomainError> {
    for (old, new, field) in [
        (&before.tracking_company, &after.tracking_company, "trackingCompany"),
        (&before.tracking_number, &after.tracking_number, "trackingNumber"),
    ] {
        if old != new && (before.status == OrderStatus::Pending || is_final(before.status)) {
            let message = format!("the tracking of a {} order can't be set", before.status);
            return Some(DomainError::at(DomainErrorCode::InvalidTransition, message, ["input", field]));
        }
        if after.status == OrderStatus::Shipped && new.is_none() {
            let message = "a SHIPPED order needs a tracking company and number";
            return Some(DomainError::at(DomainErrorCode::InvalidInput, message, ["input", field]));
        }
    }
    None
}

fn not_allowed(message: impl Into<String>) -> DomainError {
    DomainError::at(DomainErrorCode::InvalidTransition, message, ["input", "status"])
}

/// The input of a cancellation or deletion names no status, so that the refusal is about its `id`.
fn not_open(message: impl Into<String>) -> DomainError {
    DomainError::at(DomainErrorCode::InvalidTransition, message, ["input", "id"])
}

#[cfg(test)]
mod tests {
    use super::*;
    use OrderStatus::{Cancelled, Delivered, Pending, Processing, Rejected, Shipped};

    fn now() -> Timestamp {
        "2026-11-23T19:10:52.000Z".parse().unwrap()
    }

    fn order(status: OrderStatus) -> Order {
        let created_at = "2026-11-23T19:10:51.371Z".parse().unwrap();
        let tracked = matches!(status, Shipped | Delivered);
        Order {
            id: "019ab1f0-7b2a-7c3d-8e4f-5a6b7c8d9e0f".parse().unwrap(),
            customer_id: "CUST01".parse().unwrap(),
            status,
            version: 3,
            fingerprint: "b3:00".to_owned(),
            line_items: Vec::new(),
            total_amount: None,
            shipping_address: Some("1 Harbour Street".to_owned()),
            tracking_company: tracked.then(|| "Post".to_owned()),
            tracking_number: tracked.then(|| "1".to_owned()),
            rejection: None,
            created_at,
            updated_at: created_at,
        }
    }

    fn to(status: OrderStatus) -> Changes {
        Changes { status: Some(status), ..Changes::default() }
    }

    fn tracking() -> Changes {
        Changes {
            tracking_company: Some("Post".to_owned()),
            tracking_number: Some("42".to_owned()),
            ..Changes::default()
        }
    }

    fn address() -> Changes {
        Changes { shipping_address: Some("2 Hill Road".to_owned()), ..Changes::default() }
    }

    fn outcome(decision: &Decision) -> String {
        match decision {
            Decision::Applied(changed) => format!("{:?} {}", changed.kind, changed.order.status),
            Decision::NoOp => "NoOp".to_owned(),
            Decision::Refused(refusal) => format!("{:?}", refusal.code),
        }
    }

    #[test]
    fn every_status_is_asked_for_in_every_status() {
        for from in OrderStatus::ALL {
            for status in OrderStatus::ALL {
                let tracked = Changes { status: Some(status), ..tracking() };
                let changes = if (from, status) == (Processing, Shipped) { tracked } else { to(status) };
                let expected = match (from, status) {
                    (from, status) if from == status => "NoOp",
                    (Pending | Processing, Cancelled) => "StatusChanged CANCELLED",
                    (Processing, Shipped) => "StatusChanged SHIPPED",
                    (Shipped, Delivered) => "StatusChanged DELIVERED",
                    _ => "InvalidTransition",
                };
                let decision = update(&order(from), &changes, None, now());
                assert_eq!(outcome(&decision), expected, "{from} to {status}");
            }
        }
    }

    #[test]
    fn address_tracking_and_deletion_depend_on_the_status() {
        for (status, new_address, new_tracking, deletion) in [
            (Pending, "DetailsChanged PENDING", "InvalidTransition", "Deleted PENDING"),
            (Processing, "DetailsChanged PROCESSING", "DetailsChanged PROCESSING", "Deleted PROCESSING"),
            (Shipped, "InvalidTransition", "DetailsChanged SHIPPED", "InvalidTransition"),
            (Delivered, "InvalidTransition", "InvalidTransition", "Deleted DELIVERED"),
            (Cancelled, "InvalidTransition", "InvalidTransition", "Deleted CANCELLED"),
            (Rejected, "InvalidTransition", "InvalidTransition", "Deleted REJECTED"),
        ] {
            let order = order(status);
            assert_eq!(outcome(&update(&order, &address(), None, now())), new_address, "{status}");
            assert_eq!(outcome(&update(&order, &tracking(), None, now())), new_tracking, "{status}");
            assert_eq!(outcome(&delete(&order, None, now())), deletion, "{status}");
        }
    }

    #[test]
    fn several_fields_are_one_change() {
        let changes = Changes { status: Some(Shipped), ..tracking() };
        let Decision::Applied(changed) = update(&order(Processing), &changes, Some(3), now()) else {
            panic!("it may be shipped");
        };
        assert_eq!((changed.order.version, changed.order.updated_at), (4, now()));
        assert_eq!((changed.kind, changed.previous_status), (EventKind::StatusChanged, Some(Processing)));
        assert_eq!(changed.order.tracking_number.as_deref(), Some("42"));
    }

    #[test]
    fn a_change_is_no_older_than_the_one_before_it() {
        let mut later = order(Processing);
        later.updated_at = now().plus(std::time::Duration::from_secs(60));
        let Decision::Applied(changed) = update(&later, &address(), None, now()) else { panic!("it may be") };
        assert_eq!(changed.order.updated_at, later.updated_at);
    }

    #[test]
    fn shipping_needs_tracking_given_or_stored() {
        let mut tracked = order(Processing);
        tracked.tracking_company = Some("Post".to_owned());
        let refused = update(&tracked, &to(Shipped), None, now());
        let Decision::Refused(refusal) = refused else { panic!("no number yet") };
        assert_eq!(refusal.code, DomainErrorCode::InvalidInput);
        assert_eq!(refusal.field.unwrap(), ["input", "trackingNumber"]);
        tracked.tracking_number = Some("42".to_owned());
        assert_eq!(outcome(&update(&tracked, &to(Shipped), None, now())), "StatusChanged SHIPPED");
    }

    #[test]
    fn what_is_so_already_is_checked_before_the_version_and_the_version_before_the_status() {
        assert_eq!(update(&order(Cancelled), &to(Cancelled), Some(1), now()), Decision::NoOp);
        assert_eq!(update(&order(Shipped), &Changes::default(), Some(1), now()), Decision::NoOp);
        assert_eq!(outcome(&update(&order(Shipped), &to(Cancelled), Some(1), now())), "VersionConflict");
        assert_eq!(outcome(&cancel(&order(Shipped), Some(3), now())), "InvalidTransition");
        assert_eq!(outcome(&delete(&order(Shipped), Some(2), now())), "VersionConflict");
    }

    #[test]
    fn a_refusal_names_a_field_that_its_input_has() {
        let shipped = order(Shipped);
        for (decision, field) in [
            (update(&shipped, &to(Cancelled), None, now()), "status"),
            (cancel(&shipped, None, now()), "id"),
            (delete(&shipped, None, now()), "id"),
            (cancel(&shipped, Some(1), now()), "expectedVersion"),
        ] {
            let Decision::Refused(refusal) = decision else { panic!("it is on its way") };
            assert_eq!(refusal.field.unwrap(), ["input", field]);
        }
    }

    #[test]
    fn texts_out_of_bounds_are_named() {
        for (changes, field) in [
            (Changes { shipping_address: Some(" ".to_owned()), ..Changes::default() }, "shippingAddress"),
            (Changes { tracking_company: Some("a\0".to_owned()), ..Changes::default() }, "trackingCompany"),
            (Changes { tracking_number: Some("1".repeat(101)), ..Changes::default() }, "trackingNumber"),
        ] {
            assert_eq!(changes.validate()[0].field.clone().unwrap(), ["input", field]);
        }
        assert_eq!(tracking().validate(), []);
    }
}
