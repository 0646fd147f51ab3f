use std::time::Duration;

use itertools::Itertools as _;
use schema::ids::{OrderId, ProductId};
use schema::inventory_messages::ReservationState::{Deducted, Held, Released, Void};
use schema::inventory_messages::{Adjust, PutProduct, ReservationState, Reserve, Reserved};
use schema::money::{Currency, Money};
use schema::order::OrderStatus::{self, Cancelled, Delivered, Pending, Processing, Rejected, Shipped};
use schema::order_messages::Item;
use schema::time::Timestamp;
use uuid::Uuid;

use super::{DesiredState, HoldTime, Reconciled, ReportedState, UnitOfWork};

const ORDER: OrderId = OrderId(Uuid::from_u128(1));
const OTHER: OrderId = OrderId(Uuid::from_u128(2));

fn product(id: &str) -> ProductId {
    id.parse().unwrap()
}

fn items(items: &[(&str, u32)]) -> Vec<Item> {
    items.iter().map(|&(id, quantity)| Item { product_id: product(id), quantity }).collect()
}

/// Ten mugs and three trays.
fn work() -> UnitOfWork {
    let now: Timestamp = "2026-11-23T19:10:51.371Z".parse().unwrap();
    let mut work = UnitOfWork::new(now, HoldTime(Duration::from_secs(60)));
    for (id, on_hand) in [("MUG", 10), ("TRAY", 3)] {
        let unit_price = Money { amount_minor: 1450, currency: Currency::USD };
        let put =
            PutProduct { id: product(id), name: id.to_lowercase(), description: id.to_owned(), unit_price };
        work.put(&put, Currency::USD).unwrap();
        work.adjust(&adjust(id, on_hand)).unwrap();
    }
    work
}

fn adjust(id: &str, by: i64) -> Adjust {
    Adjust { adjustment_id: Uuid::new_v4(), product_id: product(id), by, reason: "counted".to_owned() }
}

fn reserve(order_id: OrderId, attempt: u32, fingerprint: &str, requested: &[(&str, u32)]) -> Reserve {
    Reserve { order_id, fingerprint: fingerprint.to_owned(), attempt, items: items(requested) }
}

fn reported(status: OrderStatus, version: u32, deleted: bool) -> ReportedState {
    let desired = DesiredState { fingerprint: "f".to_owned(), items: items(&[("MUG", 2), ("TRAY", 1)]) };
    ReportedState { order_id: ORDER, status, version, deleted, desired: Some(desired) }
}

fn stock(work: &UnitOfWork, id: &str) -> (i64, i64) {
    let product = &work.products[&product(id)].value;
    (product.on_hand, product.reserved)
}

#[track_caller]
fn assert_adds_up(work: &UnitOfWork) {
    for (id, row) in &work.products {
        let of_product = || work.movements.iter().filter(|movement| movement.product_id == *id);
        let on_hand: i64 = of_product().map(|movement| movement.on_hand_delta).sum();
        let reserved: i64 = of_product().map(|movement| movement.reserved_delta).sum();
        let held: u32 = work
            .reservations
            .values()
            .filter(|row| row.value.state == Held)
            .flat_map(|row| &row.value.lines)
            .filter(|line| line.product_id == *id)
            .map(|line| line.quantity)
            .sum();
        assert_eq!((row.value.on_hand, row.value.reserved), (on_hand, reserved), "{id}: ledger");
        assert_eq!(reserved, i64::from(held), "{id}: reservations");
        assert!(of_product().all(|movement| (0..=movement.on_hand_after).contains(&movement.reserved_after)));
    }
    for row in work.reservations.values() {
        assert_eq!(row.value.ask_at.is_some(), row.value.state == Held);
    }
}

fn outcome(reserved: &Reserved) -> &'static str {
    reserved.into()
}

#[test]
fn an_order_holds_everything_it_asks_for_or_nothing() {
    let mut work = work();
    let reserved = work.reserve(&reserve(ORDER, 1, "f", &[("MUG", 2), ("TRAY", 3)]));
    let Reserved::Reserved { items: priced } = &reserved else { panic!("{reserved:?}") };
    assert_eq!((priced[0].name.as_str(), priced[0].unit_price.amount_minor), ("mug", 1450));
    let refused = work.reserve(&reserve(OTHER, 1, "f", &[("MUG", 1), ("TRAY", 1)]));
    let Reserved::OutOfStock { shortfalls, items: priced } = &refused else { panic!("{refused:?}") };
    assert_eq!((shortfalls.len(), shortfalls[0].requested, shortfalls[0].available), (1, 1, 0));
    assert_eq!(priced.len(), 2);
    let unknown = work.reserve(&reserve(OTHER, 1, "f", &[("MUG", 99), ("SPOON", 1)]));
    assert_eq!(unknown, Reserved::UnknownProducts { product_ids: vec![product("SPOON")] });
    assert_eq!((stock(&work, "MUG"), stock(&work, "TRAY")), ((10, 2), (3, 3)));
    assert!(work.reservation(OTHER).is_none(), "a refusal leaves no row");
    assert_adds_up(&work);
}

/// The answers of an order's row to attempts 1, 2 and 3 if attempt 2 made the row.
#[test]
fn a_row_answers_each_attempt_by_its_state() {
    let report = |status, version| Some(Step::Report(reported(status, version, false)));
    let held = ["closed", "reserved", "conflict", "reserved"];
    for (name, step, expected, state) in [
        ("held", None, held, Held),
        ("held, and PENDING reported", report(Pending, 1), held, Held),
        ("confirmed", report(Processing, 1), ["closed", "reserved", "conflict", "closed"], Held),
        ("deducted", report(Shipped, 2), ["closed"; 4], Deducted),
        ("released", report(Cancelled, 2), ["closed"; 4], Released),
        ("void", Some(Step::Void { attempt: 2 }), ["closed", "closed", "closed", "reserved"], Void),
    ] {
        let mut before = work();
        before.reserve(&reserve(ORDER, 2, "f", &[("MUG", 2), ("TRAY", 1)]));
        if let Some(step) = step {
            take(&mut before, &step);
        }
        assert_eq!(before.reservation(ORDER).unwrap().state, state, "{name}");
        let requests = [(1, "f"), (2, "f"), (2, "g"), (3, "f")];
        for ((attempt, fingerprint), expected) in requests.into_iter().zip(expected) {
            let mut work = before.clone();
            let request = reserve(ORDER, attempt, fingerprint, &[("TRAY", 1), ("MUG", 2)]);
            let first = work.reserve(&request);
            assert_eq!(outcome(&first), expected, "{name}, attempt {attempt} with {fingerprint}");
            let stock_after = (stock(&work, "MUG"), stock(&work, "TRAY"));
            assert_eq!(work.reserve(&request), first, "{name}: asked again");
            assert_eq!((stock(&work, "MUG"), stock(&work, "TRAY")), stock_after, "{name}: asked again");
            assert_adds_up(&work);
        }
    }
}

#[test]
fn a_greater_attempt_may_use_what_the_lesser_one_held() {
    let mut work = work();
    work.reserve(&reserve(ORDER, 1, "f", &[("TRAY", 3)]));
    let reserved = work.reserve(&reserve(ORDER, 2, "g", &[("TRAY", 2), ("MUG", 1)]));
    assert_eq!(outcome(&reserved), "reserved");
    assert_eq!((stock(&work, "MUG"), stock(&work, "TRAY")), ((10, 1), (3, 2)));
    let refused = work.reserve(&reserve(ORDER, 3, "h", &[("MUG", 11)]));
    assert_eq!(outcome(&refused), "out_of_stock");
    assert_eq!((stock(&work, "MUG"), stock(&work, "TRAY")), ((10, 0), (3, 0)));
    assert_eq!(outcome(&work.reserve(&reserve(ORDER, 2, "g", &[("TRAY", 2)]))), "closed");
    assert_eq!(outcome(&work.reserve(&reserve(ORDER, 3, "h", &[("MUG", 10)]))), "reserved");
    assert_adds_up(&work);
}

/// A message that may be delivered at any time, and any number of times.
enum Step {
    Reserve,
    Report(ReportedState),
    Void { attempt: u32 },
}

fn take(work: &mut UnitOfWork, step: &Step) {
    match step {
        Step::Reserve => _ = work.reserve(&reserve(ORDER, 1, "f", &[("MUG", 2), ("TRAY", 1)])),
        Step::Report(state) => _ = work.reconcile(state),
        Step::Void { attempt } => _ = work.void(ORDER, *attempt),
    }
    assert_adds_up(work);
}

/// The statuses that an order's versions bring, and whether it is deleted; the row and the mugs it ends with.
type Life = (&'static [(OrderStatus, bool)], ReservationState, (i64, i64));

#[test]
fn whatever_the_order_of_messages_and_however_often_they_come_stock_ends_as_the_last_state_calls_for() {
    let lives: [Life; 8] = [
        (&[(Processing, false)], Held, (10, 2)),
        (&[(Pending, false), (Processing, false), (Shipped, false), (Delivered, false)], Deducted, (8, 0)),
        (&[(Processing, false), (Shipped, false), (Delivered, false), (Delivered, true)], Deducted, (8, 0)),
        (&[(Processing, false), (Cancelled, false), (Cancelled, true)], Released, (10, 0)),
        (&[(Pending, false), (Cancelled, false)], Released, (10, 0)),
        (&[(Pending, false), (Rejected, false)], Released, (10, 0)),
        (&[(Processing, false), (Processing, true)], Released, (10, 0)),
        (&[(Pending, false), (Pending, true)], Released, (10, 0)),
    ];
    for (life, state, mugs) in lives {
        let events = (1..)
            .zip(life)
            .map(|(version, &(status, deleted))| Step::Report(reported(status, version, deleted)));
        let steps: Vec<Step> = std::iter::once(Step::Reserve).chain(events).collect();
        for order in steps.iter().permutations(steps.len()) {
            let mut work = work();
            for step in &order {
                take(&mut work, step);
                take(&mut work, step);
            }
            order.iter().for_each(|step| take(&mut work, step));
            assert_eq!(work.reservation(ORDER).map(|row| row.state), Some(state), "{life:?}");
            assert_eq!(stock(&work, "MUG"), mugs, "{life:?}");
        }
    }
}

#[test]
fn a_pending_order_that_holds_nothing_leaves_no_row() {
    let mut work = work();
    assert_eq!(work.reconcile(&reported(Pending, 1, false)), Reconciled::Done);
    assert!(work.reservation(ORDER).is_none());
}

#[test]
fn an_order_whose_hold_was_lost_takes_stock_where_it_can_and_is_reported_where_it_cannot() {
    let mut there = work();
    assert_eq!(there.reconcile(&reported(Processing, 1, false)), Reconciled::Repaired);
    assert_eq!(stock(&there, "MUG"), (10, 2));
    assert_eq!(there.reconcile(&reported(Shipped, 2, false)), Reconciled::Done);
    assert_eq!(stock(&there, "MUG"), (8, 0));
    let cancelled = there.reconcile(&reported(Cancelled, 3, false));
    assert!(matches!(cancelled, Reconciled::Inconsistent(_)), "goods don't come back");
    assert_eq!(stock(&there, "MUG"), (8, 0));

    let mut gone = work();
    gone.reserve(&reserve(OTHER, 1, "f", &[("TRAY", 3)]));
    assert!(matches!(gone.reconcile(&reported(Processing, 1, false)), Reconciled::Inconsistent(_)));
    assert_eq!((stock(&gone, "MUG"), gone.reservation(ORDER).unwrap().state), ((10, 0), Void));
    gone.adjust(&adjust("TRAY", 1)).unwrap();
    assert_eq!(gone.reconcile(&reported(Shipped, 2, false)), Reconciled::Repaired);
    assert_adds_up(&gone);
}

#[test]
fn a_hold_of_something_else_is_put_right_by_the_event() {
    let mut work = work();
    work.reserve(&reserve(ORDER, 1, "g", &[("MUG", 9)]));
    assert_eq!(work.reconcile(&reported(Processing, 1, false)), Reconciled::Repaired);
    assert_eq!((stock(&work, "MUG"), stock(&work, "TRAY")), ((10, 2), (3, 1)));
    assert_adds_up(&work);
}

#[test]
fn only_the_attempt_that_was_asked_about_is_voided() {
    let mut work = work();
    work.reserve(&reserve(ORDER, 2, "f", &[("MUG", 2), ("TRAY", 1)]));
    assert_eq!(work.void(ORDER, 1), Reconciled::Stale);
    assert_eq!(stock(&work, "MUG"), (10, 2));
    assert_eq!(work.void(ORDER, 2), Reconciled::Done);
    assert_eq!(work.void(ORDER, 2), Reconciled::Stale);
    assert_eq!(stock(&work, "MUG"), (10, 0));
    assert_eq!(work.void(OTHER, 1), Reconciled::Stale);

    work.reserve(&reserve(ORDER, 3, "f", &[("MUG", 2), ("TRAY", 1)]));
    work.reconcile(&reported(Processing, 1, false));
    assert!(matches!(work.void(ORDER, 3), Reconciled::Inconsistent(_)), "the order was reported before");
    assert_eq!(stock(&work, "MUG"), (10, 2));
    assert_adds_up(&work);
}

#[test]
fn an_answer_without_items_leaves_a_lost_hold_to_the_event_that_has_them() {
    let mut work = work();
    work.reserve(&reserve(ORDER, 1, "f", &[("MUG", 2), ("TRAY", 1)]));
    work.void(ORDER, 1);
    let answer = ReportedState { desired: None, ..reported(Processing, 1, false) };
    assert!(matches!(work.reconcile(&answer), Reconciled::Inconsistent(_)));
    assert_eq!(work.reconcile(&reported(Processing, 1, false)), Reconciled::Repaired);
    assert_eq!(stock(&work, "MUG"), (10, 2));
}

#[test]
fn an_order_that_stands_on_its_hold_is_asked_about_rarely() {
    let mut work = work();
    let at = |work: &UnitOfWork| work.reservation(ORDER).unwrap().ask_at.unwrap().since(work.now);
    work.reserve(&reserve(ORDER, 1, "f", &[("MUG", 2), ("TRAY", 1)]));
    assert_eq!(at(&work), Duration::from_secs(60));
    work.reconcile(&reported(Pending, 1, false));
    assert_eq!(at(&work), Duration::from_secs(60));
    work.reconcile(&reported(Processing, 2, false));
    assert_eq!(at(&work), Duration::from_secs(600));
    work.now = work.now.plus(Duration::from_secs(600));
    work.reconcile(&reported(Processing, 2, false));
    assert_eq!(at(&work), Duration::from_secs(600), "the same report again postpones it");
}

#[test]
fn an_adjustment_is_made_once_and_never_takes_what_is_held() {
    let mut work = work();
    work.reserve(&reserve(ORDER, 1, "f", &[("MUG", 4)]));
    let more = adjust("MUG", 5);
    for repeated in [false, true] {
        let adjusted = work.adjust(&more).unwrap();
        assert_eq!((adjusted.product.available_quantity, adjusted.repeated), (11, repeated));
    }
    let codes = [adjust("MUG", -12), adjust("MUG", i64::MAX), adjust("MUG", 0), adjust("SPOON", 1)]
        .map(|adjust| format!("{:?}", work.adjust(&adjust).unwrap_err().code));
    assert_eq!(codes, ["StockTooLow", "InvalidInput", "InvalidInput", "ProductNotFound"]);
    assert_eq!(work.adjust(&adjust("MUG", -11)).unwrap().product.available_quantity, 0);
    assert_eq!(stock(&work, "MUG"), (4, 4));
    assert_adds_up(&work);
}

#[test]
fn a_withdrawn_product_cannot_be_ordered_and_orders_that_have_it_keep_it() {
    let mut work = work();
    work.reserve(&reserve(ORDER, 1, "f", &[("MUG", 2), ("TRAY", 1)]));
    assert_eq!(work.withdraw(&product("MUG")).unwrap().available_quantity, 0);
    let unknown = Reserved::UnknownProducts { product_ids: vec![product("MUG")] };
    assert_eq!(work.reserve(&reserve(OTHER, 1, "f", &[("TRAY", 1), ("MUG", 1)])), unknown);
    assert_eq!(work.reconcile(&reported(Processing, 1, false)), Reconciled::Done);
    work.reconcile(&reported(Shipped, 2, false));
    assert_eq!(stock(&work, "MUG"), (8, 0));
    // An event that comes without its hold is followed all the same.
    let other = ReportedState { order_id: OTHER, ..reported(Processing, 1, false) };
    assert_eq!(work.reconcile(&other), Reconciled::Repaired);
    assert_eq!(stock(&work, "MUG"), (8, 2));

    let unit_price = Money { amount_minor: 1450, currency: Currency::USD };
    let put = PutProduct { id: product("MUG"), name: "mug".into(), description: "MUG".into(), unit_price };
    assert_eq!(work.put(&put, Currency::USD).unwrap().available_quantity, 6, "it is back");
    assert!(work.withdraw(&product("SPOON")).is_err());
    assert_adds_up(&work);
}

#[test]
fn a_price_is_within_what_an_orders_total_can_hold() {
    let mut work = work();
    let put = |amount_minor| PutProduct {
        id: product("MUG"),
        name: "Mug".into(),
        description: "Blue".into(),
        unit_price: Money { amount_minor, currency: Currency::USD },
    };
    let dearest = schema::limits::PRICE_MAX_MINOR;
    let most = put(dearest).unit_price.times(schema::limits::QUANTITY_MAX).unwrap();
    let lines = std::iter::repeat_n(most, schema::limits::ORDER_MAX_ITEMS);
    assert!(Money::sum(Currency::USD, lines).is_some());
    assert!(work.put(&put(dearest), Currency::USD).is_ok());
    for amount_minor in [-1, dearest + 1, i64::MAX] {
        let refusal = work.put(&put(amount_minor), Currency::USD).unwrap_err();
        assert_eq!(refusal.message, "unitPrice must be 0 to 10000000000.00");
    }
}

#[test]
fn a_product_is_put_without_touching_its_stock() {
    let mut work = work();
    let unit_price = Money { amount_minor: 1600, currency: Currency::USD };
    let put = PutProduct { id: product("MUG"), name: "Mug".into(), description: "Blue".into(), unit_price };
    let product = work.put(&put, Currency::USD).unwrap();
    assert_eq!((product.unit_price, product.available_quantity), (unit_price, 10));
    let euros = "EUR".parse().unwrap();
    assert!(work.put(&put, euros).is_err(), "a shop has one currency");
    assert!(work.put(&PutProduct { name: String::new(), ..put }, Currency::USD).is_err());
}
