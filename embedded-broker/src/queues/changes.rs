//! What has to be written down before a step becomes visible.

use super::{Entry, MessageId, QueueName};

/// A message as it is written down.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) id: MessageId,
    pub(crate) queue: QueueName,
    pub(crate) entry: Entry,
}

/// Rows to write and to delete, in one transaction.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) written: Vec<Stored>,
    pub(crate) deleted: Vec<MessageId>,
}

impl Changes {
    pub(crate) fn is_empty(&self) -> bool {
        self.written.is_empty() && self.deleted.is_empty()
    }
}
