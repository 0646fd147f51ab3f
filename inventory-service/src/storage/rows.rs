use schema::ids::{OrderId, ProductId};
use schema::inventory_messages::ReservationState;
use schema::money::Money;
use store::StoreError;

use super::tables::{product, reservation, reservation_line};
use crate::stock::{Line, Reservation, StockedProduct};

/// What a row can't be, by our own constraints, unless somebody else has written it.
fn corrupt(what: &str, error: impl std::fmt::Display) -> StoreError {
    StoreError::Data(format!("{what}: {error}"))
}

pub(crate) fn product(row: product::Model) -> Result<StockedProduct, StoreError> {
    Ok(StockedProduct {
        id: product_id(row.id)?,
        name: row.name,
        description: row.description,
        unit_price: money(row.unit_price, &row.currency)?,
        on_hand: row.on_hand,
        reserved: row.reserved,
        created_at: row.created_at.into(),
        updated_at: row.updated_at.into(),
    })
}

/// A reservation still without its lines.
pub(super) fn reservation(row: reservation::Model) -> Result<Reservation, StoreError> {
    let number =
        |number: i64| u32::try_from(number).map_err(|error| corrupt("a number of a reservation", error));
    Ok(Reservation {
        order_id: order_id(row.order_id),
        state: state(&row.state)?,
        fingerprint: row.fingerprint,
        attempt: number(row.attempt)?,
        version: number(row.version)?,
        confirmed: row.confirmed,
        created_at: row.created_at.into(),
        heard_at: row.heard_at.into(),
        ask_at: row.ask_at.map(Into::into),
        lines: Vec::new(),
        lines_changed: false,
    })
}

pub(super) fn line(row: reservation_line::Model) -> Result<Line, StoreError> {
    Ok(Line {
        product_id: product_id(row.product_id)?,
        quantity: u32::try_from(row.quantity).map_err(|error| corrupt("a quantity", error))?,
        product_name: row.product_name,
        unit_price: money(row.unit_price, &row.currency)?,
    })
}

pub(super) fn product_id(text: String) -> Result<ProductId, StoreError> {
    ProductId::try_from(text).map_err(|error| corrupt("a product's id", error))
}

pub(super) fn order_id(id: uuid::Uuid) -> OrderId {
    OrderId(id)
}

pub(crate) fn state(text: &str) -> Result<ReservationState, StoreError> {
    use ReservationState::{Deducted, Held, Released, Void};
    let named = |state: &ReservationState| state.as_str() == text;
    [Held, Deducted, Released, Void]
        .into_iter()
        .find(named)
        .ok_or_else(|| corrupt("a reservation's state", text))
}

fn money(amount_minor: i64, currency: &str) -> Result<Money, StoreError> {
    let currency = currency.parse().map_err(|error| corrupt("a currency", error))?;
    Ok(Money { amount_minor, currency })
}
