use schema::ids::{CustomerId, OrderId};
use schema::order_events::OrderEvent;
use schema::order_messages::OrderScope;

/// Which events a subscriber wants, all of them within its reach.
#[derive(Debug, Clone)]
pub(crate) enum Interest {
    /// Those of a customer's orders.
    Customer(CustomerId),
    /// Those of one order, if it is within reach; it need not exist yet.
    Order(OrderId, OrderScope),
}

/// What events are handed out by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Topic {
    Customer(CustomerId),
    Order(OrderId),
}

impl Interest {
    pub(super) fn topic(&self) -> Topic {
        match self {
            Self::Customer(customer_id) => Topic::Customer(customer_id.clone()),
            Self::Order(order_id, _) => Topic::Order(*order_id),
        }
    }

    pub(super) fn reach(&self) -> OrderScope {
        match self {
            Self::Customer(customer_id) => OrderScope::Customer { customer_id: customer_id.clone() },
            Self::Order(_, reach) => reach.clone(),
        }
    }

    pub(super) fn order_id(&self) -> Option<OrderId> {
        match self {
            Self::Customer(_) => None,
            Self::Order(order_id, _) => Some(*order_id),
        }
    }

    pub(super) fn includes(&self, event: &OrderEvent) -> bool {
        match self {
            Self::Customer(customer_id) => event.customer_id == *customer_id,
            Self::Order(order_id, reach) => event.order_id == *order_id && reach.includes(&event.customer_id),
        }
    }
}

impl Topic {
    /// The topics that an event belongs to.
    pub(super) fn of(event: &OrderEvent) -> [Self; 2] {
        [Self::Customer(event.customer_id.clone()), Self::Order(event.order_id)]
    }
}
