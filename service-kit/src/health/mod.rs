//! Readiness (should this copy get traffic?) as a list of conditions, and liveness (should it be restarted?) as the
//! heartbeats of its loops.

mod liveness;
mod readiness;

pub use liveness::{Liveness, LivenessReport, LoopReport, SILENCE_LIMIT};
pub use readiness::{Readiness, ReadinessHandle, ReadinessReport};
