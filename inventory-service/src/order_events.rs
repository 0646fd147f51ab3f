//! Following orders by their events.

use async_trait::async_trait;
use bus::events::read_event;
use bus::failure::Failure;
use bus::work::{HandleWork, Verdict, Work};
use store::StoreError;

use crate::inventory::Inventory;
use crate::stock::Heard;

#[async_trait]
impl HandleWork for Inventory {
    /// Applies a batch of events in one transaction. Where the data of one makes that fail they are applied one by one,
    /// so that only the bad one is tried again and given up on in the end.
    async fn handle(&self, batch: &[Work]) -> Vec<Verdict> {
        let read: Vec<Result<Heard, Failure>> =
            batch.iter().map(|work| read_event(&work.message).map(|event| Heard::from(&event))).collect();
        let news: Vec<Heard> = read.iter().filter_map(|heard| heard.as_ref().ok().cloned()).collect();
        let mut verdicts = self.apply(&news).await.into_iter();
        let verdict = |heard: Result<Heard, Failure>| match heard {
            Err(failure) => Some(Verdict::Dead(failure)),
            Ok(_) => verdicts.next(),
        };
        read.into_iter().filter_map(verdict).collect()
    }
}

impl Inventory {
    async fn apply(&self, news: &[Heard]) -> Vec<Verdict> {
        match self.follow(news).await {
            Ok(_) => news.iter().map(|_| Verdict::Done(None)).collect(),
            Err(error) if error.is_transient() || news.len() == 1 => {
                news.iter().map(|_| failed(&error)).collect()
            }
            Err(_) => {
                let mut verdicts = Vec::with_capacity(news.len());
                for heard in news {
                    let followed = self.follow(std::slice::from_ref(heard)).await;
                    verdicts.push(followed.map_or_else(|error| failed(&error), |_| Verdict::Done(None)));
                }
                verdicts
            }
        }
    }
}

fn failed(error: &StoreError) -> Verdict {
    let failure = error.clone().into();
    if error.is_transient() { Verdict::Hold(failure) } else { Verdict::Retry(failure) }
}
