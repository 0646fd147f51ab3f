//! What the gateway's tests stand on: a server on a port of its own, and the API over services in memory.

mod api;
mod documents;
pub(crate) mod live_api;
mod server;
pub(crate) mod services;
pub(crate) mod toy;

pub(crate) use api::*;
pub(crate) use documents::*;
pub(crate) use server::*;
pub(crate) use testkit::WAIT_LIMIT;
