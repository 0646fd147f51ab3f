//! The tables of order-service as sea-orm entities.

#![expect(unreachable_pub, reason = "sea-orm's derives expect public types, in a module that isn't")]

/// `orders`: orders, deleted orders and fences.
pub mod order {
    use serde::Serialize;
    use store::entity::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Serialize)]
    #[sea_orm(table_name = "orders")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub customer_id: String,
        pub status: String,
        /// 0 for a fence.
        pub version: i64,
        pub fingerprint: String,
        /// The attempt that stock is reserved under. For a fence: the last attempt that no order comes of.
        pub attempt: i64,
        pub idempotency_key: Option<String>,
        /// The id of the `order.create` message.
        pub created_by: Uuid,
        /// Minor units.
        pub total_amount: Option<i64>,
        /// The currency of the total and of every line's price.
        pub currency: Option<String>,
        pub shipping_address: Option<String>,
        pub tracking_company: Option<String>,
        pub tracking_number: Option<String>,
        #[sea_orm(column_type = "JsonBinary")]
        pub rejection: Option<Json>,
        pub created_at: DateTimeUtc,
        pub updated_at: DateTimeUtc,
        pub deleted_at: Option<DateTimeUtc>,
        /// Whether the row is a fence: it says that no order comes of the attempts so far.
        pub fenced: bool,
        pub pending_since: Option<DateTimeUtc>,
        /// While PENDING: when the next try is due. A claim sets it to a time after the try must have ended.
        pub next_try_at: Option<DateTimeUtc>,
        pub tries: i64,
    }

    impl ActiveModelBehavior for ActiveModel {}
}

/// `order_line_items`.
pub mod line_item {
    use serde::Serialize;
    use store::entity::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Serialize)]
    #[sea_orm(table_name = "order_line_items")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub order_id: Uuid,
        /// The index among the order's lines, from 0.
        pub position: i32,
        pub product_id: String,
        pub product_name: Option<String>,
        pub quantity: i64,
        /// Minor units of the order's currency.
        pub unit_price: Option<i64>,
    }

    impl ActiveModelBehavior for ActiveModel {}
}

/// `order_products`: what lists by product read, one row for each line item of a readable order. Triggers write it.
pub mod order_product {
    use store::entity::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "order_products")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub order_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub product_id: String,
        pub customer_id: String,
        pub status: String,
        pub created_at: DateTimeUtc,
    }

    impl ActiveModelBehavior for ActiveModel {}
}

/// `order_events`: the history of each order, and the outbox.
pub mod order_event {
    use serde::Serialize;
    use store::entity::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Serialize)]
    #[sea_orm(table_name = "order_events")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub seq: i64,
        /// The id of the event's message.
        pub id: Uuid,
        /// Null until assigned.
        pub position: Option<i64>,
        pub order_id: Uuid,
        pub customer_id: String,
        pub version: i64,
        pub kind: String,
        pub status: String,
        pub previous_status: Option<String>,
        pub occurred_at: DateTimeUtc,
        /// The id of the request for the change, if there was one.
        pub request_id: Option<Uuid>,
        /// The whole order right after the event.
        #[sea_orm(column_type = "JsonBinary")]
        pub payload: Json,
        pub traceparent: Option<String>,
        pub published_at: Option<DateTimeUtc>,
    }

    impl ActiveModelBehavior for ActiveModel {}
}

/// `order_change_answers`: responses to requests for changes that left no event.
pub mod change_answer {
    use store::entity::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "order_change_answers")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub request_id: Uuid,
        /// The id in the request: no order may have it.
        pub order_id: Uuid,
        /// The version of the order that was answered, if the order needed no change.
        pub version: Option<i64>,
        /// The refusal that was answered, if the change was refused.
        #[sea_orm(column_type = "JsonBinary", nullable)]
        pub refusal: Option<Json>,
        pub answered_at: DateTimeUtc,
        /// If there was no such order: which of a fixed number of buckets bounds how long the answer is kept.
        pub unknown_order_bucket: Option<i16>,
    }

    impl ActiveModelBehavior for ActiveModel {}
}
