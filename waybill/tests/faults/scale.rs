//! How much of each fault: a little for every run of the tests, or as much as RELIABILITY.md reports.

/// Names the scale: `full`, or anything else for the short form.
const VARIABLE: &str = "WAYBILL_FAULTS";

/// Whether the faults are tried at the scale that is promised.
#[expect(clippy::disallowed_methods, reason = "`make faults` hands the scale to the tests by this variable")]
pub(crate) fn is_full() -> bool {
    std::env::var(VARIABLE).is_ok_and(|scale| scale == "full")
}

/// The number for the scale of this run.
pub(crate) fn scaled(short: usize, full: usize) -> usize {
    if is_full() { full } else { short }
}
