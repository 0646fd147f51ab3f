//! Forgets what requests for changes were answered, once no copy of them can come any more.

use std::time::Duration;

use store::StoreError;

use crate::context::Context;
use crate::orders::forget;

/// How long an answer is remembered that left no event. Copies of a request are refused 2 s after its deadline, and a
/// request is worked on for 30 s at the most: the rest is for clocks that differ and for machines that stall.
const REMEMBERED: Duration = Duration::from_hours(1);
const EVERY: Duration = Duration::from_mins(5);

/// Forgets what is old enough.
pub async fn delete_old_responses(context: &Context) -> Result<(), StoreError> {
    forget(&context.database, context.clock.now().minus(REMEMBERED)).await
}

/// Does so now and then, until dropped. Every copy of the service may.
pub(crate) async fn keep_cleaning_up(context: Context) {
    loop {
        if let Err(error) = delete_old_responses(&context).await {
            tracing::debug!(%error, "old answers are forgotten later");
        }
        tokio::time::sleep(EVERY).await;
    }
}
