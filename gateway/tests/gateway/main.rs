//! The gateway's tests: its edge over a toy schema, its API over services played in memory.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod edge_audits;
mod edge_errors;
mod edge_health;
mod edge_http;
mod edge_jwks;
mod edge_kit;
mod edge_limits;
mod edge_playground;
mod edge_socket;
mod edge_socket_flow;
mod edge_socket_handshake;
mod edge_tokens;
mod edge_toy;
