//! Reads files of records, CSV or JSON: a file is read whole and checked whole, and every problem names its line.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use csv::StringRecord;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

const FILE_MAX_BYTES: u64 = 64 * 1024 * 1024;
const RECORDS_MAX: usize = 100_000;
/// Problems that one message lists.
const PROBLEMS_SHOWN: usize = 50;

/// Returns the text of a field that a row has to have.
pub(super) fn required(field: &str, text: Option<String>) -> Result<String, String> {
    text.ok_or_else(|| format!("{field} is missing"))
}

/// A value and the line on which its record begins, from 1.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry<T> {
    pub(super) line: u64,
    pub(super) value: T,
}

/// Reads every record of a file, or returns everything that is wrong with it.
///
/// A row of type `R` has optional texts, trimmed, none if they are empty. `fields` are the names that it may have, `id`
/// among them; others count as misspelt. `convert` returns the row's value, or what is wrong with the row.
pub(super) fn read<R: DeserializeOwned, T>(
    path: &Path,
    fields: &[&str],
    convert: impl Fn(R) -> Result<T, String>,
) -> anyhow::Result<Vec<Entry<T>>> {
    let text = text_of(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut problems = Problems::default();
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let records = match extension.as_str() {
        "csv" => csv_records(&text, &mut problems),
        "json" => json_records(&text, &mut problems),
        _ => bail!("{}: the name must end in .csv or .json", path.display()),
    };
    match records.len() {
        0 if problems.0.is_empty() => problems.add(1, "there are no records"),
        count if count > RECORDS_MAX => problems.add(1, format!("there are more than {RECORDS_MAX} records")),
        _ => {}
    }
    // What is wrong with single records is looked for in a file that is a table.
    let table = if problems.0.is_empty() { &records[..] } else { &[] };
    let mut lines_by_id = HashMap::new();
    let mut entries = Vec::with_capacity(table.len());
    for Record { line, names, texts } in table {
        let line = *line;
        for name in names.iter().filter(|name| !fields.contains(name)) {
            problems.add(line, format!("unknown field {name:?}, expected {}", fields.join(", ")));
        }
        let row = match texts.deserialize(Some(names)) {
            Ok(row) => row,
            Err(error) => {
                problems.add(line, error.to_string());
                continue;
            }
        };
        let id = names.iter().zip(texts).find(|(name, text)| *name == "id" && !text.is_empty());
        if let Some((_, id)) = id
            && let Some(first) = lines_by_id.insert(id, line)
        {
            problems.add(line, format!("the id {id:?} stands on line {first} already"));
        }
        match convert(row) {
            Ok(value) => entries.push(Entry { line, value }),
            Err(problem) => problems.add(line, problem),
        }
    }
    ensure!(problems.0.is_empty(), "{}: nothing was imported{problems}", path.display());
    Ok(entries)
}

fn text_of(path: &Path) -> anyhow::Result<String> {
    let size = std::fs::metadata(path)?.len();
    ensure!(size <= FILE_MAX_BYTES, "it is larger than {} MiB", FILE_MAX_BYTES >> 20);
    let text = String::from_utf8(std::fs::read(path)?).context("it is not UTF-8 text")?;
    // Spreadsheets begin their files with a byte order mark.
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// A record before it is deserialized.
struct Record {
    line: u64,
    names: Arc<StringRecord>,
    texts: StringRecord,
}

fn csv_records(text: &str, problems: &mut Problems) -> Vec<Record> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let names: Arc<StringRecord> = match reader.headers() {
        Ok(names) => Arc::new(names.iter().map(field_name).collect()),
        Err(error) => {
            problems.add(1, error.to_string());
            return Vec::new();
        }
    };
    let mut records = Vec::new();
    for record in reader.records().take(RECORDS_MAX + 1) {
        match record {
            Ok(texts) => {
                let line = texts.position().map_or(1, csv::Position::line);
                records.push(Record { line, names: Arc::clone(&names), texts });
            }
            Err(error) => problems.add(error.position().map_or(1, csv::Position::line), csv_problem(&error)),
        }
    }
    records
}

fn csv_problem(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len: names, len, .. } => {
            format!("{len} fields, but the first line names {names}")
        }
        _ => error.to_string(),
    }
}

fn json_records(text: &str, problems: &mut Problems) -> Vec<Record> {
    let items: Vec<&RawValue> = match serde_json::from_str(text) {
        Ok(items) => items,
        Err(error) => {
            problems.add(error.line() as u64, format!("not an array of objects: {error}"));
            return Vec::new();
        }
    };
    let (mut line, mut counted) = (1, 0);
    let mut records = Vec::new();
    for item in items.into_iter().take(RECORDS_MAX + 1) {
        // serde_json names no positions of items, but they are slices of the text.
        let begin = item.get().as_ptr().addr() - text.as_ptr().addr();
        line += text[counted..begin].matches('\n').count() as u64;
        counted = begin;
        match json_fields(item.get()) {
            Ok((names, texts)) => records.push(Record { line, names: Arc::new(names), texts }),
            Err(problem) => problems.add(line, problem),
        }
    }
    records
}

/// The names and texts of one object's fields.
fn json_fields(item: &str) -> Result<(StringRecord, StringRecord), String> {
    let Ok(Value::Object(object)) = serde_json::from_str(item) else {
        return Err("not an object".to_owned());
    };
    let (mut names, mut texts) = (StringRecord::new(), StringRecord::new());
    for (name, value) in object {
        let name = field_name(&name);
        match value {
            Value::String(text) => texts.push_field(text.trim()),
            Value::Number(number) => texts.push_field(&number.to_string()),
            Value::Null => continue,
            _ => return Err(format!("{name} must be a text or a number")),
        }
        names.push_field(&name);
    }
    Ok((names, texts))
}

/// Returns one spelling for `shippingAddress`, `Shipping Address` and `shipping_address`.
fn field_name(text: &str) -> String {
    let mut name = String::new();
    for c in text.trim().chars() {
        if c.is_uppercase() && !name.is_empty() && !name.ends_with('_') {
            name.push('_');
        }
        name.extend(if c == ' ' || c == '-' { '_' } else { c }.to_lowercase());
    }
    name
}

/// What is wrong with a file, line by line.
#[derive(Debug, Default)]
struct Problems(Vec<(u64, String)>);

impl Problems {
    fn add(&mut self, line: u64, problem: impl Into<String>) {
        self.0.push((line, problem.into()));
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (line, problem) in self.0.iter().take(PROBLEMS_SHOWN) {
            write!(formatter, "\n  line {line}: {problem}")?;
        }
        match self.0.len().saturating_sub(PROBLEMS_SHOWN) {
            0 => Ok(()),
            more => write!(formatter, "\n  and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Eq, Deserialize)]
    struct Tag {
        id: Option<String>,
        shipping_address: Option<String>,
    }

    fn read_as(name: &str, text: &str) -> anyhow::Result<Vec<Entry<Tag>>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        read(&path, &["id", "shipping_address"], |tag: Tag| {
            Ok(Tag { id: Some(required("id", tag.id)?), ..tag })
        })
    }

    fn tag(line: u64, id: &str, address: Option<&str>) -> Entry<Tag> {
        Entry { line, value: Tag { id: Some(id.to_owned()), shipping_address: address.map(str::to_owned) } }
    }

    #[test]
    fn csv_and_json_say_the_same() {
        let expected = [tag(2, "A", Some("1 Quay, Porto")), tag(3, "007", None)];
        let csv = read_as("tags.csv", "\u{feff}id,shippingAddress\nA,\" 1 Quay, Porto\"\n007,\n").unwrap();
        assert_eq!(csv, expected);
        let json = "[\n  {\"id\": \"A\", \"shipping_address\": \"1 Quay, Porto \"},\n  {\"id\": \"007\", \"shippingAddress\": null}\n]";
        assert_eq!(read_as("tags.JSON", json).unwrap(), expected);
        assert_eq!(read_as("tags.json", "[{\"id\": 7}]").unwrap(), [tag(1, "7", None)]);
    }

    #[test]
    fn every_problem_is_reported_with_its_line() {
        let error = read_as("tags.csv", "id,colour\nA,red\n,\nA,\n").unwrap_err().to_string();
        let lines: Vec<&str> = error.lines().skip(1).map(str::trim).collect();
        assert_eq!(
            lines,
            [
                "line 2: unknown field \"colour\", expected id, shipping_address",
                "line 3: unknown field \"colour\", expected id, shipping_address",
                "line 3: id is missing",
                "line 4: unknown field \"colour\", expected id, shipping_address",
                "line 4: the id \"A\" stands on line 2 already",
            ]
        );
    }

    #[test]
    fn what_is_no_table_is_refused() {
        for (name, text, problem) in [
            ("tags.txt", "id\nA\n", "must end in .csv or .json"),
            ("tags.csv", "", "there are no records"),
            ("tags.csv", "id,shipping_address\nA,B,C\n", "line 2: 3 fields, but the first line names 2"),
            ("tags.json", "{}", "line 1: "),
            ("tags.json", "[{\"id\": \"A\"},\n{\"id\": ]", "line 2: "),
            ("tags.json", "[\n1]", "line 2: "),
            ("tags.json", "[{\"id\": [\"A\"]}]", "line 1: id must be a text or a number"),
        ] {
            let error = format!("{:#}", read_as(name, text).unwrap_err());
            assert!(error.contains(problem), "{name} {text:?}: {error}");
        }
    }

    #[test]
    fn field_names_have_one_spelling() {
        for name in ["shippingAddress", "shipping_address", "Shipping Address", "shipping-address"] {
            assert_eq!(field_name(name), "shipping_address");
        }
    }
}
