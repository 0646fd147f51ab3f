//! The public API: types and resolvers over the wire's orders, products and customers.
//!
//! Reading order: `query`, `mutation`, `subscription`, then the types; `loaders` is how nested fields reach other
//! services, `errors` how a field fails alone and what the client sees then.

mod customer;
mod errors;
mod federation;
mod loaders;
mod mutation;
mod node;
mod order;
mod page;
mod product;
mod query;
mod scalars;
mod schema;
mod subscription;

pub use self::schema::{Api, ApiSettings, sdl};
pub use self::subscription::UpdateRetries;
