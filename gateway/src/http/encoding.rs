//! Encodings of requests' bodies.

use axum::http::HeaderValue;

/// The encodings of bodies that are read, beside none.
pub(super) const ENCODINGS: &str = "gzip, br, zstd";

/// Whether a body of this Content-Encoding can be read: of one of [`ENCODINGS`], applied once.
pub(super) fn is_readable_encoding(encoding: &HeaderValue) -> bool {
    let readable = ENCODINGS.split(", ").chain(["identity", ""]);
    encoding.to_str().is_ok_and(|encoding| readable.into_iter().any(|name| name == encoding))
}
