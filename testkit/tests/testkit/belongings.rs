//! What a process has on this machine: the processes below it.

use std::collections::HashSet;

use rustix::process::{Pid, Signal, kill_process};

/// A process, distinguished by its start time from a later one with the same id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Belonging {
    id: u32,
    started: u64,
    pub(crate) name: String,
}

struct Stat {
    belonging: Belonging,
    parent: u32,
}

impl Belonging {
    /// A zombie counts as ended: its resources are freed, and only its status is kept for its parent.
    pub(crate) fn is_alive(&self) -> bool {
        stat(self.id).is_some_and(|stat| stat.belonging.started == self.started)
    }

    pub(crate) fn kill(&self) {
        let pid = Pid::from_raw(self.id.cast_signed()).unwrap();
        kill_process(pid, Signal::KILL).unwrap();
    }
}

/// The living processes below `root`, children and theirs.
pub(crate) fn descendants(root: u32) -> Vec<Belonging> {
    let all: Vec<Stat> = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| stat(entry.ok()?.file_name().to_str()?.parse().ok()?))
        .collect();
    let mut family = HashSet::from([root]);
    loop {
        let before = family.len();
        family.extend(
            all.iter()
                .filter(|stat| family.contains(&stat.parent))
                .map(|stat| stat.belonging.id)
                .collect::<Vec<_>>(),
        );
        if family.len() == before {
            break;
        }
    }
    family.remove(&root);
    all.into_iter().map(|stat| stat.belonging).filter(|belonging| family.contains(&belonging.id)).collect()
}

/// The names of those of the given processes that are still alive.
pub(crate) fn survivors(belongings: &[Belonging]) -> Vec<&str> {
    belongings
        .iter()
        .filter(|belonging| belonging.is_alive())
        .map(|belonging| belonging.name.as_str())
        .collect()
}

pub(crate) fn names(belongings: &[Belonging]) -> Vec<&str> {
    belongings.iter().map(|belonging| belonging.name.as_str()).collect()
}

fn stat(id: u32) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let (head, tail) = text.rsplit_once(')')?;
    let (_, name) = head.split_once('(')?;
    let fields: Vec<&str> = tail.split_whitespace().collect();
    let (state, parent, started) = (fields[0], fields[1].parse().ok()?, fields[19].parse().ok()?);
    (state != "Z").then(|| Stat { belonging: Belonging { id, started, name: name.to_owned() }, parent })
}
