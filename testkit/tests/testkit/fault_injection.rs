//! A release has no fault injection: checks of the sources, the manifests and the release profile.

use std::path::{Path, PathBuf};

use cargo_metadata::DependencyKind;

use crate::architecture::WORKSPACE;

const FEATURE: &str = "fault-injection";
const GATE: &str = r#"#[cfg(feature = "fault-injection")]"#;

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
                let names_it = !line.starts_with("//")
                    && line != GATE
                    && ["fault_injection", "sabotage"]
                        .iter()
                        .any(|word| line.to_ascii_lowercase().contains(word));
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
        assert!(gated.contains(&package), "{package} names it nowhere: this test guards nothing there");
    }
}

#[test]
fn only_tests_enable_the_feature() {
    for package in WORKSPACE.workspace_packages() {
        let enabling: Vec<&String> = package
            .features
            .iter()
            .filter(|(name, enabled)| *name != FEATURE && enabled.iter().any(|it| it.contains(FEATURE)))
            .map(|(name, _)| name)
            .collect();
        assert!(enabling.is_empty(), "the features {enabling:?} of {} enable it", package.name);
        for dependency in package.dependencies.iter().filter(|it| it.kind != DependencyKind::Development) {
            let enables = dependency.features.iter().any(|feature| feature == FEATURE);
            assert!(!enables, "{} enables it in {}", package.name, dependency.name);
        }
    }
    let dockerfile = std::fs::read_to_string(WORKSPACE.workspace_root.join("Dockerfile")).unwrap();
    assert!(!dockerfile.contains("--all-targets") && !dockerfile.contains("features"), "{dockerfile}");
}

#[test]
fn a_release_has_no_debug_assertions() {
    let manifest = std::fs::read_to_string(WORKSPACE.workspace_root.join("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let asserting = manifest
        .get("profile")
        .and_then(|profiles| profiles.get("release"))
        .and_then(|release| release.get("debug-assertions"));
    assert_eq!(asserting, None, "with them a release could be built with fault injection");
}

/// Whether the file is the module itself; the line that declares the module is checked.
fn is_fault_injection(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name == "fault_injection.rs")
}

pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
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
