//! One message of each type, in the words of the shop.

use schema::clock::{ClockReport, SenderClock};
use schema::customer::Customer;
use schema::domain_error::{DomainError, DomainErrorCode, DomainResult};
use schema::ids::{CustomerId, OrderId, ProductId, line_item_id};
use schema::inventory_messages::{
    Adjust, Adjusted, AuditedReservation, ListProducts, ProductPage, PutProduct, ReservationState, Reserve,
    Reserved, ReservedItem, StockAudited, StockLevels, StockMismatch,
};
use schema::money::{Currency, Money};
use schema::order::{LineItem, Order, OrderStatus, Rejection, RejectionCode, Shortfall};
use schema::order_events::{EventKind, OrderEvent};
use schema::order_messages::request_fingerprint;
use schema::order_messages::{
    AuditPage, AuditedOrder, Backlog, Change, Changes, CreateOrder, FoundOrder, HistoryEntry, Item,
    ListOrders, OrderAudited, OrderCreated, OrderFilter, OrderLookup, OrderPage, OrderRef, OrderScope,
    Replay, ReplayFrom, Replayed, Settle, Settled,
};
use schema::page::Page;
use schema::product::Product;
use schema::time::Timestamp;
use uuid::Uuid;

use crate::check;

/// Checks every sample and answers their names.
pub(crate) fn check_all() -> Vec<String> {
    let mut names = Vec::new();
    let mut sample = |name: &str, check: &dyn Fn(&str)| {
        check(name);
        names.push(name.to_owned());
    };
    sample("order.create", &|name| check(name, &placement()));
    sample("order.create.response", &|name| check(name, &DomainResult::Done(placed())));
    sample("order.create.refused", &|name| check(name, &refused::<OrderCreated>()));
    sample("order.get", &|name| check(name, &vec![order_ref(OrderScope::Any), order_ref(own())]));
    sample("order.get.response", &|name| check(name, &vec![Some(order()), Some(rejected()), None]));
    sample("order.list", &|name| check(name, &list_orders()));
    sample("order.list.response", &|name| check(name, &vec![DomainResult::Done(order_page())]));
    sample("order.update", &|name| check(name, &vec![change(shipment())]));
    sample("order.update.response", &|name| check(name, &vec![DomainResult::Done(order()), refused()]));
    sample("order.cancel", &|name| check(name, &vec![change(Changes::default())]));
    sample("order.delete", &|name| check(name, &vec![change(Changes::default())]));
    sample("order.history", &|name| check(name, &vec![order_ref(own())]));
    sample("order.history.response", &|name| check(name, &vec![history()]));
    sample("order.replay", &|name| check(name, &replays()));
    sample("order.replay.response", &|name| check(name, &vec![DomainResult::Done(replayed()), refused()]));
    sample("order.settle", &|name| check(name, &vec![Settle { order_id: order_id(), attempt: 1 }]));
    sample("order.settle.response", &|name| check(name, &vec![settled(), Settled::Void]));
    sample("order.audit", &|name| check(name, &vec![AuditPage { after: Some(order_id()), limit: 500 }]));
    sample("order.audit.response", &|name| check(name, &vec![order_audited()]));
    for kind in EventKind::ALL {
        sample(kind.pattern(), &|name| check(name, &event(kind)));
    }
    sample("inventory.get", &|name| check(name, &vec![mug()]));
    sample("inventory.get.response", &|name| check(name, &vec![Some(product()), None]));
    sample("inventory.list", &|name| check(name, &vec![list_products()]));
    sample("inventory.list.response", &|name| check(name, &vec![DomainResult::Done(product_page())]));
    sample("inventory.reserve", &|name| check(name, &vec![reserve()]));
    sample("inventory.reserve.response", &|name| check(name, &reserved()));
    sample("inventory.adjust", &|name| check(name, &vec![adjust()]));
    sample("inventory.adjust.response", &|name| {
        check(name, &vec![DomainResult::Done(adjusted(false)), DomainResult::Done(adjusted(true)), refused()])
    });
    sample("inventory.withdraw", &|name| check(name, &vec![mug()]));
    sample("inventory.withdraw.response", &|name| {
        check(name, &vec![DomainResult::Done(product()), refused()]);
    });
    sample("inventory.put", &|name| check(name, &vec![put_product()]));
    sample("inventory.put.response", &|name| check(name, &vec![DomainResult::Done(product()), refused()]));
    sample("inventory.audit", &|name| check(name, &vec![AuditPage { after: None, limit: 500 }]));
    sample("inventory.audit.response", &|name| check(name, &vec![stock_audited()]));
    sample("inventory.levels", &|name| {
        check(name, &vec![StockLevels { product_id: mug(), ago_ms: 60_000, within_ms: 10_000 }]);
    });
    sample("inventory.levels.response", &|name| check(name, &vec![vec![240_i64, 238]]));
    sample("order.clock.response", &|name| check(name, &clock_report()));
    sample("order.get.creation", &|name| {
        check(name, &vec![OrderLookup { order: order_ref(own()), creation: true }]);
    });
    sample("order.get.creation.response", &|name| {
        let found = FoundOrder { order: order(), created_by: Some(Uuid::from_u128(7)), deleted: true };
        check(name, &vec![Some(found)]);
    });
    sample("customer.get", &|name| check(name, &vec![ada().id]));
    sample("customer.get.response", &|name| check(name, &vec![Some(ada()), None]));
    sample("customer.put", &|name| check(name, &vec![ada()]));
    sample("customer.put.response", &|name| check(name, &vec![DomainResult::Done(ada()), refused()]));
    names
}

fn order_id() -> OrderId {
    "019ab1f0-7b2a-7c3d-8e4f-5a6b7c8d9e0f".parse().unwrap()
}

fn customer_id() -> CustomerId {
    "CUST01".parse().unwrap()
}

fn mug() -> ProductId {
    "PROD01".parse().unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn placed_at() -> Timestamp {
    at("2026-11-23T19:10:51.371Z")
}

fn usd(amount_minor: i64) -> Money {
    Money { amount_minor, currency: Currency::USD }
}

fn own() -> OrderScope {
    OrderScope::Customer { customer_id: customer_id() }
}

fn items() -> Vec<Item> {
    vec![Item { product_id: mug(), quantity: 2 }]
}

fn placement() -> CreateOrder {
    CreateOrder {
        order_id: order_id(),
        customer_id: customer_id(),
        items: items(),
        shipping_address: Some("1 Harbour Street, Portland".to_owned()),
        idempotency_key: Some("basket-7".to_owned()),
        placed_at: placed_at(),
    }
}

fn order() -> Order {
    Order {
        id: order_id(),
        customer_id: customer_id(),
        status: OrderStatus::Processing,
        version: 1,
        fingerprint: request_fingerprint(&items(), Some("1 Harbour Street, Portland")),
        line_items: vec![LineItem {
            id: line_item_id(order_id(), &mug()),
            product_id: mug(),
            product_name: Some("Enamel mug".to_owned()),
            quantity: 2,
            unit_price: Some(usd(1450)),
        }],
        total_amount: Some(usd(2900)),
        shipping_address: Some("1 Harbour Street, Portland".to_owned()),
        tracking_company: None,
        tracking_number: None,
        rejection: None,
        created_at: placed_at(),
        updated_at: at("2026-11-23T19:10:51.402Z"),
    }
}

fn rejected() -> Order {
    let rejection = Rejection {
        code: RejectionCode::OutOfStock,
        message: "there is not enough stock".to_owned(),
        shortfalls: vec![shortfall()],
    };
    Order { status: OrderStatus::Rejected, rejection: Some(rejection), ..order() }
}

fn shortfall() -> Shortfall {
    Shortfall { product_id: mug(), requested: 2, available: 1 }
}

fn placed() -> OrderCreated {
    OrderCreated { order: Some(order()), replayed: false }
}

fn refused<T>() -> DomainResult<T> {
    let field = ["input", "id"];
    DomainResult::Refused {
        refused: DomainError::at(DomainErrorCode::OrderNotFound, "there is no such order", field),
    }
}

fn order_ref(owner: OrderScope) -> OrderRef {
    OrderRef { order_id: order_id(), owner }
}

fn list_orders() -> Vec<ListOrders> {
    let page = Page { first: Some(20), after: Some("bzEK".to_owned()), ..Page::default() };
    let of_product = OrderFilter {
        statuses: Some(vec![OrderStatus::Processing]),
        product_id: Some(mug()),
        placed_from: Some(at("2026-11-23T00:00:00.000Z")),
        placed_before: Some(at("2026-11-24T00:00:00.000Z")),
        ..OrderFilter::default()
    };
    let tracked = OrderFilter { tracking_number: Some("PP 1".to_owned()), ..OrderFilter::default() };
    vec![
        ListOrders { owner: own(), filter: of_product, page },
        ListOrders { owner: OrderScope::Any, filter: tracked, page: Page::default() },
    ]
}

fn order_page() -> OrderPage {
    OrderPage { orders: vec![order()], has_next_page: true, has_previous_page: false }
}

fn shipment() -> Changes {
    Changes {
        status: Some(OrderStatus::Shipped),
        shipping_address: None,
        tracking_company: Some("Parcel Post".to_owned()),
        tracking_number: Some("PP 1".to_owned()),
    }
}

fn change(changes: Changes) -> Change {
    Change {
        request_id: Uuid::from_u128(0x019a_b1f0_7b2a_7c3d_8e4f_0000_0000_0001),
        order_id: order_id(),
        owner: own(),
        changes,
        expected_version: Some(1),
    }
}

fn history() -> Vec<HistoryEntry> {
    let entry = |kind, version, status, previous_status| HistoryEntry {
        kind,
        version,
        status,
        previous_status,
        occurred_at: placed_at(),
    };
    vec![
        entry(EventKind::Created, 1, OrderStatus::Pending, None),
        entry(EventKind::StatusChanged, 2, OrderStatus::Processing, Some(OrderStatus::Pending)),
    ]
}

fn replays() -> Vec<Replay> {
    let replay = |after| Replay { owner: own(), order_id: None, after, limit: 100 };
    vec![
        replay(Some(ReplayFrom::Position(41))),
        replay(Some(ReplayFrom::Cursor("dTEK".to_owned()))),
        Replay { owner: OrderScope::Any, order_id: Some(order_id()), ..replay(None) },
    ]
}

fn event(kind: EventKind) -> OrderEvent {
    OrderEvent {
        position: 42,
        kind,
        order_id: order_id(),
        customer_id: customer_id(),
        version: 1,
        previous_status: (kind == EventKind::StatusChanged).then_some(OrderStatus::Pending),
        occurred_at: placed_at(),
        order: order(),
    }
}

fn replayed() -> Replayed {
    Replayed { events: vec![event(EventKind::Created)], next: 44, head: 57 }
}

fn settled() -> Settled {
    Settled::Order { status: OrderStatus::Processing, version: 1, deleted: false }
}

fn order_audited() -> OrderAudited {
    let order = AuditedOrder {
        order_id: order_id(),
        customer_id: customer_id(),
        idempotency_key: Some("basket-7".to_owned()),
        status: OrderStatus::Processing,
        version: 2,
        deleted: false,
        items: items(),
        rejection: None,
        steps: history(),
    };
    let backlog = Backlog {
        now: placed_at(),
        unpublished_since: Some(placed_at()),
        pending: 1,
        pending_since: Some(placed_at()),
    };
    OrderAudited { orders: vec![order], has_more: false, outbox: 1, head: 57, backlog: Some(backlog) }
}

fn clock_report() -> ClockReport {
    let sender = SenderClock { process: "waybill.gateway.7f3a".to_owned(), ahead_ms: -40 };
    ClockReport { now: placed_at(), senders: vec![sender] }
}

fn product() -> Product {
    Product {
        id: mug(),
        name: "Enamel mug".to_owned(),
        description: "Half a litre, for the camp fire.".to_owned(),
        unit_price: usd(1450),
        available_quantity: 240,
        created_at: placed_at(),
        updated_at: placed_at(),
    }
}

fn list_products() -> ListProducts {
    let page = Page { last: Some(5), before: Some("cDEK".to_owned()), ..Page::default() };
    ListProducts { search: Some("mug".to_owned()), page }
}

fn product_page() -> ProductPage {
    ProductPage { products: vec![product()], has_next_page: false, has_previous_page: true }
}

fn reserve() -> Reserve {
    Reserve { order_id: order_id(), fingerprint: order().fingerprint, attempt: 1, items: items() }
}

fn reserved() -> Vec<Reserved> {
    let priced = || {
        vec![ReservedItem {
            product_id: mug(),
            quantity: 2,
            name: "Enamel mug".to_owned(),
            unit_price: usd(1450),
        }]
    };
    vec![
        Reserved::Reserved { items: priced() },
        Reserved::OutOfStock { shortfalls: vec![shortfall()], items: priced() },
        Reserved::UnknownProducts { product_ids: vec![mug()] },
        Reserved::Closed,
        Reserved::Conflict,
    ]
}

fn adjust() -> Adjust {
    let adjustment_id = Uuid::from_u128(0x019a_b1f0_7b2a_7c3d_8e4f_0000_0000_0002);
    Adjust { adjustment_id, product_id: mug(), by: 120, reason: "delivery 7".to_owned() }
}

fn adjusted(repeated: bool) -> Adjusted {
    Adjusted { product: product(), repeated }
}

fn put_product() -> PutProduct {
    let Product { id, name, description, unit_price, .. } = product();
    PutProduct { id, name, description, unit_price }
}

fn stock_audited() -> StockAudited {
    StockAudited {
        mismatches: vec![StockMismatch {
            product_id: mug(),
            on_hand: 240,
            reserved: 2,
            ledger_on_hand: 240,
            ledger_reserved: 2,
            held: 3,
        }],
        reservations: vec![AuditedReservation {
            order_id: order_id(),
            state: ReservationState::Held,
            version: 1,
            items: items(),
        }],
        has_more: false,
    }
}

fn ada() -> Customer {
    Customer {
        id: customer_id(),
        name: "Ada Lindgren".to_owned(),
        email: "ada@example.com".to_owned(),
        phone: Some("+1 503 555 0100".to_owned()),
        shipping_address: "1 Harbour Street, Portland".to_owned(),
    }
}
