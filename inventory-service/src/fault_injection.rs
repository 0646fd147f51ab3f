//! This service with a safeguard disabled, for tests of the checks. Only builds with the feature `fault-injection` contain
//! this module.

use service_kit::fault_injection::{Safeguard, is_disabled};

use crate::stock::UnitOfWork;

/// More than any test sells, and less than a quantity can express.
const ENDLESS: i64 = 1 << 30;

/// The decision, which sees endless stock if [`Safeguard::Stock`] is disabled.
pub(crate) fn stock_guard<T>(decide: impl Fn(&mut UnitOfWork) -> T) -> impl Fn(&mut UnitOfWork) -> T {
    move |work| {
        if !is_disabled(Safeguard::Stock) {
            return decide(work);
        }
        work.products.values_mut().for_each(|row| row.value.on_hand += ENDLESS);
        let decided = decide(work);
        work.products.values_mut().for_each(|row| row.value.on_hand -= ENDLESS);
        work.movements.iter_mut().for_each(|movement| movement.on_hand_after -= ENDLESS);
        decided
    }
}
