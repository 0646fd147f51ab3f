//! The golden samples in `messages/`: what is on the wire today must be readable, and written, tomorrow.
//!
//! With `UPDATE_SAMPLES=1` the samples are written anew; the difference is then a change of the contract.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]

mod samples;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fmt::Debug;
use std::path::PathBuf;

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("messages").join(format!("{name}.json"))
}

/// The sample says exactly this message, and reads back as it, also with fields that no version has.
fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(name: &str, message: &T) {
    let written = serde_json::to_string_pretty(message).unwrap() + "\n";
    if std::env::var_os("UPDATE_SAMPLES").is_some() {
        std::fs::write(file(name), &written).unwrap();
    }
    let sample = std::fs::read_to_string(file(name)).unwrap_or_else(|_| panic!("no sample {name}.json"));
    let sample: Value = serde_json::from_str(&sample).unwrap();
    assert_eq!(sample, serde_json::to_value(message).unwrap(), "{name}.json differs from what is written");
    assert_eq!(
        &serde_json::from_value::<T>(sample.clone()).unwrap(),
        message,
        "{name}.json reads differently"
    );
    let extended = with_unknown_fields(sample);
    assert_eq!(
        &serde_json::from_value::<T>(extended).unwrap(),
        message,
        "{name}: unknown fields are ignored"
    );
}

fn with_unknown_fields(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut map: serde_json::Map<String, Value> =
                map.into_iter().map(|(key, value)| (key, with_unknown_fields(value))).collect();
            map.insert("addedLater".to_owned(), Value::Bool(true));
            Value::Object(map)
        }
        Value::Array(items) => Value::Array(items.into_iter().map(with_unknown_fields).collect()),
        other => other,
    }
}

#[test]
fn every_message_has_a_sample_and_every_sample_a_message() {
    let mut checked: Vec<String> = samples::check_all();
    checked.sort();
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("messages");
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    files.sort();
    assert_eq!(checked, files);
}

#[test]
fn a_request_for_orders_without_an_owner_is_refused() {
    let without = serde_json::json!({"orderId": "019ab1f0-7b2a-7c3d-8e4f-5a6b7c8d9e0f"});
    assert!(serde_json::from_value::<schema::order_messages::OrderRef>(without).is_err());
}
