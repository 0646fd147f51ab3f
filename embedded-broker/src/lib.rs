//! A broker in one process: the delivery contract of [`bus::transport`], durable in one SQLite file.
//!
//! The module `queues` moves messages as a plain, synchronous state machine: no IO, no tasks, no clock of its own.
//! [`EmbeddedBroker`] runs it: a writer groups the steps that wait (publishes, acknowledgements, dead letters) into one
//! SQLite transaction, and only committed steps become visible and are confirmed; a timer expires messages.
//! [`ManualBroker`] lets a simulation run it, one step at a time.
//!
//! Queues of kind [`Work`](bus::topology::QueueKind::Work) are durable with all their messages; request queues and
//! exclusive queues live in memory, as on RabbitMQ.

mod queues;

mod journal;
mod state;
mod writer;

mod broker;
mod connection;

pub use broker::{EmbeddedBroker, ManualBroker, Storage};
pub use journal::{OpenError, integrity_check};
pub use queues::MAX_MESSAGE_BYTES;
