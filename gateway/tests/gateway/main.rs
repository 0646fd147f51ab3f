//! The gateway's tests: its HTTP server over a toy schema, its API over services in memory.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod kit;

mod arguments;
mod auth_jwks;
mod auth_tokens;
mod graphql_batches;
mod graphql_changes;
mod graphql_create_order;
mod graphql_faults;
mod graphql_queries;
mod graphql_reach;
mod graphql_schema;
mod graphql_update_gaps;
mod graphql_updates;
mod http_audits;
mod http_browsers;
mod http_connections;
mod http_errors;
mod http_health;
mod http_playground;
mod http_requests;
mod oracle;
mod query_limits;
mod query_merging;
mod query_mutations;
mod query_requests;
mod query_rules;
mod query_values;
mod unseen_orders;
mod websocket;
mod websocket_flow;
mod websocket_handshake;
mod websocket_shared;
