use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "order_events")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub seq: i64,
    /// The id of the message that tells of it.
    pub id: Uuid,
    /// Null until numbered.
    pub position: Option<i64>,
    pub order_id: Uuid,
    pub customer_id: String,
    pub version: i64,
    pub kind: String,
    pub status: String,
    pub previous_status: Option<String>,
    pub occurred_at: DateTimeUtc,
    /// The request that asked for it, if one did.
    pub request_id: Option<Uuid>,
    /// The whole order right after it.
    #[sea_orm(column_type = "JsonBinary")]
    pub payload: Json,
    pub traceparent: Option<String>,
    pub published_at: Option<DateTimeUtc>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
