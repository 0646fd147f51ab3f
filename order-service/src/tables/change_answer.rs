use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "order_change_answers")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub request_id: Uuid,
    /// As the request named it: there may be no such order.
    pub order_id: Uuid,
    /// The version that was answered, where the order was as asked already.
    pub version: Option<i64>,
    /// Why it was refused, where it was.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub refusal: Option<Json>,
    pub answered_at: DateTimeUtc,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
