//! Bounds that hold before parsing, in one pass over the text: the parser's time grows with the
//! tokens, and it recurses with the nesting.

use async_graphql::ServerError;

use crate::http::{DocumentLimits, ErrorCode};

pub(super) fn check(text: &str, limits: &DocumentLimits) -> Result<(), ServerError> {
    let (mut tokens, mut nesting) = (0_usize, 0_usize);
    let mut rest = text.as_bytes();
    while let Some(&byte) = rest.first() {
        let length = match byte {
            b' ' | b'\t' | b'\r' | b'\n' | b',' | 0xEF | 0xBB | 0xBF => {
                rest = &rest[1..];
                continue;
            }
            b'#' => {
                let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
                rest = &rest[end.unwrap_or(rest.len())..];
                continue;
            }
            b'"' => string_length(rest),
            b'.' if rest.starts_with(b"...") => 3,
            _ if is_word(byte) => rest.iter().take_while(|byte| is_word(**byte)).count(),
            _ => 1,
        };
        match byte {
            b'{' | b'[' | b'(' => nesting += 1,
            b'}' | b']' | b')' => nesting = nesting.saturating_sub(1),
            _ => {}
        }
        tokens += 1;
        if tokens > limits.max_tokens {
            return Err(too_complex("tokens", limits.max_tokens));
        }
        if nesting > limits.max_nesting {
            return Err(too_complex("nested brackets", limits.max_nesting));
        }
        rest = &rest[length..];
    }
    Ok(())
}

/// The length of the string at the start of `text`, quotes included; all of it where it never ends.
fn string_length(text: &[u8]) -> usize {
    let (quote, escape): (&[u8], &[u8]) =
        if text.starts_with(b"\"\"\"") { (b"\"\"\"", b"\\\"\"\"") } else { (b"\"", b"\\") };
    let is_block = quote.len() == 3;
    let mut at = quote.len();
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with(escape) {
            at += if is_block { escape.len() } else { 2 };
        } else if rest.starts_with(quote) {
            return at + quote.len();
        } else {
            at += 1;
        }
    }
    text.len()
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn too_complex(what: &str, limit: usize) -> ServerError {
    ErrorCode::QueryTooComplex.error(format!("the document has more than {limit} {what}")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(text: &str, max_tokens: usize, max_nesting: usize) -> bool {
        let limits = DocumentLimits { max_tokens, max_nesting, ..DocumentLimits::default() };
        check(text, &limits).is_ok()
    }

    #[test]
    fn tokens_are_counted_without_blanks_commas_and_comments() {
        let text = "query Q { a(x: 10, y: \"} \\\" {\") # comment { { {\n ...F }";
        // query Q { a ( x : 10 y : "" ) ... F }
        assert!(passes(text, 15, 2));
        assert!(!passes(text, 14, 2));
    }

    #[test]
    fn brackets_inside_strings_do_not_nest() {
        assert!(passes(r#"{ a(x: """ {{{{ \""" {{ """) }"#, 100, 2));
        assert!(!passes("{ a { b { c } } }", 100, 2));
    }

    #[test]
    fn unfinished_strings_end_the_scan() {
        for text in ["\"", "\"\"\"", "\"\\", "\"\"\"\\\"\"", "\"a"] {
            assert!(passes(text, 100, 10), "{text}");
        }
    }
}
