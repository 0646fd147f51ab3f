//! The gateway's tests: its HTTP server over a toy schema, its API over services in memory.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod kit;

mod arguments;
mod edge_audits;
mod edge_errors;
mod edge_health;
mod edge_http;
mod edge_jwks;
mod edge_limits;
mod edge_playground;
mod edge_socket;
mod edge_socket_flow;
mod edge_socket_handshake;
mod edge_tokens;
mod graphql_batches;
mod graphql_changes;
mod graphql_create_order;
mod graphql_faults;
mod graphql_queries;
mod graphql_reach;
mod graphql_schema;
mod graphql_updates;
