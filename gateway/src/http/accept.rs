//! What a client accepts (RFC 9110, section 12.5.1).

use axum::http::{HeaderMap, header};

/// One media range of an `Accept` header.
pub(super) struct MediaRange<'a> {
    /// In lower case.
    pub(super) name: String,
    parameters: Vec<(String, &'a str)>,
}

impl MediaRange<'_> {
    /// Returns a parameter by its name in lower case.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| *value)
    }
}

/// Returns each media range with its weight.
pub(super) fn ranges(headers: &HeaderMap) -> impl Iterator<Item = (MediaRange<'_>, f32)> {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let ranges = values.flat_map(|value| value.split(',')).filter(|range| !range.trim().is_empty());
    ranges.map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let pairs = parts.filter_map(|parameter| parameter.split_once('='));
        let parameters: Vec<_> =
            pairs.map(|(key, value)| (key.to_ascii_lowercase(), value.trim_matches('"'))).collect();
        let range = MediaRange { name, parameters };
        let weight = range.parameter("q").and_then(|weight| weight.parse().ok()).unwrap_or(1.0);
        (range, weight)
    })
}
