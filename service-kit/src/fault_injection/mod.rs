//! Tests break a process from within: they take away what keeps a promise, or strike at a failpoint. Debug builds alone
//! contain this, so that whatever mentions it without being gated likewise doesn't compile in a release.

mod unconfirmed;

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};

use crate::config::fault_injection::{Blow, sabotage};

pub use crate::config::fault_injection::Safeguard;
pub(crate) use unconfirmed::unconfirmed;

/// How long [`Blow::Hang`] lasts: beyond the holds of the tests that strike so.
const HANGS_FOR: Duration = Duration::from_secs(7);

/// Whether the process has to do without it.
pub fn is_disabled(guard: Safeguard) -> bool {
    sabotage().is_some_and(|sabotage| sabotage.without.contains(&guard))
}

/// Counts that a failpoint is passed, and strikes where that is due. A process that is killed here does nothing more.
pub fn hit(failpoint: &str) {
    static PASSES: LazyLock<Mutex<HashMap<String, u32>>> = LazyLock::new(Mutex::default);
    let Some(sabotage) = sabotage() else { return };
    let strikes = || sabotage.strikes.iter().filter(|strike| strike.failpoint == failpoint);
    if strikes().next().is_none() {
        return;
    }
    let pass = {
        let mut passes = PASSES.lock().expect("nothing panics while it holds this lock");
        let count = passes.entry(failpoint.to_owned()).or_default();
        *count += 1;
        *count
    };
    for strike in strikes().filter(|strike| strike.pass == pass) {
        tracing::warn!(failpoint, blow = ?strike.blow, "a test strikes this process");
        match strike.blow {
            Blow::Kill => signal_itself(Signal::KILL),
            Blow::Stop => signal_itself(Signal::STOP),
            Blow::Hang => tokio::task::block_in_place(|| std::thread::sleep(HANGS_FOR)),
        }
    }
}

fn signal_itself(signal: Signal) {
    kill_process(getpid(), signal).expect("a process may signal itself");
}
