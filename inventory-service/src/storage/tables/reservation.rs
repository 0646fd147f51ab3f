//! `reservations`: what became of each order's stock.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "reservations")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) order_id: Uuid,
    pub(crate) state: String,
    pub(crate) fingerprint: String,
    pub(crate) attempt: i64,
    pub(crate) version: i64,
    pub(crate) confirmed: bool,
    pub(crate) created_at: DateTimeUtc,
    pub(crate) heard_at: DateTimeUtc,
    pub(crate) ask_at: Option<DateTimeUtc>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
