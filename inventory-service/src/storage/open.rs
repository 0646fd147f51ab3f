use std::collections::{BTreeMap, BTreeSet};

use schema::ids::{OrderId, ProductId};
use sea_orm::{
    ColumnTrait as _, DatabaseTransaction, DbBackend, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _, QueryTrait,
};
use store::{StoreError, for_update};
use uuid::Uuid;

use super::rows;
use super::tables::{product, reservation, reservation_line, stock_movement};
use crate::stock::{Book, Reservation, Row};

/// What a transaction is about.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scope {
    /// Orders, whether they have a row or not.
    pub(crate) orders: BTreeSet<OrderId>,
    /// Products; those that the orders hold are added.
    pub(crate) products: BTreeSet<ProductId>,
    /// Adjustments, whether made or not.
    pub(crate) adjustments: BTreeSet<Uuid>,
}

/// Fills a book with everything in scope, locked until the transaction ends.
///
/// Products first, then reservations, each in the order of their ids: transactions that overlap wait for one another
/// instead of deadlocking. Two that are about to make the same order's row want the same products, so that the second
/// one sees the first one's row; where it doesn't, the primary key stops it.
pub(super) async fn fill(
    book: &mut Book,
    transaction: &DatabaseTransaction,
    backend: DbBackend,
    scope: &Scope,
) -> Result<(), StoreError> {
    let orders: Vec<Uuid> = scope.orders.iter().map(|order| order.0).collect();
    let mut products = scope.products.clone();
    products.extend(products_of(transaction, &orders).await?);
    lock_products(book, transaction, backend, &products).await?;
    let reservations = lock_reservations(transaction, backend, &orders).await?;
    for reservation in reservations.into_values() {
        if reservation.lines.iter().any(|line| !products.contains(&line.product_id)) {
            // Superseded in between, with other products.
            return Err(StoreError::Contention("a reservation's products changed".to_owned()));
        }
        book.reservations.insert(reservation.order_id, Row::stored(reservation));
    }
    book.adjustments = made(transaction, &scope.adjustments).await?;
    Ok(())
}

async fn products_of(
    transaction: &DatabaseTransaction,
    orders: &[Uuid],
) -> Result<Vec<ProductId>, StoreError> {
    if orders.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<String> = reservation_line::Entity::find()
        .select_only()
        .column(reservation_line::Column::ProductId)
        .distinct()
        .filter(reservation_line::Column::OrderId.is_in(orders.iter().copied()))
        .into_tuple()
        .all(transaction)
        .await?;
    ids.into_iter().map(rows::product_id).collect()
}

async fn lock_products(
    book: &mut Book,
    transaction: &DatabaseTransaction,
    backend: DbBackend,
    products: &BTreeSet<ProductId>,
) -> Result<(), StoreError> {
    if products.is_empty() {
        return Ok(());
    }
    let mut select = product::Entity::find()
        .filter(product::Column::Id.is_in(products.iter().map(ProductId::as_str)))
        .order_by_asc(product::Column::Id);
    for_update(backend, QueryTrait::query(&mut select));
    for row in select.all(transaction).await? {
        let product = rows::product(row)?;
        book.products.insert(product.id.clone(), Row::stored(product));
    }
    Ok(())
}

async fn lock_reservations(
    transaction: &DatabaseTransaction,
    backend: DbBackend,
    orders: &[Uuid],
) -> Result<BTreeMap<Uuid, Reservation>, StoreError> {
    let mut reservations = BTreeMap::new();
    if orders.is_empty() {
        return Ok(reservations);
    }
    let mut select = reservation::Entity::find()
        .filter(reservation::Column::OrderId.is_in(orders.iter().copied()))
        .order_by_asc(reservation::Column::OrderId);
    for_update(backend, QueryTrait::query(&mut select));
    for row in select.all(transaction).await? {
        reservations.insert(row.order_id, rows::reservation(row)?);
    }
    if reservations.is_empty() {
        return Ok(reservations);
    }
    let lines = reservation_line::Entity::find()
        .filter(reservation_line::Column::OrderId.is_in(reservations.keys().copied()))
        .all(transaction)
        .await?;
    for row in lines {
        if let Some(reservation) = reservations.get_mut(&row.order_id) {
            reservation.lines.push(rows::line(row)?);
        }
    }
    Ok(reservations)
}

async fn made(
    transaction: &DatabaseTransaction,
    adjustments: &BTreeSet<Uuid>,
) -> Result<BTreeSet<Uuid>, StoreError> {
    if adjustments.is_empty() {
        return Ok(BTreeSet::new());
    }
    let made: Vec<Uuid> = stock_movement::Entity::find()
        .select_only()
        .column(stock_movement::Column::AdjustmentId)
        .filter(stock_movement::Column::AdjustmentId.is_in(adjustments.iter().copied()))
        .into_tuple()
        .all(transaction)
        .await?;
    Ok(made.into_iter().collect())
}
