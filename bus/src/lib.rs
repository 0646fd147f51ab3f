//! How messages travel between Waybill's processes, and what that promises.
//!
//! Everything here stands on one small trait, [`transport::Transport`]: publish with confirmation,
//! consume with acknowledgement, exclusive queues, dead letters. [`amqp`] implements it over RabbitMQ;
//! the crate `embedded-broker` implements it in one process. What a message *means* (deadlines,
//! replies, retries, dead-lettering) is written once, above the trait, so both transports keep the same
//! promises; the conformance suite holds them to it.
//!
//! - [`rpc_client`] and [`rpc_server`]: requests with a deadline, answered or refused in time, never queued
//!   for later.
//! - [`consumer`]: durable commands and events, at least once: acknowledged after the effect, retried with
//!   growing delays, dead-lettered in the end.
//! - [`event_subscription`]: events as they happen, on a queue of one's own; gaps are said, not hidden.
//! - [`dead_letters`]: what was given up on, to be read, replayed or discarded.

#![warn(missing_docs)]

pub mod clock;
pub mod heartbeat;
pub mod ids;

pub mod envelope;
pub mod message;
pub mod topology;
pub mod transport;

pub mod breaker;
pub mod deadline;
pub mod rpc_client;
pub mod rpc_server;

pub mod commands;
pub mod consumer;
pub mod event_subscription;
pub mod events;

pub mod dead_letters;
pub mod failure;
pub mod trace;

pub mod amqp;

#[cfg(feature = "conformance")]
pub mod conformance;
