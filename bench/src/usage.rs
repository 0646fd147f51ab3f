//! CPU time and memory of processes, from `/proc`.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};

/// Ticks of a second in `/proc`: USER_HZ, the same on every architecture that Waybill is built for.
const TICKS_PER_SECOND: f64 = 100.0;

/// The processes that are watched during a measurement, by the name that the table gives them.
pub(crate) type Watched = Vec<(&'static str, u32)>;

/// CPU seconds of each watched process up to one moment.
pub(crate) struct CpuTimes(BTreeMap<&'static str, f64>);

impl CpuTimes {
    /// Reads them now. A process counts with its children, those that have ended included.
    pub(crate) fn read(watched: &Watched) -> Result<Self> {
        let mut seconds = BTreeMap::new();
        let children = children()?;
        for (name, pid) in watched {
            *seconds.entry(*name).or_default() += tree_seconds(*pid, &children)?;
        }
        Ok(Self(seconds))
    }

    /// CPU seconds since then.
    pub(crate) fn since(&self, before: &Self) -> BTreeMap<&'static str, f64> {
        self.0.iter().map(|(name, now)| (*name, now - before.0.get(name).unwrap_or(&0.0))).collect()
    }
}

/// CPU seconds of the children of this process that have ended and were waited for.
pub(crate) fn ended_children_seconds() -> Result<f64> {
    let stat = Stat::read(std::process::id()).context("/proc/self/stat can't be read")?;
    Ok(seconds(stat.ended_children_ticks))
}

/// Resident memory in bytes, now.
pub(crate) fn resident_bytes(pid: u32) -> Result<u64> {
    status_bytes(pid, "VmRSS:")
}

/// The most resident memory in bytes since the start, or since [`reset_peak`].
pub(crate) fn peak_bytes(pid: u32) -> Result<u64> {
    status_bytes(pid, "VmHWM:")
}

/// Begins anew to record the process's peak of resident memory.
pub(crate) fn reset_peak(pid: u32) -> Result<()> {
    // proc_pid_clear_refs(5): 5 resets the peak to the current size.
    Ok(std::fs::write(format!("/proc/{pid}/clear_refs"), "5")?)
}

fn status_bytes(pid: u32, field: &str) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kibibytes = line.and_then(|line| line.split_whitespace().next());
    Ok(kibibytes.with_context(|| format!("process {pid} has no {field}"))?.parse::<u64>()? * 1024)
}

fn tree_seconds(root: u32, children: &BTreeMap<u32, Vec<u32>>) -> Result<f64> {
    let stat = Stat::read(root).with_context(|| format!("process {root} has ended"))?;
    let mut ticks = stat.own_ticks + stat.ended_children_ticks;
    let mut open = children.get(&root).cloned().unwrap_or_default();
    while let Some(pid) = open.pop() {
        // One that has ended meanwhile is in its parent's figure the next time.
        let Some(stat) = Stat::read(pid) else { continue };
        ticks += stat.own_ticks + stat.ended_children_ticks;
        open.extend(children.get(&pid).into_iter().flatten());
    }
    Ok(seconds(ticks))
}

fn seconds(ticks: u64) -> f64 {
    ticks as f64 / TICKS_PER_SECOND
}

/// The children of every process.
fn children() -> Result<BTreeMap<u32, Vec<u32>>> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in std::fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Some(stat) = Stat::read(pid) else { continue };
        children.entry(stat.parent).or_default().push(pid);
    }
    Ok(children)
}

/// What is needed of `/proc/<pid>/stat`.
struct Stat {
    parent: u32,
    own_ticks: u64,
    ended_children_ticks: u64,
}

impl Stat {
    fn read(pid: u32) -> Option<Self> {
        Self::parse(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The second field is the program's name in brackets and may itself hold brackets and spaces.
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        Some(Self {
            parent: fields.get(1)?.parse().ok()?,
            own_ticks: number(11)? + number(12)?,
            ended_children_ticks: number(13)? + number(14)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_programs_name_may_hold_anything() {
        let stat = Stat::parse("7 (a) b) S 3 0 0 0 0 0 0 0 0 0 10 20 30 40 20 0").unwrap();
        assert_eq!((stat.parent, stat.own_ticks, stat.ended_children_ticks), (3, 30, 70));
    }

    #[test]
    fn work_of_this_process_and_its_children_is_counted() {
        let watched = vec![("self", std::process::id())];
        let (before, children_before) =
            (CpuTimes::read(&watched).unwrap(), ended_children_seconds().unwrap());
        let mut command = std::process::Command::new("/bin/sh");
        let loops = command.args(["-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"]);
        assert!(loops.status().unwrap().success());
        let spent = CpuTimes::read(&watched).unwrap().since(&before)["self"];
        let by_children = ended_children_seconds().unwrap() - children_before;
        assert!(by_children > 0.0 && spent >= by_children, "{spent} {by_children}");
        assert!(peak_bytes(std::process::id()).unwrap() >= resident_bytes(std::process::id()).unwrap());
    }
}
