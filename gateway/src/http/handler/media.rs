//! Which of the two media types a response has.

use axum::http::{HeaderMap, header};

/// The media type of a response. It also decides the status of request errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Media {
    /// `application/json`: 200 for every well-formed request, as old clients expect.
    Json,
    /// `application/graphql-response+json`: the status says whether the document was executed.
    GraphqlResponse,
}

impl Media {
    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json; charset=utf-8",
            Self::GraphqlResponse => "application/graphql-response+json; charset=utf-8",
        }
    }

    /// What the client likes best; `application/json` where it doesn't say, none where it can take
    /// neither. Between equals the newer type wins, which only clients that know it list.
    pub(super) fn preferred(headers: &HeaderMap) -> Option<Self> {
        let mut accepted = headers
            .get_all(header::ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter(|range| !range.trim().is_empty())
            .peekable();
        if accepted.peek().is_none() {
            return Some(Self::Json);
        }
        let (mut json, mut graphql) = (None, None);
        for range in accepted {
            let (name, quality) = quality(range);
            match name.as_str() {
                "application/graphql-response+json" => raise(&mut graphql, quality),
                "application/json" | "application/*" | "*/*" => raise(&mut json, quality),
                _ => {}
            }
        }
        match (json.filter(|q| *q > 0.0), graphql.filter(|q| *q > 0.0)) {
            (None, None) => None,
            (Some(json), Some(graphql)) if json > graphql => Some(Self::Json),
            (Some(_), None) => Some(Self::Json),
            (_, Some(_)) => Some(Self::GraphqlResponse),
        }
    }
}

fn raise(best: &mut Option<f32>, quality: f32) {
    *best = Some(best.map_or(quality, |best| best.max(quality)));
}

/// A media range's name and its weight (RFC 9110, section 12.4.2).
fn quality(range: &str) -> (String, f32) {
    let mut parts = range.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default().to_ascii_lowercase();
    let quality = parts
        .filter_map(|parameter| parameter.split_once('='))
        .find(|(key, _)| key.eq_ignore_ascii_case("q"))
        .and_then(|(_, value)| value.parse().ok())
        .unwrap_or(1.0);
    (name, quality)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn the_media_type_is_what_the_client_likes_best() {
        let (json, graphql) = (Some(Media::Json), Some(Media::GraphqlResponse));
        for (accept, expected) in [
            ("", json),
            ("*/*", json),
            ("application/*", json),
            ("application/json", json),
            ("application/json; charset=utf-8", json),
            ("application/graphql-response+json", graphql),
            ("Application/GraphQL-Response+JSON; charset=utf-8", graphql),
            ("application/json, application/graphql-response+json", graphql),
            ("application/graphql-response+json, */*;q=0.5", graphql),
            ("application/graphql-response+json;q=0.5, application/json", json),
            ("application/graphql-response+json;q=0, */*", json),
            ("text/html, */*;q=0.8", json),
            ("text/html", None),
            ("application/json;q=0", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(Media::preferred(&headers), expected, "{accept}");
        }
    }
}
