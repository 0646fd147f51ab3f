//! The gateway: GraphQL in, messages out.

pub mod auth;
mod backoff;
pub mod edge;
pub mod graphql;
pub mod hub;
pub mod orders;

pub use backoff::Backoff;
