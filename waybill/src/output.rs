//! Standard output: the answer of a command and nothing else, for people or for programs.

use std::fmt::Display;
use std::io::{self, Write};

use anyhow::Context;
use clap::{Args, ValueEnum};
use serde::Serialize;

/// Prints the text and a line break in one piece, even if log lines go to the same terminal or file.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    // Log lines go to standard error, and wait for its lock.
    let _stderr = io::stderr().lock();
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(format!("{text}\n").as_bytes()).and_then(|()| stdout.flush());
    written.context("cannot write to standard output")
}

/// The format of a command's answer.
#[derive(Args, Debug, Clone, Copy)]
pub(crate) struct OutputArgs {
    /// For people or for programs
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

impl OutputArgs {
    /// Prints one answer: as JSON, or as the text that `text` makes of it.
    pub(crate) fn print<T: Serialize>(
        self,
        answer: &T,
        text: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<()> {
        match self.output {
            Format::Text => print(text(answer).trim_end()),
            Format::Json => print(&serde_json::to_string_pretty(answer)?),
        }
    }
}

/// Rows under headings, each column as wide as its widest cell.
pub(crate) fn columns(headings: &[&str], rows: &[Vec<String>]) -> String {
    let headings: Vec<String> = headings.iter().copied().map(str::to_owned).collect();
    let lines: Vec<&Vec<String>> = std::iter::once(&headings).chain(rows).collect();
    let width = |column: usize| lines.iter().filter_map(|line| Some(line.get(column)?.chars().count())).max();
    let widths: Vec<usize> = (0..headings.len()).filter_map(width).collect();
    let line = |cells: &&Vec<String>| {
        let padded: Vec<_> =
            cells.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}")).collect();
        padded.join("  ").trim_end().to_owned()
    };
    lines.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Escapes the control characters of a text from outside, so that it can't move the terminal's cursor. Line breaks stay.
pub(crate) fn printable(text: &str) -> String {
    let shown =
        |c: char| if c.is_control() && c != '\n' { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(shown).collect()
}

/// [`printable`] on one line, cut to `max_chars` characters.
pub(crate) fn brief(text: &str, max_chars: usize) -> String {
    let line = printable(text).replace('\n', " ");
    if line.chars().count() <= max_chars {
        return line;
    }
    line.chars().take(max_chars.saturating_sub(1)).chain(['…']).collect()
}

/// `1 order`, `2 orders`.
pub(crate) fn counted<N: Display + PartialEq + From<u8>>(count: N, noun: &str) -> String {
    let plural = if count == N::from(1) { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [vec!["a".to_owned(), "bb".to_owned()], vec!["ccc".to_owned(), "d".to_owned()]];
        assert_eq!(columns(&["X", "LONG"], &rows), "X    LONG\na    bb\nccc  d");
    }

    #[test]
    fn control_characters_cannot_steer_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\nc"), "a\\u{1b}[2Jb\nc");
        assert_eq!(brief("one\ntwo three", 8), "one two…");
    }
}
