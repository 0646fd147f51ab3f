//! I5: an order's events, held against the state table.

use order_service::domain::{Transition, transition};
use schema::order::OrderStatus;
use schema::order_events::EventKind;
use schema::order_messages::{AuditedOrder, HistoryEntry};

/// What is wrong with an order's history; the first thing only, since the rest may follow from it.
pub(super) fn fault(order: &AuditedOrder) -> Option<String> {
    let Some(first) = order.steps.first() else { return Some("it has no history".to_owned()) };
    if first.kind != EventKind::Created {
        return Some(format!("its history begins with {:?}", first.kind));
    }
    if !may_begin_as(first.status) {
        return Some(format!("it was created {}", first.status));
    }
    let versions = (1..).zip(&order.steps).find(|(expected, step)| step.version != *expected);
    if let Some((expected, step)) = versions {
        return Some(format!("version {expected} is missing: version {} is in its place", step.version));
    }
    let moves = order.steps.windows(2).find_map(|pair| illegal(&pair[0], &pair[1]));
    moves.or_else(|| end_fault(order))
}

/// An order is decided as it is stored, or stored PENDING.
fn may_begin_as(status: OrderStatus) -> bool {
    matches!(status, OrderStatus::Pending | OrderStatus::Processing | OrderStatus::Rejected)
}

fn illegal(before: &HistoryEntry, step: &HistoryEntry) -> Option<String> {
    let version = step.version;
    let fault = match step.kind {
        _ if before.kind == EventKind::Deleted => format!("{:?} after its deletion", step.kind),
        EventKind::Created => "created again".to_owned(),
        EventKind::StatusChanged => match transition(before.status, step.status) {
            Transition::Applied if step.previous_status == Some(before.status) => return None,
            Transition::Applied => {
                let told = step.previous_status.map_or("nothing", OrderStatus::as_str);
                format!("from {} to {}, but told as from {told}", before.status, step.status)
            }
            Transition::NoOp | Transition::Refused => {
                format!("from {} to {}", before.status, step.status)
            }
        },
        EventKind::DetailsChanged | EventKind::Deleted if step.status != before.status => {
            format!("{:?} from {} to {}", step.kind, before.status, step.status)
        }
        EventKind::Deleted if step.status == OrderStatus::Shipped => "deleted while SHIPPED".to_owned(),
        EventKind::DetailsChanged | EventKind::Deleted => return None,
    };
    Some(format!("version {version} is no legal step: {fault}"))
}

fn end_fault(order: &AuditedOrder) -> Option<String> {
    let last = order.steps.last()?;
    if (order.status, order.version) != (last.status, last.version) {
        let (status, version) = (order.status, order.version);
        return Some(format!(
            "it is {status} in version {version}, but its history ends {} in version {}",
            last.status, last.version
        ));
    }
    match (order.deleted, last.kind == EventKind::Deleted) {
        (true, false) => Some("it is deleted, but its history doesn't say so".to_owned()),
        (false, true) => Some("its history says that it is deleted, but it isn't".to_owned()),
        _ => None,
    }
}
