//! What the same work costs without Waybill: the floors that each measurement is compared with.

mod graphql;
mod insert;
mod publish;
mod request_reply;

pub(crate) use graphql::{GraphQlFloor, serve_graphql};
pub(crate) use insert::InsertFloor;
pub(crate) use publish::PublishFloor;
pub(crate) use request_reply::{RequestFloor, serve_requests};
