//! The patterns of messages, and the services that answer them.

/// The services that answer requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Service {
    /// order-service
    Order,
    /// inventory-service
    Inventory,
    /// customer-service
    Customer,
}

impl Service {
    /// Every service.
    pub const ALL: [Self; 3] = [Self::Order, Self::Inventory, Self::Customer];

    /// The first word of the patterns and queues that belong to it.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The service that a pattern is addressed to, by its first word.
    pub fn from_pattern(pattern: &str) -> Option<Self> {
        let (first, _) = pattern.split_once('.')?;
        Self::ALL.into_iter().find(|service| service.name() == first)
    }
}

/// Request without data → [`crate::clock::ClockReport`]: `order.clock`, `inventory.clock`, `customer.clock`.
pub fn clock_of(service: Service) -> String {
    format!("{}.clock", service.name())
}

/// Command, one [`crate::order_messages::CreateOrder`].
pub const ORDER_CREATE: &str = "order.create";
/// Request, [`crate::order_messages::OrderLookup`]s → [`crate::order_messages::FoundOrder`]s or nulls.
pub const ORDER_GET: &str = "order.get";
/// Request, [`crate::order_messages::ListOrders`]s → [`crate::order_messages::OrderPage`]s.
pub const ORDER_LIST: &str = "order.list";
/// Request, [`crate::order_messages::Change`]s → orders or domain errors.
pub const ORDER_UPDATE: &str = "order.update";
/// Request, [`crate::order_messages::Change`]s → orders or domain errors.
pub const ORDER_CANCEL: &str = "order.cancel";
/// Request, [`crate::order_messages::Change`]s → the deleted orders or domain errors.
pub const ORDER_DELETE: &str = "order.delete";
/// Request, [`crate::order_messages::OrderRef`]s → lists of [`crate::order_messages::HistoryEntry`].
pub const ORDER_HISTORY: &str = "order.history";
/// Request, [`crate::order_messages::Replay`]s → [`crate::order_messages::Replayed`] or domain errors.
pub const ORDER_REPLAY: &str = "order.replay";
/// Request, [`crate::order_messages::Settle`]s → [`crate::order_messages::Settled`].
pub const ORDER_SETTLE: &str = "order.settle";
/// Request, [`crate::order_messages::AuditPage`]s → [`crate::order_messages::OrderAudited`].
pub const ORDER_AUDIT: &str = "order.audit";

/// Request, product ids → products or nulls.
pub const INVENTORY_GET: &str = "inventory.get";
/// Request, [`crate::inventory_messages::ListProducts`]s → [`crate::inventory_messages::ProductPage`]s.
pub const INVENTORY_LIST: &str = "inventory.list";
/// Request, [`crate::inventory_messages::Reserve`]s → [`crate::inventory_messages::Reserved`].
pub const INVENTORY_RESERVE: &str = "inventory.reserve";
/// Request, [`crate::inventory_messages::Adjust`]s → [`crate::inventory_messages::Adjusted`] or domain errors.
pub const INVENTORY_ADJUST: &str = "inventory.adjust";
/// Request, [`crate::inventory_messages::PutProduct`]s → products or domain errors.
pub const INVENTORY_PUT: &str = "inventory.put";
/// Request, product ids → products or domain errors: they can't be ordered any more.
pub const INVENTORY_WITHDRAW: &str = "inventory.withdraw";
/// Request, [`crate::order_messages::AuditPage`]s → [`crate::inventory_messages::StockAudited`].
pub const INVENTORY_AUDIT: &str = "inventory.audit";

/// Request, [`crate::inventory_messages::StockLevels`]s → lists of units, each of them once.
pub const INVENTORY_LEVELS: &str = "inventory.levels";

/// Request, customer ids → customers or nulls.
pub const CUSTOMER_GET: &str = "customer.get";
/// Request, customers → customers or domain errors.
pub const CUSTOMER_PUT: &str = "customer.put";

/// Whether a request with this pattern changes nothing. An unknown pattern may change something.
pub fn is_read(pattern: &str) -> bool {
    const READS: [&str; 9] = [
        ORDER_GET,
        ORDER_LIST,
        ORDER_HISTORY,
        ORDER_REPLAY,
        ORDER_AUDIT,
        INVENTORY_GET,
        INVENTORY_LIST,
        INVENTORY_AUDIT,
        CUSTOMER_GET,
    ];
    READS.contains(&pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_no_read() {
        assert!(is_read(ORDER_GET) && is_read(CUSTOMER_GET));
        for change in [ORDER_UPDATE, ORDER_SETTLE, INVENTORY_RESERVE, CUSTOMER_PUT, "order.unknown"] {
            assert!(!is_read(change), "{change}");
        }
    }

    #[test]
    fn a_pattern_names_its_service() {
        assert_eq!(Service::from_pattern(ORDER_GET), Some(Service::Order));
        assert_eq!(Service::from_pattern(INVENTORY_RESERVE), Some(Service::Inventory));
        assert_eq!(Service::from_pattern("customer.get"), Some(Service::Customer));
        assert_eq!(Service::from_pattern("order"), None);
        assert_eq!(Service::from_pattern("unknown.get"), None);
    }
}
