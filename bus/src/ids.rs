//! Where fresh ids come from: passed in, so that a simulation draws them from its seed.

use uuid::Uuid;

/// Draws ids.
pub trait IdSource: Send + Sync + 'static {
    /// An id that nothing else has: a UUIDv7.
    fn fresh(&self) -> Uuid;
}

/// Ids from the machine's randomness and clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemIds;

impl IdSource for SystemIds {
    fn fresh(&self) -> Uuid {
        Uuid::now_v7()
    }
}
