//! The operator's commands, run as an operator runs them: on a running system, on its files, and behind RabbitMQ.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod kit;

mod dead_letters;

mod audit;
mod configuration;
mod doctor;
mod judge;
mod traces;
