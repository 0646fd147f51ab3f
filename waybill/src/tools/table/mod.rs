//! Files of records, CSV or JSON, read whole and checked whole before anything is sent.

mod csv;
mod json;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::Path;

use anyhow::{Context, bail, ensure};

/// Bytes of a file at the most.
const FILE_MAX_BYTES: u64 = 64 * 1024 * 1024;
/// Records of a file at the most.
const RECORDS_MAX: usize = 100_000;
/// Problems that are told at once.
const PROBLEMS_SHOWN: usize = 50;

/// One record: named texts, and the line it begins on.
#[derive(Debug)]
pub(crate) struct Record {
    /// From 1.
    pub(crate) line: u64,
    fields: BTreeMap<String, String>,
}

impl Record {
    /// The field's text; an empty one counts as none.
    pub(crate) fn text(&self, field: &str) -> Option<&str> {
        self.fields.get(field).map(|text| text.trim()).filter(|text| !text.is_empty())
    }

    /// The field's text, which has to be there.
    pub(crate) fn required(&self, field: &str) -> Result<&str, String> {
        self.text(field).ok_or_else(|| format!("{field} is missing"))
    }
}

/// What is wrong with a file, line by line.
#[derive(Debug, Default)]
pub(crate) struct Problems(Vec<(u64, String)>);

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

/// What a file's records are made into.
pub(crate) trait FromRecord: Sized {
    /// The fields that a record may have, the id among them. Others are taken for misspelt.
    const FIELDS: &'static [&'static str];
    /// What it takes beside the record.
    type Context;

    /// The value, or what is wrong with the record.
    fn from_record(record: &Record, context: &Self::Context) -> Result<Self, String>;
}

/// A value and the line it came from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry<T> {
    /// From 1.
    pub(crate) line: u64,
    /// What the line says.
    pub(crate) value: T,
}

/// Reads every record of a file, or says everything that is wrong with it.
pub(crate) fn read<T: FromRecord>(path: &Path, context: &T::Context) -> anyhow::Result<Vec<Entry<T>>> {
    let text = text_of(path).with_context(|| format!("cannot read {}", path.display()))?;
    let records = match extension(path).as_str() {
        "csv" => csv::records(&text),
        "json" => json::records(&text),
        _ => bail!("{}: the name must end in .csv or .json", path.display()),
    };
    let checked = records.and_then(|records| checked(&records, context));
    checked.map_err(|problems| anyhow::anyhow!("{}: nothing was imported{problems}", path.display()))
}

fn text_of(path: &Path) -> anyhow::Result<String> {
    let size = std::fs::metadata(path)?.len();
    ensure!(size <= FILE_MAX_BYTES, "it is larger than {} MiB", FILE_MAX_BYTES >> 20);
    let bytes = std::fs::read(path)?;
    let text = String::from_utf8(bytes).context("it is not UTF-8 text")?;
    // Spreadsheets begin their files with a byte order mark.
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

fn extension(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase()
}

fn checked<T: FromRecord>(records: &[Record], context: &T::Context) -> Result<Vec<Entry<T>>, Problems> {
    let mut problems = Problems::default();
    if records.is_empty() {
        problems.add(1, "there are no records");
    }
    let mut first_lines = HashMap::new();
    let mut entries = Vec::with_capacity(records.len());
    for record in records {
        let unknown = record.fields.keys().filter(|name| !T::FIELDS.contains(&name.as_str()));
        for name in unknown {
            problems.add(record.line, format!("unknown field {name:?}, expected {}", T::FIELDS.join(", ")));
        }
        if let Some(id) = record.text("id")
            && let Some(line) = first_lines.insert(id, record.line)
        {
            problems.add(record.line, format!("the id {id:?} stands on line {line} already"));
        }
        match T::from_record(record, context) {
            Ok(value) => entries.push(Entry { line: record.line, value }),
            Err(problem) => problems.add(record.line, problem),
        }
    }
    if problems.0.is_empty() { Ok(entries) } else { Err(problems) }
}

/// One spelling for `shippingAddress`, `Shipping Address` and `shipping_address`.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Eq)]
    struct Tag {
        id: String,
        shipping_address: Option<String>,
    }

    impl FromRecord for Tag {
        const FIELDS: &'static [&'static str] = &["id", "shipping_address"];
        type Context = ();

        fn from_record(record: &Record, (): &()) -> Result<Self, String> {
            let id = record.required("id")?.to_owned();
            Ok(Self { id, shipping_address: record.text("shipping_address").map(str::to_owned) })
        }
    }

    fn read_as(name: &str, text: &str) -> anyhow::Result<Vec<Entry<Tag>>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        read(&path, &())
    }

    fn tag(line: u64, id: &str, address: Option<&str>) -> Entry<Tag> {
        Entry { line, value: Tag { id: id.to_owned(), shipping_address: address.map(str::to_owned) } }
    }

    #[test]
    fn csv_and_json_say_the_same() {
        let expected = [tag(2, "A", Some("1 Quay, Porto")), tag(3, "B", None)];
        let csv = read_as("tags.csv", "\u{feff}id,shippingAddress\nA,\"1 Quay, Porto\"\nB,\n").unwrap();
        assert_eq!(csv, expected);
        let json = "[\n  {\"id\": \"A\", \"shipping_address\": \"1 Quay, Porto\"},\n  {\"id\": \"B\", \"shippingAddress\": null}\n]";
        assert_eq!(read_as("tags.JSON", json).unwrap(), expected);
    }

    #[test]
    fn every_problem_is_told_with_its_line() {
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
            ("tags.csv", "id,shipping_address\nA,B,C\n", "line 2: "),
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
