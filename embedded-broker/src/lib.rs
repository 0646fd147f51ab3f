//! A broker in one process: the delivery contract of [`bus::transport`], durable in one SQLite file.
//!
//! Everything that moves a message is a plain, synchronous state machine ([`queues`]): no IO, no tasks, no
//! clock of its own. Around it stand two thin shells. [`EmbeddedBroker`] runs it: a writer groups
//! whatever waits (publishes, acknowledgements, dead letters) into one SQLite transaction, and only what
//! is committed becomes visible and is confirmed; a timer sees to delayed and expired messages.
//! [`ManualBroker`] lets a simulation run it, one step at a time.
//!
//! Queues of kind [`Work`](bus::topology::QueueKind::Work) are durable, whatever is in them; requests and
//! exclusive queues live in memory, as they do on RabbitMQ.

#![warn(missing_docs)]

mod queues;
mod routing;

mod journal;
mod writer;

mod connection;
mod handle;
mod shared;
mod timer;

mod broker;
mod manual;

pub use broker::{EmbeddedBroker, Storage};
pub use journal::{OpenError, integrity_check};
pub use manual::ManualBroker;
pub use queues::MAX_MESSAGE_BYTES;
