use super::{Problems, RECORDS_MAX, Record, field_name};

/// The records of a CSV text with a line of names first.
pub(super) fn records(text: &str) -> Result<Vec<Record>, Problems> {
    let mut problems = Problems::default();
    let mut reader = csv::ReaderBuilder::new().from_reader(text.as_bytes());
    let names: Vec<String> = match reader.headers() {
        Ok(names) => names.iter().map(field_name).collect(),
        Err(error) => {
            problems.add(1, error.to_string());
            return Err(problems);
        }
    };
    let mut records = Vec::new();
    for row in reader.records() {
        match row {
            Ok(_) if records.len() == RECORDS_MAX => {
                problems.add(1, format!("there are more than {RECORDS_MAX} records"));
                break;
            }
            Ok(row) => {
                let line = row.position().map_or(1, csv::Position::line);
                let fields = names.iter().cloned().zip(row.iter().map(str::to_owned)).collect();
                records.push(Record { line, fields });
            }
            Err(error) => problems.add(line_of(&error), said(&error)),
        }
    }
    if problems.0.is_empty() { Ok(records) } else { Err(problems) }
}

fn line_of(error: &csv::Error) -> u64 {
    error.position().map_or(1, csv::Position::line)
}

fn said(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("{len} fields where the first line names {expected_len}")
        }
        _ => error.to_string(),
    }
}
