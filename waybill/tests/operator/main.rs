//! The operator's tools, run as an operator runs them: on a running shop, on its files, and behind RabbitMQ.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod kit;

mod dead_letters;

mod audit;
mod configuration;
mod doctor;
mod judge;
