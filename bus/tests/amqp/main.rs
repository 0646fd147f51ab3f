//! The transport over RabbitMQ, against real servers.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod administered;
mod blocked;
mod broker_dead_letters;
mod conformance;
mod declare;
mod holding_proxy;
mod idle;
mod kit;
mod nest_client;
mod oversized;
mod reconnect;
mod refused;
mod returned;
mod several_brokers;
mod silent_broker;
mod tls;
mod unknown_outcome;
