use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "orders")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub customer_id: String,
    pub status: String,
    /// 0 for a fence.
    pub version: i64,
    pub fingerprint: String,
    /// Under which stock is, or is to be, reserved. For a fence: the last one that nothing will come of.
    pub attempt: i64,
    pub idempotency_key: Option<String>,
    /// The id of the message that placed it.
    pub created_by: Uuid,
    /// Minor units.
    pub total_amount: Option<i64>,
    /// Of the total and of every line's price.
    pub currency: Option<String>,
    pub shipping_address: Option<String>,
    pub tracking_company: Option<String>,
    pub tracking_number: Option<String>,
    #[sea_orm(column_type = "JsonBinary")]
    pub rejection: Option<Json>,
    pub created_at: DateTimeUtc,
    pub updated_at: DateTimeUtc,
    pub deleted_at: Option<DateTimeUtc>,
    /// No order: it says that none comes of the attempts so far.
    pub fenced: bool,
    pub pending_since: Option<DateTimeUtc>,
    /// While PENDING: when reserving is due again; in the future too while a copy is at it.
    pub next_try_at: Option<DateTimeUtc>,
    pub tries: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
