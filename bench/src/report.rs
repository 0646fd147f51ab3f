//! The rows of the result, and how they are printed.

use std::fmt::{self, Write as _};

use serde::Serialize;

use crate::figures::Figures;

/// One kind of work under one condition, with its floors and what is aimed at.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Row {
    pub(crate) scenario: &'static str,
    /// The condition, such as the number of clients.
    pub(crate) case: String,
    pub(crate) figures: Figures,
    pub(crate) floors: Vec<Floor>,
    /// What is compared with an aim.
    pub(crate) results: Vec<Outcome>,
}

/// Other work that was measured in turn with the row's.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Floor {
    pub(crate) name: String,
    pub(crate) figures: Figures,
}

/// A figure or a ratio beside its aim.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outcome {
    /// The quantity, such as `per second / C`.
    what: String,
    /// Nothing if it could not be measured, which meets no aim.
    value: Option<f64>,
    #[serde(flatten)]
    aim: Aim,
    met: bool,
}

/// The bound of a quantity.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Aim {
    AtLeast(f64),
    AtMost(f64),
    /// Reported, whatever it is.
    None,
}

impl Row {
    pub(crate) fn new(scenario: &'static str, case: impl Into<String>, figures: Figures) -> Self {
        Self { scenario, case: case.into(), figures, floors: Vec::new(), results: Vec::new() }
    }

    #[must_use]
    pub(crate) fn beside(mut self, name: impl Into<String>, figures: &Figures) -> Self {
        self.floors.push(Floor { name: name.into(), figures: figures.clone() });
        self
    }

    #[must_use]
    pub(crate) fn aims(mut self, what: impl Into<String>, value: Option<f64>, aim: Aim) -> Self {
        let met = match (value, aim) {
            (Some(value), Aim::AtLeast(bound)) => value >= bound,
            (Some(value), Aim::AtMost(bound)) => value <= bound,
            (_, Aim::None) => true,
            (None, _) => false,
        };
        self.results.push(Outcome { what: what.into(), value, aim, met });
        self
    }

    /// Aims at so many times the rate of work that was measured in turn with this, which is printed beside it.
    #[must_use]
    pub(crate) fn aims_at_rate_of(self, name: &'static str, floor: &Figures, times: f64) -> Self {
        let ratio = ratio(self.figures.per_second, floor.per_second);
        let named = self.floors.iter().any(|floor| floor.name == name);
        let row = if named { self } else { self.beside(name, floor) };
        row.aims(format!("per second / {name}"), ratio, Aim::AtLeast(times))
    }
}

/// The quotient, if both are known.
pub(crate) fn ratio(value: Option<f64>, of: Option<f64>) -> Option<f64> {
    of.filter(|of| *of > 0.0).and_then(|of| Some(value? / of))
}

/// The table, as Markdown.
pub(crate) fn table(rows: &[Row]) -> String {
    let header = [
        "scenario",
        "case",
        "per s",
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        "CPU s per 1,000",
        "peak MB",
        "failed",
        "result",
        "aim",
        "met",
    ];
    let mut lines = vec![header.map(str::to_owned).to_vec()];
    for row in rows {
        let mut outcomes = row.results.iter();
        let first = outcomes.next();
        lines.push(line(row.scenario, &row.case, Some(&row.figures), first));
        for floor in &row.floors {
            lines.push(line(
                "",
                &format!("beside it: {}", floor.name),
                Some(&floor.figures),
                outcomes.next(),
            ));
        }
        lines.extend(outcomes.map(|outcome| line("", "", None, Some(outcome))));
    }
    let columns = header.len();
    let widths: Vec<usize> = (0..columns)
        .map(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0))
        .collect();
    lines.insert(1, widths.iter().map(|width| "-".repeat(*width)).collect());
    let mut table = String::new();
    for line in lines {
        for (cell, width) in line.iter().zip(&widths) {
            let _ = write!(table, "| {cell:<width$} ");
        }
        table.push_str("|\n");
    }
    table
}

fn line(scenario: &str, case: &str, figures: Option<&Figures>, outcome: Option<&Outcome>) -> Vec<String> {
    let number = |figure: fn(&Figures) -> Option<f64>| {
        figures.and_then(figure).map_or_else(String::new, |value| Number(value).to_string())
    };
    let cpu = figures.into_iter().flat_map(|figures| &figures.cpu_seconds_per_1000);
    let cpu: Vec<String> = cpu.map(|(name, seconds)| format!("{name} {}", Number(*seconds))).collect();
    let result = outcome.map_or_else(String::new, |outcome| {
        let value =
            outcome.value.map_or_else(|| "not measured".to_owned(), |value| Number(value).to_string());
        format!("{value} {}", outcome.what)
    });
    let aim = match outcome.map(|outcome| outcome.aim) {
        Some(Aim::AtLeast(bound)) => format!("at least {}", Number(bound)),
        Some(Aim::AtMost(bound)) => format!("at most {}", Number(bound)),
        Some(Aim::None) | None => String::new(),
    };
    let met = match outcome {
        Some(Outcome { aim: Aim::AtLeast(_) | Aim::AtMost(_), met, .. }) => {
            if *met {
                "yes"
            } else {
                "NO"
            }
        }
        _ => "",
    };
    let failures = figures.map_or_else(String::new, |figures| figures.failures.to_string());
    vec![
        scenario.to_owned(),
        case.to_owned(),
        number(|figures| figures.per_second),
        number(|figures| figures.p50_ms),
        number(|figures| figures.p99_ms),
        number(|figures| figures.p999_ms),
        cpu.join(", "),
        number(|figures| figures.peak_mb),
        failures,
        result,
        aim,
        met.to_owned(),
    ]
}

/// A number with three significant digits, or none after the point from a hundred on.
struct Number(f64);

impl fmt::Display for Number {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = match self.0.abs() {
            100.0.. => 0,
            10.0.. => 1,
            1.0.. => 2,
            0.0 => 0,
            _ => 3,
        };
        write!(formatter, "{:.digits$}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(per_second: f64) -> Figures {
        Figures { per_second: Some(per_second), ..Figures::default() }
    }

    #[test]
    fn an_aim_is_met_at_its_bound_and_not_without_a_value() {
        let row = Row::new("work", "64", figures(50.0)).aims_at_rate_of("C", &figures(100.0), 0.5);
        let row = row.aims("p50 ms", None, Aim::AtMost(5.0)).aims("p50 ms", Some(5.1), Aim::AtMost(5.0));
        let met: Vec<bool> = row.results.iter().map(|outcome| outcome.met).collect();
        assert_eq!(met, [true, false, false]);
    }

    #[test]
    fn the_table_has_a_line_for_each_floor_and_each_aim() {
        let row = Row::new("work", "64", figures(50.0)).aims_at_rate_of("C", &figures(100.0), 0.6);
        let table = table(&[row.aims("p50 ms", Some(4.0), Aim::AtMost(5.0))]);
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 4, "{table}");
        assert!(lines[2].contains("0.500 per second / C") && lines[2].contains("NO"), "{table}");
        assert!(
            lines[3].contains("beside it: C")
                && lines[3].contains("at most 5.00")
                && lines[3].contains("| yes"),
            "{table}"
        );
    }
}
