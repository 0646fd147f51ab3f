//! Messaging between Waybill's processes, and its guarantees.
//!
//! The crate is built on one small trait, [`transport::Transport`]: publish with confirmation, consume with
//! acknowledgement, exclusive queues, peek. [`amqp`] implements it over RabbitMQ; the crate `embedded-broker` implements it
//! in one process. What a message *means* (deadlines, replies, retries, dead-lettering) is implemented once, above the
//! trait, so both transports give the same guarantees; the conformance suite tests both.
//!
//! - [`rpc_client`] and [`rpc_server`]: requests with a deadline, answered or refused in time, never kept for later;
//!   [`batching`]: what several callers read, in one request.
//! - [`commands`] and [`consumer`]: durable commands and events, at least once: acknowledged after the effect, retried with
//!   growing delays, dead-lettered in the end.
//! - [`events`]: order events, and a subscription to them that reports gaps.
//! - [`dead_letters`]: listing, replaying and discarding dead letters.
//! - [`tls`]: root certificates of brokers and databases.

#![warn(missing_docs)]

pub mod backoff;
pub mod clock;
mod clock_difference;
pub mod heartbeat;

pub mod envelope;
pub mod failure;
pub mod message;
pub mod topology;
pub mod transport;

pub mod batching;
mod breaker;
mod consumer_watch;
mod pending_replies;
pub mod rpc_client;
pub mod rpc_server;

pub mod commands;
pub mod consumer;
pub mod events;

pub mod dead_letters;
pub mod trace;

pub mod amqp;
pub mod tls;

#[cfg(feature = "conformance")]
pub mod conformance;
