//! The gateway: GraphQL in, messages out.
//!
//! - [`http`] speaks HTTP and WebSocket and knows callers ([`auth`]), documents and limits, over any schema.
//! - [`graphql`] is the schema: types and resolvers over the wire's orders, products and customers.
//! - [`orders`] places orders and asks the services; [`hub`] tells subscribers of every update once.
//! - [`service`] runs all of it, in a process of its own ([`process`]) or in another's.

pub mod auth;
pub mod http;
pub mod query;

pub mod graphql;
pub mod hub;
pub mod orders;

pub mod config;
pub mod process;
pub mod service;

mod backoff;
mod warm_up;

pub use backoff::Backoff;
pub use config::Config;
pub use service::Service;
