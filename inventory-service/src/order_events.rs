//! Following orders by their events.

use async_trait::async_trait;
use bus::consumer::{Disposition, Job, MessageHandler};
use bus::events::read_event;
use bus::failure::Failure;
use store::StoreError;

use crate::inventory::Inventory;
use crate::stock::Heard;

#[async_trait]
impl MessageHandler for Inventory {
    /// Applies a batch of events in one transaction. Where the data of one makes that fail they are applied one by one,
    /// so that only the bad one is tried again and given up on in the end.
    async fn handle(&self, batch: &[Job]) -> Vec<Disposition> {
        let read: Vec<Result<Heard, Failure>> =
            batch.iter().map(|work| read_event(&work.message).map(|event| Heard::from(&event))).collect();
        let news: Vec<Heard> = read.iter().filter_map(|heard| heard.as_ref().ok().cloned()).collect();
        let mut dispositions = self.apply(&news).await.into_iter();
        let disposition = |heard: Result<Heard, Failure>| match heard {
            Err(failure) => Some(Disposition::Dead(failure)),
            Ok(_) => dispositions.next(),
        };
        read.into_iter().filter_map(disposition).collect()
    }
}

impl Inventory {
    async fn apply(&self, news: &[Heard]) -> Vec<Disposition> {
        match self.follow(news).await {
            Ok(_) => news.iter().map(|_| Disposition::Done(None)).collect(),
            Err(error) if error.is_transient() || news.len() == 1 => {
                news.iter().map(|_| failed(&error)).collect()
            }
            Err(_) => {
                let mut dispositions = Vec::with_capacity(news.len());
                for heard in news {
                    let followed = self.follow(std::slice::from_ref(heard)).await;
                    dispositions
                        .push(followed.map_or_else(|error| failed(&error), |_| Disposition::Done(None)));
                }
                dispositions
            }
        }
    }
}

fn failed(error: &StoreError) -> Disposition {
    let failure = error.clone().into();
    if error.is_transient() { Disposition::RetryInPlace(failure) } else { Disposition::Retry(failure) }
}
