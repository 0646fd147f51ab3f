use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use service_kit::metrics::{self, Kind, METRICS};

/// The names that this source passes to macros of the `metrics` crate, with their kinds.
fn recorded_in(source: &str, found: &mut BTreeMap<String, Kind>) {
    for (word, kind) in
        [("counter!(", Kind::Counter), ("gauge!(", Kind::Gauge), ("histogram!(", Kind::Histogram)]
    {
        for (at, _) in source.match_indices(&format!("metrics::{word}")) {
            let arguments = source[at..].split_once('(').unwrap().1.trim_start();
            if let Some((name, _)) = arguments.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
                found.insert(name.to_owned(), kind);
            }
        }
    }
}

fn search(folder: &Path, found: &mut BTreeMap<String, Kind>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            search(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            recorded_in(&fs::read_to_string(&path).unwrap(), found);
        }
    }
}

#[test]
fn exactly_the_recorded_metrics_are_described() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut recorded = BTreeMap::new();
    for entry in fs::read_dir(workspace).unwrap() {
        let sources = entry.unwrap().path().join("src");
        if sources.is_dir() {
            search(&sources, &mut recorded);
        }
    }
    let described: BTreeMap<String, Kind> =
        METRICS.iter().map(|&(name, kind, _)| (name.to_owned(), kind)).collect();
    assert_eq!(recorded, described);
    assert!(METRICS.iter().map(|metric| metric.0).is_sorted());
}

#[test]
fn rendered_metrics_carry_their_description() {
    let metrics = metrics::install();
    ::metrics::gauge!("waybill_outbox_events").set(3.0);
    let shown = metrics.render();
    assert!(
        shown.contains("# HELP waybill_outbox_events Committed events that are not published yet"),
        "{shown}"
    );
}
