//! What tests do to processes from within is no part of a release: held over the sources, and over the profile.

use std::path::{Path, PathBuf};

use crate::architecture::WORKSPACE;

const GATE: &str = "#[cfg(debug_assertions)]";

#[test]
fn fault_injection_is_only_named_where_a_release_leaves_it_out() {
    let mut gated = Vec::new();
    let mut open = Vec::new();
    for package in WORKSPACE.workspace_packages().into_iter().filter(|package| package.name != "testkit") {
        let sources = package.manifest_path.parent().unwrap().join("src");
        for file in files(sources.as_std_path()).into_iter().filter(|file| !is_fault_injection(file)) {
            let text = std::fs::read_to_string(&file).unwrap();
            let mut before = "";
            for line in text.lines().map(str::trim) {
                let names_it =
                    !line.starts_with("//") && line.to_ascii_lowercase().contains("fault_injection");
                match (names_it, before == GATE) {
                    (true, true) => gated.push(package.name.as_str()),
                    (true, false) => open.push(format!("{}: {line}", file.display())),
                    (false, _) => {}
                }
                before = line;
            }
        }
    }

    assert!(open.is_empty(), "without {GATE} right above:\n{}", open.join("\n"));
    for package in ["service-kit", "order-service", "inventory-service"] {
        assert!(
            gated.contains(&package),
            "{package} names it nowhere any more: this test guards nothing there"
        );
    }
}

#[test]
fn a_release_has_no_debug_assertions() {
    let manifest = std::fs::read_to_string(WORKSPACE.workspace_root.join("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let asserting = manifest
        .get("profile")
        .and_then(|profiles| profiles.get("release"))
        .and_then(|release| release.get("debug-assertions"));
    assert_eq!(asserting, None, "they would let a release be sabotaged");
}

/// The modules themselves; who declares them is looked at.
fn is_fault_injection(file: &Path) -> bool {
    let mut names = file.components().map(|name| name.as_os_str());
    names.any(|name| name == "fault_injection" || name == "fault_injection.rs")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}
