use async_graphql::Enum;

#[derive(Enum, Copy, Clone, PartialEq, Eq)]
#[graphql(remote = "schema::order::OrderStatus")]
pub(crate) enum OrderStatus {
    /// Accepted and durable; not yet checked against inventory and customer.
    Pending,
    /// Stock reserved, priced, being prepared.
    Processing,
    Shipped,
    Delivered,
    Cancelled,
    /// Refused; see rejection.
    Rejected,
}

#[derive(Enum, Copy, Clone, PartialEq, Eq)]
#[graphql(remote = "schema::order_events::EventKind")]
pub(crate) enum OrderUpdateKind {
    Created,
    StatusChanged,
    DetailsChanged,
    Deleted,
}
