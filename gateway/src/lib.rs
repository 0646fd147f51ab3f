//! The gateway: GraphQL in, messages out.

pub mod auth;
pub mod edge;
pub mod graphql;
pub mod orders;
