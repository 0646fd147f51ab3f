//! `reservations`: what became of each order's stock.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "reservations")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub order_id: Uuid,
    pub state: String,
    pub fingerprint: String,
    pub attempt: i64,
    pub version: i64,
    pub confirmed: bool,
    pub created_at: DateTimeUtc,
    pub heard_at: DateTimeUtc,
    pub ask_at: Option<DateTimeUtc>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
