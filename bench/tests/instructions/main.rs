//! How many instructions hot paths take, counted by Valgrind's callgrind, which no other process of the machine can touch.
//! The figures are of a debug build, as the tests have it; what they guard is the ratio. A change of compiler or
//! dependency moves them too: a failure prints the new figure, which replaces the old one here once it is explained.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::PathBuf;
use std::process::Command;

/// How far a figure may be off, either way: what has become cheaper is to be held as well.
const TOLERANCE: f64 = 0.05;

/// Instructions of one run of each path of `bench/examples/hot_paths.rs`.
const FIGURES: [(&str, f64); 2] = [("reply", 1_197_000.0), ("event", 720_000.0)];

#[test]
fn hot_paths_take_as_many_instructions_as_before() {
    let off: Vec<String> = FIGURES
        .iter()
        .filter_map(|&(path, expected)| {
            // The difference of two runs is free of what the process takes to start.
            let each = (instructions(path, 300) - instructions(path, 100)) / 200.0;
            let is_off = (each - expected).abs() > expected * TOLERANCE;
            is_off.then(|| format!("{path} takes {each:.0} instructions, and took {expected:.0}"))
        })
        .collect();
    assert!(off.is_empty(), "{off:#?}");
}

fn instructions(path: &str, times: u32) -> f64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(example("hot_paths"))
        .args([path, &times.to_string()])
        .output()
        .expect("valgrind can be run (Debian: valgrind)");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    let collected = text.lines().find_map(|line| line.split_once("Collected :")).expect("a total");
    collected.1.trim().parse().unwrap()
}

/// An example is built with the tests, beside their folder.
fn example(name: &str) -> PathBuf {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_bench"));
    program.parent().unwrap().join("examples").join(name)
}
