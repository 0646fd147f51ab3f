//! Settling what was delivered, on the channel that it came over and on no other.

use async_trait::async_trait;
use futures::FutureExt as _;
use lapin::options::{BasicAckOptions, BasicNackOptions};
use lapin::{Acker, Channel};
use std::sync::Arc;
use std::time::Duration;

use super::properties;
use crate::transport::{Delivery, Settle, Settlement};

/// How long writing a settlement may take.
const SETTLE_LIMIT: Duration = Duration::from_secs(5);
const BACK_TO_ITS_QUEUE: BasicNackOptions = BasicNackOptions { requeue: true, multiple: false };

/// One delivery's way back. lapin closes a channel that nobody holds, so each delivery holds its own.
#[derive(Debug)]
struct Settling {
    acker: Acker,
    _channel: Arc<Channel>,
}

/// What lapin delivered, as a delivery of the contract's.
pub(super) fn delivery(received: lapin::message::Delivery, channel: &Arc<Channel>) -> Delivery {
    let count = properties::delivery_count(&received.properties, received.redelivered);
    let message = properties::read(&received.properties, received.data);
    let settling = Settling { acker: received.acker, _channel: Arc::clone(channel) };
    Delivery::new(message, count, Box::new(settling))
}

#[async_trait]
impl Settle for Settling {
    async fn settle(self: Box<Self>, settlement: Settlement) {
        let settling = async {
            match settlement {
                Settlement::Ack => self.acker.ack(BasicAckOptions::default()).await,
                Settlement::Requeue => self.acker.nack(BACK_TO_ITS_QUEUE).await,
            }
        };
        let outcome = match (tokio::time::timeout(SETTLE_LIMIT, settling).await, settlement) {
            (Ok(Ok(true)), Settlement::Ack) => "acked",
            (Ok(Ok(true)), Settlement::Requeue) => "requeued",
            _ => {
                tracing::debug!(?settlement, "too late to settle a delivery: it comes again");
                "lost"
            }
        };
        metrics::counter!("waybill_settled_total", "outcome" => outcome).increment(1);
    }
}

impl Drop for Settling {
    fn drop(&mut self) {
        if self.acker.usable() {
            // The first poll hands the request over to lapin, which needs nobody to wait for it.
            drop(self.acker.nack(BACK_TO_ITS_QUEUE).now_or_never());
        }
    }
}
