//! Clients of a GraphQL endpoint: [`GraphQlClient`] over HTTP, [`GraphQlSocket`] over graphql-transport-ws.

mod client;
mod socket;

pub use client::{GraphQlClient, Reply, http_client, refused_connection, reply};
pub use socket::{GraphQlSocket, Received};
