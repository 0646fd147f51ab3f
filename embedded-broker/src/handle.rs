//! Settling one delivery.

use std::sync::Arc;

use async_trait::async_trait;
use bus::transport::{Settle, Settlement};
use tokio::sync::oneshot;

use crate::queues::{Changes, DeliveryTag};
use crate::shared::{Drive, Shared};
use crate::writer::Command;

/// The way to settle a delivery. Dropped, it puts the message back at once.
#[derive(Debug)]
pub(crate) struct Handle {
    shared: Arc<Shared>,
    tag: DeliveryTag,
    durable: bool,
    settled: bool,
}

impl Handle {
    pub(crate) fn new(shared: Arc<Shared>, tag: DeliveryTag, durable: bool) -> Self {
        Self { shared, tag, durable, settled: false }
    }

    async fn ack(mut self: Box<Self>) {
        let shared = self.shared.clone();
        match &shared.drive {
            Drive::Running(commands) if self.durable => {
                // Cancelled here, or with the writer gone, the drop below puts the message back.
                let Ok(place) = commands.reserve().await else { return };
                let (done, written) = oneshot::channel();
                self.settled = true;
                place.send(Command::Ack { tag: self.tag, done });
                // Without an answer the broker has stopped: the message is delivered again.
                let _stopped = written.await;
            }
            Drive::Running(_) | Drive::Manual => {
                self.settled = true;
                shared.with(|queues| {
                    if queues.stage_ack(self.tag, &mut Changes::default()) {
                        queues.commit_ack(self.tag);
                    }
                });
            }
        }
    }
}

#[async_trait]
impl Settle for Handle {
    async fn settle(self: Box<Self>, settlement: Settlement) {
        match settlement {
            Settlement::Ack => self.ack().await,
            Settlement::Requeue => drop(self),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if !self.settled {
            self.shared.with(|queues| queues.requeue(self.tag));
        }
    }
}
