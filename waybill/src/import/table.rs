//! Reads files of records, CSV or JSON: a file is read whole and checked whole, and every problem names its line.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use csv::StringRecord;
use serde_json::Value;
use serde_json::value::RawValue;

use super::text::{Lines, decode};

const FILE_MAX_BYTES: u64 = 64 * 1024 * 1024;
const RECORDS_MAX: usize = 100_000;
/// Problems that one message lists.
const PROBLEMS_SHOWN: usize = 50;
/// What spreadsheets put between fields.
const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];

/// A value and the line on which its record begins, from 1.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry<T> {
    pub(super) line: u64,
    pub(super) value: T,
}

/// A field that a record may have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) name: &'static str,
    /// Whether each record has to have it.
    pub(super) required: bool,
}

impl Field {
    pub(super) const fn required(name: &'static str) -> Self {
        Self { name, required: true }
    }

    pub(super) const fn optional(name: &'static str) -> Self {
        Self { name, required: false }
    }
}

/// One record while it is converted. What is wrong with a field is noted, so that all of it is reported at once.
pub(super) struct Row<'a> {
    texts: HashMap<&'a str, &'a str>,
    /// Columns that the whole file lacks, which is reported once.
    absent: &'a BTreeSet<&'static str>,
    /// Whether numbers may have a comma in place of the point, as in a file with semicolons.
    pub(super) decimal_comma: bool,
    problems: Vec<String>,
}

impl<'a> Row<'a> {
    /// The field's text, if it has one.
    pub(super) fn optional(&self, name: &str) -> Option<&'a str> {
        self.texts.get(name).copied().filter(|text| !text.is_empty())
    }

    /// The field's text; an empty one is a problem.
    pub(super) fn required(&mut self, name: &str) -> Option<&'a str> {
        let text = self.optional(name);
        if text.is_none() && !self.absent.contains(name) {
            self.problem(format!("{name} is missing"));
        }
        text
    }

    pub(super) fn problem(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }
}

/// Reads every record of a file, or returns everything that is wrong with it.
///
/// `fields` are the names that it may have, `id` among them; others count as misspelt. `convert` returns the row's value, or
/// none after it has noted why.
pub(super) fn read<T>(
    path: &Path,
    fields: &[Field],
    convert: impl Fn(&mut Row<'_>) -> Option<T>,
) -> anyhow::Result<Vec<Entry<T>>> {
    let text = text_of(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut problems = Problems::default();
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let Table { records, columns, names_line, decimal_comma } = match extension.as_str() {
        "csv" | "tsv" | "txt" => delimited_table(&text, fields, &mut problems),
        "json" => json_table(&text, &mut problems),
        _ => bail!("{}: the name must end in .csv, .tsv, .txt or .json", path.display()),
    };
    match records.len() {
        0 if problems.0.is_empty() => problems.add(1, "there are no records"),
        count if count > RECORDS_MAX => problems.add(1, format!("there are more than {RECORDS_MAX} records")),
        _ => {}
    }
    let absent = absent_columns(columns.as_deref(), names_line, fields, &mut problems);
    let mut unknown = BTreeSet::new();
    let mut lines_by_id: HashMap<&str, u64> = HashMap::new();
    let mut entries = Vec::with_capacity(records.len());
    for Record { line, names, texts } in records.iter().take(RECORDS_MAX) {
        let line = *line;
        for name in names.iter().filter(|name| !fields.iter().any(|field| field.name == *name)) {
            // A name that is misspelt in one record is so in all of them.
            if unknown.insert(name) {
                let known: Vec<&str> = fields.iter().map(|field| field.name).collect();
                let line = if columns.is_some() { names_line } else { line };
                problems.add(line, format!("unknown field {name:?}, expected {}", known.join(", ")));
            }
        }
        let texts = names.iter().zip(texts).collect();
        let mut row = Row { texts, absent: &absent, decimal_comma, problems: Vec::new() };
        if let Some(id) = row.optional("id")
            && let Some(first) = lines_by_id.insert(id, line)
        {
            row.problem(format!("the id {id:?} stands on line {first} already"));
        }
        entries.extend(convert(&mut row).map(|value| Entry { line, value }));
        problems.0.extend(row.problems.into_iter().map(|problem| (line, problem)));
    }
    problems.0.sort_by_key(|(line, _)| *line);
    ensure!(problems.0.is_empty(), "{}: nothing was imported{problems}", path.display());
    Ok(entries)
}

fn text_of(path: &Path) -> anyhow::Result<String> {
    let size = std::fs::metadata(path)?.len();
    ensure!(size <= FILE_MAX_BYTES, "it is larger than {} MiB", FILE_MAX_BYTES >> 20);
    decode(&std::fs::read(path)?)
}

/// The records of a file, before they are converted.
struct Table {
    records: Vec<Record>,
    /// The names of the columns, if all records have the same.
    columns: Option<Arc<StringRecord>>,
    /// The line that has those names.
    names_line: u64,
    decimal_comma: bool,
}

struct Record {
    line: u64,
    names: Arc<StringRecord>,
    texts: StringRecord,
}

/// Returns the columns that every record has to have, and the file does not.
fn absent_columns(
    columns: Option<&StringRecord>,
    line: u64,
    fields: &[Field],
    problems: &mut Problems,
) -> BTreeSet<&'static str> {
    let Some(columns) = columns else { return BTreeSet::new() };
    let has = |name: &str| columns.iter().any(|column| column == name);
    let absent: BTreeSet<&'static str> =
        fields.iter().filter(|field| field.required && !has(field.name)).map(|field| field.name).collect();
    if !absent.is_empty() {
        let names: Vec<&str> = absent.iter().copied().collect();
        problems.add(line, format!("the first line names no {}", names.join(", no ")));
    }
    let mut seen = BTreeSet::new();
    for twice in columns.iter().filter(|&name| !name.is_empty() && !seen.insert(name)) {
        problems.add(line, format!("the first line names {twice} twice"));
    }
    absent
}

fn delimited_table(text: &str, fields: &[Field], problems: &mut Problems) -> Table {
    let (delimiter, body_at) = delimiter_of(text, fields);
    let mut lines = Lines::new(text);
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(&text.as_bytes()[body_at..]);
    let (mut columns, mut names_line, mut records) = (None, 1, Vec::new());
    for record in reader.records() {
        let texts = match record {
            Ok(texts) => texts,
            // The text is UTF-8 and rows may have any length: nothing is left that the reader could refuse.
            Err(error) => {
                problems.add(1, error.to_string());
                break;
            }
        };
        let byte = texts.position().map_or(0, csv::Position::byte);
        let line = lines.line_at(body_at + usize::try_from(byte).unwrap_or_default());
        // Spreadsheets write rows of delimiters alone for cells that were emptied, and delimiters behind the last cell.
        let Some(last) = (0..texts.len()).rfind(|&index| !texts[index].is_empty()) else { continue };
        let Some(names) = &columns else {
            names_line = line;
            columns = Some(Arc::new(texts.iter().take(last + 1).map(field_name).collect::<StringRecord>()));
            continue;
        };
        if last >= names.len() || texts.len() < names.len() {
            let found = if texts.len() < names.len() { texts.len() } else { last + 1 };
            problems.add(line, format!("{found} fields, but the first line names {}", names.len()));
            continue;
        }
        records.push(Record { line, names: Arc::clone(names), texts });
        if records.len() > RECORDS_MAX {
            break;
        }
    }
    Table { records, columns, names_line, decimal_comma: delimiter != b',' }
}

/// The delimiter between the fields, and the byte at which the first line of names begins: the delimiter that a line
/// `sep=;` says, which spreadsheets write and read, or else the one that makes most known names of the first line.
fn delimiter_of(text: &str, fields: &[Field]) -> (u8, usize) {
    let first_line = text.lines().next().unwrap_or_default();
    let said = first_line.trim_matches(['"', '\r']).strip_prefix("sep=").map(str::as_bytes);
    if let Some(&[delimiter]) = said {
        return (delimiter, first_line.len());
    }
    let known = |delimiter: &u8| {
        let mut reader = csv::ReaderBuilder::new().delimiter(*delimiter).from_reader(text.as_bytes());
        let names = reader.headers().cloned().unwrap_or_default();
        let is_known = |name: &&str| fields.iter().any(|field| field.name == field_name(name));
        (names.iter().filter(is_known).count(), names.len())
    };
    let most = DELIMITERS.into_iter().rev().max_by_key(known);
    (most.unwrap_or(b','), 0)
}

fn json_table(text: &str, problems: &mut Problems) -> Table {
    let mut records = Vec::new();
    let items: Vec<&RawValue> = match serde_json::from_str(text) {
        Ok(items) => items,
        Err(error) => {
            problems.add(error.line() as u64, format!("not an array of objects: {error}"));
            Vec::new()
        }
    };
    let mut lines = Lines::new(text);
    for item in items.into_iter().take(RECORDS_MAX + 1) {
        // serde_json names no positions of items, but they are slices of the text.
        let line = lines.line_at(item.get().as_ptr().addr() - text.as_ptr().addr());
        match json_fields(item.get()) {
            Ok((names, texts)) => records.push(Record { line, names: Arc::new(names), texts }),
            Err(problem) => problems.add(line, problem),
        }
    }
    Table { records, columns: None, names_line: 1, decimal_comma: false }
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
    let (mut name, mut last) = (String::new(), ' ');
    for c in text.trim().chars() {
        if c.is_uppercase() && !name.is_empty() && !name.ends_with('_') && !last.is_uppercase() {
            name.push('_');
        }
        name.extend(if c == ' ' || c == '-' { '_' } else { c }.to_lowercase());
        last = c;
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
    use super::*;

    #[derive(Debug, PartialEq, Eq)]
    struct Tag {
        id: String,
        address: Option<String>,
    }

    const FIELDS: [Field; 2] = [Field::required("id"), Field::optional("shipping_address")];

    fn read_bytes(name: &str, bytes: &[u8]) -> anyhow::Result<Vec<Entry<Tag>>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        read(&path, &FIELDS, |row| {
            let (id, address) = (row.required("id"), row.optional("shipping_address"));
            if address == Some("nowhere") {
                row.problem("nowhere is no address");
            }
            Some(Tag { id: id?.to_owned(), address: address.map(str::to_owned) })
        })
    }

    fn read_as(name: &str, text: &str) -> anyhow::Result<Vec<Entry<Tag>>> {
        read_bytes(name, text.as_bytes())
    }

    fn problems(name: &str, text: &str) -> Vec<String> {
        let error = read_as(name, text).unwrap_err().to_string();
        error.lines().skip(1).map(|line| line.trim().to_owned()).collect()
    }

    fn tag(line: u64, id: &str, address: Option<&str>) -> Entry<Tag> {
        Entry { line, value: Tag { id: id.to_owned(), address: address.map(str::to_owned) } }
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
    fn files_are_read_as_spreadsheets_save_them() {
        let expected =
            [tag(2, "É1", Some("1 Straße; Köln")), tag(3, "B", Some("2 Quay\nPorto")), tag(6, "C", None)];
        let table = |delimiter: &str, end: &str| {
            let rows = [
                format!("ID{delimiter}Shipping Address{delimiter}{delimiter}"),
                format!("É1{delimiter}\"1 Straße; Köln\"{delimiter}{delimiter}"),
                format!("B{delimiter}\"2 Quay\nPorto\"{delimiter}{delimiter}"),
                delimiter.repeat(3),
                format!("C{delimiter}{delimiter}{delimiter}"),
                delimiter.repeat(3),
                String::new(),
            ];
            rows.join(end)
        };
        let windows_1252 = |text: &str| encoding_rs::WINDOWS_1252.encode(text).0.into_owned();
        let utf_16 = |text: &str| -> Vec<u8> {
            format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect()
        };
        for (name, bytes) in [
            ("comma, UTF-8.csv", table(",", "\r\n").into_bytes()),
            ("comma, UTF-8, a Mac's.csv", table(",", "\n").into_bytes()),
            ("semicolon, Windows-1252.csv", windows_1252(&table(";", "\r\n"))),
            ("Unicode text.txt", utf_16(&table("\t", "\r\n"))),
            ("tabs.tsv", table("\t", "\n").into_bytes()),
        ] {
            assert_eq!(read_bytes(name, &bytes).unwrap(), expected, "{name}");
        }
        let said = read_as("said.csv", "sep=;\r\nid;shippingAddress\r\nA;1 Quay\r\n").unwrap();
        assert_eq!(said, [tag(3, "A", Some("1 Quay"))]);
    }

    #[test]
    fn every_problem_is_reported_with_its_line() {
        for end in ["\n", "\r\n"] {
            let text = [
                "id,shipping_address",
                "A,\"1 Quay\nPorto\"",
                ",nowhere",
                "B",
                "A,C,D",
                ",,,,",
                "E,nowhere",
                "",
                "A,",
            ];
            assert_eq!(
                problems("tags.csv", &text.join(end)),
                [
                    "line 4: id is missing",
                    "line 4: nowhere is no address",
                    "line 5: 1 fields, but the first line names 2",
                    "line 6: 3 fields, but the first line names 2",
                    "line 8: nowhere is no address",
                    "line 10: the id \"A\" stands on line 2 already",
                ],
                "{end:?}"
            );
        }
    }

    #[test]
    fn what_is_wrong_with_the_first_line_is_reported_once() {
        let rows = "1,2\n".repeat(60);
        assert_eq!(
            problems("tags.csv", &format!("number,shipping_address\n{rows}")),
            [
                "line 1: the first line names no id",
                "line 1: unknown field \"number\", expected id, shipping_address",
            ]
        );
        assert_eq!(problems("tags.csv", "id,ID\nA,nowhere\n"), ["line 1: the first line names id twice"],);
        assert_eq!(
            problems("tags.json", "[{\"id\": 1, \"colour\": 2},\n{\"id\": 2, \"colour\": 2}]"),
            ["line 1: unknown field \"colour\", expected id, shipping_address"]
        );
    }

    #[test]
    fn what_is_no_table_is_refused() {
        for (name, text, problem) in [
            ("tags.xlsx", "id\nA\n", "must end in .csv, .tsv, .txt or .json"),
            ("tags.csv", "PK\u{3}\u{4}", "it is a workbook"),
            ("tags.csv", "", "there are no records"),
            ("tags.csv", "id,shipping_address\n,,,\n", "there are no records"),
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
        assert_eq!(field_name("ID"), "id");
    }
}
