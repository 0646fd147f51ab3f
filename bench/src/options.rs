//! How long and how large measurements are.

use std::time::Duration;

use clap::{Args, ValueEnum};

/// The sizes of a run.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Seconds of each round
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    seconds: u64,
    /// Rounds of each kind of work, in turn with its floors; the table has their median
    #[arg(long, value_name = "NUMBER", default_value_t = 3)]
    rounds: usize,
    /// How much is stored in the scenario of many orders
    #[arg(long, value_enum, default_value_t)]
    scale: Scale,
    /// Rounds of two seconds, and small numbers: whether every scenario runs, and nothing about speed
    #[arg(long)]
    short: bool,
}

/// How much is stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scale {
    /// 200,000 orders
    #[default]
    Default,
    /// 10,000,000 orders
    Full,
}

impl Options {
    /// The length of a round.
    pub(crate) fn time(&self) -> Duration {
        Duration::from_secs(if self.short { 2 } else { self.seconds.max(1) })
    }

    pub(crate) fn rounds(&self) -> usize {
        if self.short { 1 } else { self.rounds.max(1) }
    }

    /// A number, or the small one of a short run.
    pub(crate) fn scaled(&self, number: usize, short: usize) -> usize {
        if self.short { short } else { number }
    }

    /// Many connections at once; in a short run so few that each is answered in time on a busy machine.
    pub(crate) fn many_connections(&self) -> usize {
        self.scaled(512, 96)
    }

    /// The orders of a system with many of them.
    pub(crate) fn many_orders(&self) -> usize {
        match (self.short, self.scale) {
            (true, _) => 5_000,
            (false, Scale::Default) => 200_000,
            (false, Scale::Full) => 10_000_000,
        }
    }
}
