//! The judge finds each kind of corruption in sound facts.

use schema::ids::{OrderId, ProductId};
use schema::inventory_messages::{AuditedReservation, ReservationState, StockMismatch};
use schema::order::{OrderStatus, Rejection, RejectionCode, Shortfall};
use schema::order_events::EventKind;
use schema::order_messages::{AuditedOrder, HistoryEntry, Item, OrderScope};
use waybill::audit::{
    ClientOutcome, EventFacts, Facts, Invariant, Ledger, MovementFacts, OrderVersion, PlacementRecord,
    ProductFacts, RecordedEvents, Violation, check,
};

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
        rejection: None,
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

/// What the services answer an audit.
struct Answers {
    orders: Vec<AuditedOrder>,
    reservations: Vec<AuditedReservation>,
}

impl Answers {
    /// One order in each state that it may rest in, and one that never came to be.
    fn sound() -> Self {
        use OrderStatus::{Cancelled, Delivered, Pending, Processing, Rejected, Shipped};
        use ReservationState::{Deducted, Held, Released, Void};
        Self {
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
        }
    }

    fn into_facts(self) -> Facts {
        let mut facts = Facts { reservations: self.reservations, ..Facts::default() };
        self.orders.into_iter().for_each(|order| facts.add_order(order));
        facts
    }
}

/// What is wrong with an order's history alone.
fn history_faults(order: AuditedOrder) -> Vec<Violation> {
    let mut found = check(&Answers { orders: vec![order], reservations: Vec::new() }.into_facts());
    found.retain(|violation| violation.invariant == Invariant::I5);
    found
}

#[test]
fn nothing_is_found_if_everything_agrees() {
    assert_eq!(check(&Answers::sound().into_facts()), []);
}

#[test]
fn each_kind_of_corruption_is_found_alone_and_named() {
    use Invariant::{I1, I4, I5};
    use OrderStatus::{Delivered, Pending, Shipped};
    use ReservationState::{Deducted, Held, Released};
    type Harm = fn(&mut Answers);
    let cases: [(&str, Invariant, u128, Harm); 26] = [
        ("held, but it is unknown to inventory", I4, 2, |answers| {
            answers.reservations.retain(|found| found.order_id != id(2));
        }),
        ("must be held, but it is released", I4, 2, |answers| answers.reservations[0].state = Released),
        ("must be held, but it is deducted", I4, 2, |answers| answers.reservations[0].state = Deducted),
        ("ordered 2 of PROD01, but 3 are held", I4, 2, |answers| answers.reservations[0].items = items(3)),
        ("ordered 2 of PROD01, but 0 are held", I4, 2, |answers| answers.reservations[0].items.clear()),
        ("ordered 0 of PROD02, but 1 are held", I4, 2, |answers| {
            answers.reservations[0].items.push(Item { product_id: "PROD02".parse().unwrap(), quantity: 1 });
        }),
        ("must be deducted, but it is held", I4, 3, |answers| answers.reservations[1].state = Held),
        ("must be deducted, but it is released", I4, 4, |answers| answers.reservations[2].state = Released),
        ("must hold nothing, but its stock is held", I4, 5, |answers| answers.reservations[3].state = Held),
        ("must hold nothing, but its stock is held", I4, 6, |answers| {
            answers.reservations.push(reservation(6, Held, 2));
        }),
        ("PROCESSING and deleted in version 2, so it must hold nothing", I4, 7, |answers| {
            answers.reservations[4].state = Held;
        }),
        ("must be deducted", I4, 8, |answers| answers.reservations[5].state = Released),
        ("can't have gone out", I4, 9, |answers| answers.reservations[6].state = Deducted),
        ("ordered 2 of PROD01, but 1 are held", I4, 9, |answers| answers.reservations[6].items = items(1)),
        ("does not exist, but stock is held", I4, 99, |answers| answers.reservations[7].state = Held),
        ("two reservations", I4, 2, |answers| answers.reservations.push(reservation(2, Held, 2))),
        ("exists twice", I1, 1, |answers| {
            answers.orders.push(AuditedOrder { steps: Vec::new(), ..order(1, &[Pending]) });
        }),
        ("its key \"k\" names order", I1, 1, |answers| {
            answers.orders[0].idempotency_key = Some("k".to_owned());
        }),
        ("no history", I5, 1, |answers| answers.orders[0].steps.clear()),
        ("begins with StatusChanged", I5, 1, |answers| {
            answers.orders[0].steps[0].kind = EventKind::StatusChanged;
        }),
        ("was created SHIPPED", I5, 3, |answers| answers.orders[2].steps[0].status = Shipped),
        ("version 2 is missing: version 3 is in its place", I5, 3, |answers| {
            answers.orders[2].steps.remove(1);
        }),
        ("from PENDING to DELIVERED", I5, 3, |answers| answers.orders[2].steps[1].status = Delivered),
        ("recorded as from nothing", I5, 3, |answers| answers.orders[2].steps[1].previous_status = None),
        ("its history ends SHIPPED in version 3", I5, 3, |answers| answers.orders[2].version = 4),
        ("its history does not say so", I5, 8, |answers| {
            answers.orders[7].steps.pop();
            answers.orders[7].version = 3;
        }),
    ];
    for (part, invariant, number, harm) in cases {
        let mut answers = Answers::sound();
        harm(&mut answers);
        let found = check(&answers.into_facts());
        let [only] = &found[..] else { panic!("{part}: {found:?}") };
        assert_eq!((only.invariant, only.order_id), (invariant, Some(id(number))), "{part}");
        assert!(only.message.contains(part), "{part} is not in {:?}", only.message);
    }
}

/// Written by hand, so that the judge is not merely compared with the state table that it uses.
#[test]
fn a_status_may_follow_another_only_as_the_table_says() {
    // Rows are where an order stands, columns where it goes, both in the public schema's order.
    let table = [
        ("PENDING", ". + . . + +"),
        ("PROCESSING", ". . + . + ."),
        ("SHIPPED", ". . . + . ."),
        ("DELIVERED", ". . . . . ."),
        ("CANCELLED", ". . . . . ."),
        ("REJECTED", ". . . . . ."),
    ];
    for (from, row) in table {
        let from: OrderStatus = from.parse().unwrap();
        for (to, cell) in OrderStatus::ALL.into_iter().zip(row.split(' ')) {
            let path: &[OrderStatus] = match from {
                OrderStatus::Shipped => &[OrderStatus::Processing, from, to],
                OrderStatus::Delivered => &[OrderStatus::Processing, OrderStatus::Shipped, from, to],
                OrderStatus::Cancelled => &[OrderStatus::Pending, from, to],
                _ => &[from, to],
            };
            assert_eq!(history_faults(order(1, path)).is_empty(), cell == "+", "{from} to {to}");
        }
        let may_begin = ["PENDING", "PROCESSING", "REJECTED"].contains(&from.as_str());
        assert_eq!(history_faults(order(1, &[from])).is_empty(), may_begin, "created {from}");
        let may_be_deleted = may_begin && from != OrderStatus::Shipped;
        assert_eq!(history_faults(deleted(order(1, &[from]))).is_empty(), may_be_deleted, "deleted {from}");
    }
}

#[test]
fn steps_that_change_nothing_else_than_they_may_are_legal() {
    use OrderStatus::{Cancelled, Pending, Processing, Shipped};
    let details = |mut order: AuditedOrder, status| {
        order.version += 1;
        order.steps.push(step(EventKind::DetailsChanged, order.version, status, None));
        order.status = status;
        order
    };
    let created_again = {
        let mut order = order(1, &[Pending, Processing]);
        order.steps[1].kind = EventKind::Created;
        order
    };
    let created_from = {
        let mut order = order(1, &[Processing]);
        order.steps[0].previous_status = Some(Pending);
        order
    };
    assert_eq!(history_faults(details(order(1, &[Processing]), Processing)), []);
    let cases = [
        (order(1, &[Processing, Shipped, Cancelled]), "from SHIPPED to CANCELLED"),
        (order(1, &[Processing, Processing]), "from PROCESSING to PROCESSING"),
        (details(order(1, &[Pending]), Processing), "DetailsChanged from PENDING to PROCESSING"),
        (details(deleted(order(1, &[Processing])), Processing), "DetailsChanged after its deletion"),
        (deleted(order(1, &[Processing, Shipped])), "deleted while SHIPPED"),
        (created_again, "created again"),
        (created_from, "was created PROCESSING from Some(Pending)"),
    ];
    for (order, part) in cases {
        let found = history_faults(order);
        assert!(found.len() == 1 && found[0].message.contains(part), "{part}: {found:?}");
    }
}

/// What is found of an order under the key `k`, if it exists with this reservation and its client recorded this.
fn placement_faults(
    outcome: ClientOutcome,
    exists: bool,
    state: Option<ReservationState>,
    answered: &[OrderId],
) -> Vec<Invariant> {
    let order_id = named("k");
    let mut stored = order(1, &[OrderStatus::Pending]);
    (stored.order_id, stored.idempotency_key) = (order_id, Some("k".to_owned()));
    let orders = if exists { vec![stored] } else { Vec::new() };
    let reservation = state.map(|state| AuditedReservation { order_id, ..reservation(1, state, 2) });
    let mut facts = Answers { orders, reservations: reservation.into_iter().collect() }.into_facts();
    facts.placements.push(PlacementRecord {
        order_id,
        outcome,
        was_unknown: outcome == ClientOutcome::Unknown,
        answered: answered.to_vec(),
        fingerprints: Default::default(),
    });
    check(&facts).into_iter().map(|violation| violation.invariant).collect()
}

fn named(key: &str) -> OrderId {
    OrderId::for_idempotency_key(&"CUST01".parse().unwrap(), key)
}

#[test]
fn what_clients_recorded_is_compared_with_what_exists() {
    use ClientOutcome::{Error, Ok, Unknown};
    use Invariant::{I1, I2, I3, I4};
    use ReservationState::{Held, Void};
    for (outcome, exists, state, expected) in [
        (Ok, true, Some(Held), &[][..]),
        (Ok, false, None, &[I1]),
        (Error, false, None, &[]),
        (Error, false, Some(Void), &[]),
        (Error, true, None, &[I2]),
        (Error, false, Some(Held), &[I4, I2]),
        (Unknown, true, None, &[]),
        (Unknown, false, None, &[I3]),
    ] {
        let found = placement_faults(outcome, exists, state, &[]);
        assert_eq!(found, expected, "{outcome:?}, exists: {exists}, {state:?}");
    }
    assert_eq!(placement_faults(Ok, true, None, &[named("k")]), []);
    assert_eq!(placement_faults(Ok, true, None, &[named("l")]), [I1], "another order than the key names");
}

/// What is wrong with an order that was REJECTED for want of 2 mugs, of which so many were available, as the ledger says.
fn rejection_faults(available: u32, levels: &[i64]) -> Vec<Violation> {
    let product_id: ProductId = "PROD01".parse().unwrap();
    let shortfalls = vec![Shortfall { product_id: product_id.clone(), requested: 2, available }];
    let rejection = Rejection { code: RejectionCode::OutOfStock, message: "short".to_owned(), shortfalls };
    let rejected = AuditedOrder { rejection: Some(rejection), ..order(1, &[OrderStatus::Rejected]) };
    let mut facts = Answers { orders: vec![rejected], reservations: Vec::new() }.into_facts();
    facts.levels.insert((id(1), product_id), levels.to_vec());
    check(&facts)
}

#[test]
fn a_rejected_order_was_short_of_stock_at_that_moment() {
    assert_eq!(rejection_faults(1, &[0, 1, 40]), []);
    for (available, levels, part) in [
        (2, &[2][..], "REJECTED for 2 of PROD01, of which 2 were there"),
        (1, &[0, 5], "1 of PROD01 were available, which was never so"),
        (0, &[5], "0 of PROD01 were available, which was never so"),
    ] {
        let found = rejection_faults(available, levels);
        let [only] = &found[..] else { panic!("{part}: {found:?}") };
        assert_eq!((only.invariant, only.order_id), (Invariant::I4, Some(id(1))));
        assert!(only.message.contains(part), "{only:?}");
    }
    // Where every movement is known, the figure has to be one of them.
    let mut facts = complete();
    let product_id: ProductId = "PROD01".parse().unwrap();
    let shortfalls = vec![Shortfall { product_id, requested: 9, available: 7 }];
    let rejection = Rejection { code: RejectionCode::OutOfStock, message: "short".to_owned(), shortfalls };
    facts.orders[0].rejection = Some(rejection.clone());
    assert!(check(&facts).iter().any(|violation| violation.message.contains("never so")));
    facts.orders[0].rejection.as_mut().unwrap().shortfalls[0].available = 8;
    assert_eq!(check(&facts), []);
}

#[test]
fn products_that_inventory_finds_inconsistent_are_named() {
    let mismatch = StockMismatch {
        product_id: "PROD01".parse().unwrap(),
        on_hand: 10,
        reserved: 3,
        ledger_on_hand: 9,
        ledger_reserved: 3,
        held: 2,
    };
    let found = check(&Facts { mismatches: vec![mismatch], ..Facts::default() });
    assert_eq!(found.len(), 1);
    assert_eq!(
        found[0].to_string(),
        "product PROD01: its row says 10 on hand and 3 reserved, its ledger 9 and 3, and orders hold 2"
    );
}

#[test]
fn events_that_wait_to_be_published_are_counted() {
    let found = check(&Facts { unpublished: 3, ..Facts::default() });
    assert_eq!(found, [Violation::new(Invariant::I6, "3 events are not published")]);
}

fn movement(
    id: i64,
    kind: &str,
    order_id: Option<OrderId>,
    on_hand: [i64; 2],
    reserved: [i64; 2],
) -> MovementFacts {
    MovementFacts {
        id,
        product_id: "PROD01".parse().unwrap(),
        kind: kind.to_owned(),
        order_id,
        on_hand_delta: on_hand[1] - on_hand[0],
        reserved_delta: reserved[1] - reserved[0],
        on_hand_after: on_hand[1],
        reserved_after: reserved[1],
    }
}

fn placement(number: u128, outcome: ClientOutcome, answered: Option<u128>) -> PlacementRecord {
    PlacementRecord {
        order_id: id(number),
        outcome,
        was_unknown: outcome == ClientOutcome::Unknown,
        answered: answered.into_iter().map(id).collect(),
        fingerprints: ["asked".to_owned()].into(),
    }
}

/// All facts of a system at rest with an order to be sent, one that was sent, and one that was refused.
fn complete() -> Facts {
    use OrderStatus::{Processing, Shipped};
    let reservations =
        vec![reservation(1, ReservationState::Held, 2), reservation(2, ReservationState::Deducted, 2)];
    let mut facts =
        Answers { orders: vec![order(1, &[Processing]), order(2, &[Processing, Shipped])], reservations }
            .into_facts();
    for (event, position) in facts.events.iter_mut().zip(1..) {
        (event.position, event.published) = (Some(position), Some(true));
    }
    facts.orders[0].fingerprint = Some("asked".to_owned());
    let recorded = |event: &EventFacts| (event.order_id, event.version, event.position.unwrap());
    let movements = vec![
        movement(1, "receive", None, [0, 10], [0, 0]),
        movement(2, "reserve", Some(id(1)), [10, 10], [0, 2]),
        movement(3, "reserve", Some(id(2)), [10, 10], [2, 4]),
        movement(4, "deduct", Some(id(2)), [10, 8], [4, 2]),
    ];
    let product_id = "PROD01".parse().unwrap();
    Facts {
        complete: true,
        recorded_events: Some(RecordedEvents {
            in_order: true,
            events: facts.events.iter().map(recorded).collect(),
        }),
        ledger: Some(Ledger {
            products: vec![ProductFacts { product_id, on_hand: 8, reserved: 2 }],
            movements,
            received: Some([("PROD01".parse().unwrap(), 10)].into()),
        }),
        placements: vec![
            placement(1, ClientOutcome::Ok, Some(1)),
            placement(2, ClientOutcome::Ok, Some(2)),
            placement(3, ClientOutcome::Error, None),
        ],
        answered_versions: vec![OrderVersion { order_id: id(2), version: 2, status: Shipped }],
        listed: Some([(id(1), (Processing, 1)), (id(2), (Shipped, 2))].into()),
        ..facts
    }
}

#[test]
fn each_corruption_of_complete_facts_is_found() {
    use Invariant::{I1, I2, I3, I4, I5, I6, I8, Rest};
    assert_eq!(check(&complete()), []);
    type Harm = fn(&mut Facts);
    let cases: [(&str, Invariant, Harm); 19] = [
        ("an input that no client sent", I1, |facts| {
            facts.orders[0].fingerprint = Some("other".to_owned());
        }),
        ("no client asked for it", I1, |facts| drop(facts.placements.remove(1))),
        ("success without an order", I1, |facts| facts.placements[0].answered.clear()),
        ("stock is released for it", I2, |facts| {
            facts.reservations.push(reservation(3, ReservationState::Released, 2));
        }),
        ("never resolved", I3, |facts| facts.placements[0] = placement(1, ClientOutcome::Unknown, None)),
        ("which has no event", Invariant::I7, |facts| {
            facts.subscribers.push(waybill::audit::SubscriberRecord {
                name: "subscriber".to_owned(),
                scope: OrderScope::Customer { customer_id: "CUST01".parse().unwrap() },
                after: (id(7), 1),
                received: Vec::new(),
                errors: Vec::new(),
            });
        }),
        ("10 were received", I4, |facts| facts.ledger.as_mut().unwrap().movements[0].order_id = Some(id(1))),
        ("movement of kind give", I4, |facts| {
            facts.ledger.as_mut().unwrap().movements[3].kind = "give".to_owned();
        }),
        ("leads to 8 on hand and 2 reserved", I4, |facts| {
            facts.ledger.as_mut().unwrap().movements[3].reserved_after = 3;
        }),
        ("calls for Moved", I4, |facts| {
            facts.ledger.as_mut().unwrap().movements[1].order_id = Some(id(2));
        }),
        ("has movements and does not exist", I4, |facts| facts.ledger.as_mut().unwrap().products.clear()),
        ("and orders hold 3", I4, |facts| facts.reservations[0].items = items(3)),
        ("which is PROCESSING in its history", I5, |facts| facts.answered_versions[0].version = 1),
        ("position Some(2) after Some(4)", I5, |facts| {
            (facts.events[1].position, facts.events[2].position) = (Some(4), Some(2));
        }),
        ("has events and does not exist", I5, |facts| drop(facts.orders.remove(1))),
        ("was delivered after 1", I6, |facts| {
            facts.recorded_events.as_mut().unwrap().events.swap(1, 2);
        }),
        ("position 2 is the last delivered of 3", I6, |facts| {
            facts.recorded_events.as_mut().unwrap().events.pop();
        }),
        ("dead letters are", I8, |facts| facts.dead_letters.push("m1".to_owned())),
        ("holds 1 messages", Rest, |facts| facts.queues.push(("order.commands".to_owned(), 1))),
    ];
    for (part, invariant, harm) in cases {
        let mut facts = complete();
        harm(&mut facts);
        let found = check(&facts);
        let is_named =
            |violation: &Violation| violation.invariant == invariant && violation.to_string().contains(part);
        assert!(found.iter().any(is_named), "{part}: {found:?}");
    }
    let mut pending = complete();
    pending.orders[0].status = OrderStatus::Pending;
    let found: Vec<Invariant> = check(&pending).into_iter().map(|violation| violation.invariant).collect();
    assert!(found.contains(&Rest) && found.contains(&I4), "PENDING holds nothing at rest: {found:?}");
}
