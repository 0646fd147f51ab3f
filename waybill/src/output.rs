//! Standard output: for what was asked for, and nothing else.

use std::io::{self, Write};

use anyhow::Context;

/// Prints the text and a line break.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}").and_then(|()| stdout.flush()).context("cannot write to standard output")
}
