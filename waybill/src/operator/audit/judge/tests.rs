use schema::order::OrderStatus;
use schema::order_events::EventKind;
use schema::order_messages::{HistoryEntry, Item};

use super::*;

fn id(number: u128) -> OrderId {
    OrderId(uuid::Uuid::from_u128(number))
}

fn items(quantity: u32) -> Vec<Item> {
    vec![Item { product_id: "PROD01".parse().unwrap(), quantity }]
}

fn step(kind: EventKind, version: u32, status: OrderStatus, previous: Option<OrderStatus>) -> HistoryEntry {
    let occurred_at = "2026-11-23T19:10:51.371Z".parse().unwrap();
    HistoryEntry { kind, version, status, previous_status: previous, occurred_at }
}

/// An order that went through these statuses, one a version.
fn order(number: u128, path: &[OrderStatus]) -> AuditedOrder {
    let mut steps = vec![step(EventKind::Created, 1, path[0], None)];
    for (version, pair) in (2..).zip(path.windows(2)) {
        steps.push(step(EventKind::StatusChanged, version, pair[1], Some(pair[0])));
    }
    AuditedOrder {
        order_id: id(number),
        customer_id: "CUST01".parse().unwrap(),
        idempotency_key: None,
        status: *path.last().unwrap(),
        version: u32::try_from(path.len()).unwrap(),
        deleted: false,
        items: items(2),
        steps,
    }
}

fn deleted(mut order: AuditedOrder) -> AuditedOrder {
    order.version += 1;
    order.deleted = true;
    order.steps.push(step(EventKind::Deleted, order.version, order.status, None));
    order
}

fn reservation(number: u128, state: ReservationState, quantity: u32) -> AuditedReservation {
    AuditedReservation { order_id: id(number), state, version: 1, items: items(quantity) }
}

/// One order in each state that it may rest in, and one that never came to be.
fn sound() -> Facts {
    use OrderStatus::{Cancelled, Delivered, Pending, Processing, Rejected, Shipped};
    use ReservationState::{Deducted, Held, Released, Void};
    Facts {
        orders: vec![
            order(1, &[Pending]),
            order(2, &[Processing]),
            order(3, &[Pending, Processing, Shipped]),
            order(4, &[Processing, Shipped, Delivered]),
            order(5, &[Processing, Cancelled]),
            order(6, &[Rejected]),
            deleted(order(7, &[Processing])),
            deleted(order(8, &[Processing, Shipped, Delivered])),
            order(9, &[Pending]),
        ],
        reservations: vec![
            reservation(2, Held, 2),
            reservation(3, Deducted, 2),
            reservation(4, Deducted, 2),
            reservation(5, Released, 2),
            reservation(7, Released, 2),
            reservation(8, Deducted, 2),
            reservation(9, Held, 2),
            reservation(99, Void, 2),
        ],
        told: Vec::new(),
    }
}

#[test]
fn where_everything_agrees_nothing_is_found() {
    assert_eq!(compare(&sound(), &ClientLog::default()), []);
}

#[test]
fn each_kind_of_corruption_is_found_alone_and_named() {
    use Invariant::{I1, I4, I5};
    use OrderStatus::{Delivered, Pending, Shipped};
    use ReservationState::{Deducted, Held, Released};
    type Harm = fn(&mut Facts);
    let cases: [(&str, Invariant, u128, Harm); 26] = [
        ("held, but it is unknown to inventory", I4, 2, |facts| {
            facts.reservations.retain(|found| found.order_id != id(2));
        }),
        ("must be held, but it is released", I4, 2, |facts| facts.reservations[0].state = Released),
        ("must be held, but it is deducted", I4, 2, |facts| facts.reservations[0].state = Deducted),
        ("ordered 2 of PROD01, but 3 are held", I4, 2, |facts| facts.reservations[0].items = items(3)),
        ("ordered 2 of PROD01, but 0 are held", I4, 2, |facts| facts.reservations[0].items.clear()),
        ("ordered 0 of PROD02, but 1 are held", I4, 2, |facts| {
            facts.reservations[0].items.push(Item { product_id: "PROD02".parse().unwrap(), quantity: 1 });
        }),
        ("must be deducted, but it is held", I4, 3, |facts| facts.reservations[1].state = Held),
        ("must be deducted, but it is released", I4, 4, |facts| facts.reservations[2].state = Released),
        ("must hold nothing, but its stock is held", I4, 5, |facts| facts.reservations[3].state = Held),
        ("must hold nothing, but its stock is held", I4, 6, |facts| {
            facts.reservations.push(reservation(6, Held, 2));
        }),
        ("PROCESSING and deleted in version 2, so it must hold nothing", I4, 7, |facts| {
            facts.reservations[4].state = Held;
        }),
        ("must be deducted", I4, 8, |facts| facts.reservations[5].state = Released),
        ("can't have gone out", I4, 9, |facts| facts.reservations[6].state = Deducted),
        ("ordered 2 of PROD01, but 1 are held", I4, 9, |facts| facts.reservations[6].items = items(1)),
        ("no such order, but stock is held", I4, 99, |facts| facts.reservations[7].state = Held),
        ("two reservations", I4, 2, |facts| facts.reservations.push(reservation(2, Held, 2))),
        ("exists twice", I1, 1, |facts| facts.orders.push(order(1, &[Pending]))),
        ("its key \"k\" names order", I1, 1, |facts| facts.orders[0].idempotency_key = Some("k".to_owned())),
        ("no history", I5, 1, |facts| facts.orders[0].steps.clear()),
        ("begins with StatusChanged", I5, 1, |facts| {
            facts.orders[0].steps[0].kind = EventKind::StatusChanged
        }),
        ("was created SHIPPED", I5, 3, |facts| facts.orders[2].steps[0].status = Shipped),
        ("version 2 is missing: version 3 is in its place", I5, 3, |facts| {
            facts.orders[2].steps.remove(1);
        }),
        ("from PENDING to DELIVERED", I5, 3, |facts| facts.orders[2].steps[1].status = Delivered),
        ("told as from nothing", I5, 3, |facts| facts.orders[2].steps[1].previous_status = None),
        ("its history ends SHIPPED in version 3", I5, 3, |facts| facts.orders[2].version = 4),
        ("its history doesn't say so", I5, 8, |facts| {
            facts.orders[7].steps.pop();
            facts.orders[7].version = 3;
        }),
    ];
    for (part, invariant, number, harm) in cases {
        let mut facts = sound();
        harm(&mut facts);
        let found = compare(&facts, &ClientLog::default());
        let [only] = &found[..] else { panic!("{part}: {found:?}") };
        assert_eq!((only.invariant, only.order_id), (invariant, Some(id(number))), "{part}");
        assert!(only.message.contains(part), "{part} is not in {:?}", only.message);
    }
}

#[test]
fn steps_that_the_state_table_does_not_have_are_found() {
    use OrderStatus::{Cancelled, Pending, Processing, Shipped};
    let details = |order: &mut AuditedOrder, status| {
        order.version += 1;
        order.steps.push(step(EventKind::DetailsChanged, order.version, status, None));
        order.status = status;
    };
    let mut moved_by_details = order(1, &[Pending]);
    details(&mut moved_by_details, Processing);
    let mut after_deletion = deleted(order(1, &[Cancelled]));
    after_deletion.steps[0].status = Processing;
    after_deletion.steps[1].status = Processing;
    after_deletion.status = Processing;
    details(&mut after_deletion, Processing);
    let cases = [
        (order(1, &[Processing, Shipped, Cancelled]), "from SHIPPED to CANCELLED"),
        (order(1, &[Processing, Processing]), "from PROCESSING to PROCESSING"),
        (moved_by_details, "DetailsChanged from PENDING to PROCESSING"),
        (after_deletion, "DetailsChanged after its deletion"),
        (deleted(order(1, &[Processing, Shipped])), "deleted while SHIPPED"),
    ];
    for (order, part) in cases {
        let fault = history::fault(&order);
        assert!(fault.as_deref().is_some_and(|fault| fault.contains(part)), "{part}: {fault:?}");
    }
}

#[test]
fn a_detail_that_changed_is_a_legal_step() {
    let mut order = order(1, &[OrderStatus::Processing]);
    order.version = 2;
    order.steps.push(step(EventKind::DetailsChanged, 2, OrderStatus::Processing, None));
    assert_eq!(history::fault(&order), None);
}

mod told {
    use super::*;

    fn named(key: &str) -> OrderId {
        OrderId::for_idempotency_key(&"CUST01".parse().unwrap(), key)
    }

    fn log(outcome: &str) -> ClientLog {
        let line = format!(r#"{{"key":"k","customerId":"CUST01","outcome":"{outcome}"}}"#);
        ClientLog::parse(line.as_bytes()).unwrap()
    }

    fn facts(order_is_there: bool, state: Option<ReservationState>) -> Facts {
        let mut order = order(1, &[OrderStatus::Pending]);
        (order.order_id, order.idempotency_key) = (named("k"), Some("k".to_owned()));
        let reservation =
            state.map(|state| AuditedReservation { order_id: named("k"), ..reservation(1, state, 2) });
        let orders = if order_is_there { vec![order] } else { Vec::new() };
        Facts { orders, reservations: reservation.into_iter().collect(), told: vec![named("k")] }
    }

    fn broken(outcome: &str, facts: &Facts) -> Vec<Invariant> {
        compare(facts, &log(outcome)).into_iter().map(|violation| violation.invariant).collect()
    }

    #[test]
    fn what_clients_were_told_is_held_against_what_is_there() {
        use Invariant::{I1, I2, I3, I4};
        use ReservationState::{Held, Void};
        let none: [Invariant; 0] = [];
        assert_eq!(broken("ok", &facts(true, Some(Held))), none);
        assert_eq!(broken("ok", &facts(false, None)), [I1]);
        assert_eq!(broken("error", &facts(false, None)), none);
        assert_eq!(broken("error", &facts(false, Some(Void))), none);
        assert_eq!(broken("error", &facts(true, None)), [I2]);
        assert_eq!(broken("error", &facts(false, Some(Held))), [I4, I2]);
        assert_eq!(broken("unknown", &facts(true, None)), none);
        assert_eq!(broken("unknown", &facts(false, None)), [I3]);
    }

    #[test]
    fn a_success_that_named_another_order_than_its_key_does_is_found() {
        let line =
            format!(r#"{{"key":"k","customerId":"CUST01","outcome":"ok","orderId":"{}"}}"#, named("l"));
        let log = ClientLog::parse(line.as_bytes()).unwrap();
        let found = misnamed(&log);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].invariant, found[0].order_id), (Invariant::I1, Some(named("k"))));
    }
}

#[test]
fn products_whose_books_do_not_add_up_are_named() {
    let mismatch = StockMismatch {
        product_id: "PROD01".parse().unwrap(),
        on_hand: 10,
        reserved: 3,
        ledger_on_hand: 9,
        ledger_reserved: 3,
        held: 2,
    };
    let found = books(&[mismatch]);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].product_id.as_ref().map(ToString::to_string).as_deref(), Some("PROD01"));
    assert_eq!(
        found[0].message,
        "its row says 10 on hand and 3 reserved, its ledger 9 and 3, and orders hold 2"
    );
}
