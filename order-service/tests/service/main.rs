//! The service's handlers over real databases, with customer-service and inventory-service in memory.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod backends;
mod broker;
mod kit;

mod audits;
mod changes;
mod crashes;
mod fences;
mod filters;
mod list_plans;
mod lists;
mod liveness;
mod pending;
mod place_order;
mod plans;
mod relay;
mod replays;
mod running;

/// Runs each test on SQLite and on PostgreSQL.
macro_rules! on_both_databases {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::kit::OrderService::on_sqlite().await).await;
            })*
        }
        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::kit::OrderService::on_postgres().await).await;
            })*
        }
    };
}
pub(crate) use on_both_databases;
