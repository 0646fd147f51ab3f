use schema::ids::CustomerId;
use schema::order_messages::OrderScope;

/// Whose orders a caller can see and change.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Reach {
    /// Everybody's.
    Anybody,
    /// This customer's alone.
    Of(CustomerId),
}

impl Reach {
    /// Whether this customer's orders are in reach.
    pub(crate) fn includes(&self, customer: &CustomerId) -> bool {
        match self {
            Self::Anybody => true,
            Self::Of(own) => own == customer,
        }
    }
}

impl From<Reach> for OrderScope {
    fn from(reach: Reach) -> Self {
        match reach {
            Reach::Anybody => Self::Any,
            Reach::Of(customer_id) => Self::Customer { customer_id },
        }
    }
}

impl From<OrderScope> for Reach {
    fn from(scope: OrderScope) -> Self {
        match scope {
            OrderScope::Any => Self::Anybody,
            OrderScope::Customer { customer_id } => Self::Of(customer_id),
        }
    }
}
