//! Runs one path, named by the first argument, as often as the second says: for `bench/tests/instructions`, which counts its
//! instructions under Valgrind.

use std::hint::black_box;

use anyhow::{Context as _, Result, bail};
use bus::envelope::{self, Envelope};
use schema::order::Order;
use schema::order_events::OrderEvent;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

const ORDERS: &str = include_str!("../../schema/messages/order.get.response.json");
const EVENT: &str = include_str!("../../schema/messages/order.created.json");

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().context("which path?")?;
    let times: u32 = arguments.next().context("how often?")?.parse()?;
    match path.as_str() {
        "reply" => repeat(times, reply),
        "event" => repeat(times, event),
        other => bail!("there is no path {other}"),
    }
}

fn repeat(times: u32, path: fn() -> Result<()>) -> Result<()> {
    (0..times).try_for_each(|_| path())
}

/// An answer to `order.get` as order-service writes it, and as the gateway reads it.
fn reply() -> Result<()> {
    let orders: Vec<Option<Order>> = serde_json::from_str(black_box(ORDERS))?;
    let body = envelope::write_response(&to_raw_value(&orders)?);
    let reply: Box<RawValue> = envelope::read_reply(&body)?;
    let orders: Vec<Option<Order>> = serde_json::from_str(reply.get())?;
    black_box(orders);
    Ok(())
}

/// An event as the relay writes it, and as a gateway reads it.
fn event() -> Result<()> {
    let event: Value = serde_json::from_str(black_box(EVENT))?;
    let body = envelope::write("order.created", &event, None);
    let event: OrderEvent = Envelope::read(&body)?.data()?;
    black_box(event);
    Ok(())
}
