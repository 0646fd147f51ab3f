//! The gateway: GraphQL in, messages out.
//!
//! - [`http`] serves GraphQL over HTTP and WebSocket, over any schema; [`auth`] checks tokens.
//! - [`query`] parses, bounds and executes documents.
//! - [`graphql`] is the schema: types and resolvers over the wire's orders, products and customers.
//! - [`orders`] places orders and sends requests to the services, [`orders::unseen`] places those again that the broker
//!   lost; [`subscriptions`] brings subscribers every update once.
//! - [`service`] runs all of it.

pub mod auth;
pub mod http;
pub mod query;

pub mod graphql;
pub mod orders;
pub mod subscriptions;

pub mod config;
pub mod service;

pub use config::Config;
pub use service::start;
