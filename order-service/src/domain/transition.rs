//! The state table of orders.

use schema::order::OrderStatus;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transition {
    Applied,
    /// The order has the status already, as when a message is delivered twice.
    NoOp,
    Refused,
}

/// The one table of moves: PENDING → PROCESSING | REJECTED | CANCELLED; PROCESSING → SHIPPED | CANCELLED;
/// SHIPPED → DELIVERED. Nothing else.
pub fn transition(from: OrderStatus, to: OrderStatus) -> Transition {
    use OrderStatus::{Cancelled, Delivered, Pending, Processing, Rejected, Shipped};
    match (from, to) {
        (from, to) if from == to => Transition::NoOp,
        (Pending, Processing | Rejected | Cancelled)
        | (Processing, Shipped | Cancelled)
        | (Shipped, Delivered) => Transition::Applied,
        _ => Transition::Refused,
    }
}

/// Whether a client may request this status. PROCESSING and REJECTED come of the checks alone.
pub fn is_requestable(status: OrderStatus) -> bool {
    matches!(status, OrderStatus::Shipped | OrderStatus::Delivered | OrderStatus::Cancelled)
}

/// Whether an order in this status never changes again, except by its deletion.
pub fn is_final(status: OrderStatus) -> bool {
    OrderStatus::ALL.into_iter().all(|to| transition(status, to) != Transition::Applied)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_of_statuses_is_in_the_table() {
        // Rows are the current status, columns the target, both in the public schema's order.
        let table = [
            ("PENDING", "= + . . + +"),
            ("PROCESSING", ". = + . + ."),
            ("SHIPPED", ". . = + . ."),
            ("DELIVERED", ". . . = . ."),
            ("CANCELLED", ". . . . = ."),
            ("REJECTED", ". . . . . ="),
        ];
        for (from, row) in table {
            let from: OrderStatus = from.parse().unwrap();
            for (to, cell) in OrderStatus::ALL.into_iter().zip(row.split(' ')) {
                let expected = match cell {
                    "+" => Transition::Applied,
                    "=" => Transition::NoOp,
                    _ => Transition::Refused,
                };
                assert_eq!(transition(from, to), expected, "{from} to {to}");
            }
        }
    }

    #[test]
    fn delivered_cancelled_and_rejected_are_final() {
        let last: Vec<_> = OrderStatus::ALL.into_iter().filter(|&status| is_final(status)).collect();
        assert_eq!(last, [OrderStatus::Delivered, OrderStatus::Cancelled, OrderStatus::Rejected]);
    }
}
