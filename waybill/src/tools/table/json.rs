use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

use super::{Problems, RECORDS_MAX, Record, field_name};

/// The records of a JSON array of objects.
pub(super) fn records(text: &str) -> Result<Vec<Record>, Problems> {
    let mut problems = Problems::default();
    let items: Vec<&RawValue> = match serde_json::from_str(text) {
        Ok(items) => items,
        Err(error) => {
            problems.add(error.line() as u64, format!("not an array of objects: {error}"));
            return Err(problems);
        }
    };
    if items.len() > RECORDS_MAX {
        problems.add(1, format!("there are more than {RECORDS_MAX} records"));
        return Err(problems);
    }
    let mut records = Vec::with_capacity(items.len());
    let mut lines = Lines::of(text);
    for item in items {
        let line = lines.up_to(item.get());
        match fields(item.get()) {
            Ok(fields) => records.push(Record { line, fields }),
            Err(problem) => problems.add(line, problem),
        }
    }
    if problems.0.is_empty() { Ok(records) } else { Err(problems) }
}

fn fields(item: &str) -> Result<BTreeMap<String, String>, String> {
    let Ok(Value::Object(object)) = serde_json::from_str(item) else {
        return Err("not an object".to_owned());
    };
    let mut fields = BTreeMap::new();
    for (name, value) in object {
        let name = field_name(&name);
        let text = match value {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            Value::Null => continue,
            _ => return Err(format!("{name} must be a text or a number")),
        };
        fields.insert(name, text);
    }
    Ok(fields)
}

/// Counts lines from one item of a text to the next.
struct Lines<'a> {
    text: &'a str,
    counted_to: usize,
    line: u64,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        Self { text, counted_to: 0, line: 1 }
    }

    /// The line on which `part`, a later part of the text, begins.
    fn up_to(&mut self, part: &str) -> u64 {
        let begins = part.as_ptr().addr().saturating_sub(self.text.as_ptr().addr());
        let passed = self.text.as_bytes().get(self.counted_to..begins).unwrap_or_default();
        self.line += passed.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.counted_to = begins.max(self.counted_to);
        self.line
    }
}
