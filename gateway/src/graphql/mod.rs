//! The public API: types and resolvers over the wire's orders, products and customers.
//!
//! Reading order: `query`, `mutation`, `subscription`, then the types; `loading` is how nested fields reach other services,
//! `nullable` how one of them fails alone, `fault` what is said then.

mod api;
mod customer;
mod fault;
mod loading;
mod money;
mod mutation;
mod nullable;
mod order;
mod page;
mod product;
mod query;
mod scalars;
mod subscription;

pub use api::{Api, ApiSettings, sdl};
pub use subscription::UpdatePatience;
