//! The lexical tokens of a document, found without parsing it.

use std::borrow::Cow;

/// A token's place in the text. Quotes are part of a string.
#[derive(Clone, Copy)]
pub(super) struct Token {
    pub(super) first: u8,
    start: usize,
    end: usize,
}

/// Iterates over the tokens of a text. A string that never ends is a token up to the text's end.
pub(super) fn tokens(text: &str) -> impl Iterator<Item = Token> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let rest = &text.as_bytes()[at..];
            let first = *rest.first()?;
            at += match first {
                b' ' | b'\t' | b'\r' | b'\n' | b',' | 0xEF | 0xBB | 0xBF => 1,
                b'#' => rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(rest.len()),
                _ => {
                    let start = at;
                    at += match first {
                        b'"' => string_length(rest),
                        b'.' if rest.starts_with(b"...") => 3,
                        _ if is_word(first) => rest.iter().take_while(|byte| is_word(**byte)).count(),
                        _ => 1,
                    };
                    return Some(Token { first, start, end: at });
                }
            };
        }
    })
}

/// What begins a definition that may have a description.
const DESCRIBED: [&[u8]; 4] = [b"query", b"mutation", b"subscription", b"fragment"];

/// Blanks the descriptions of operations, fragments and variables, which mean nothing to a server: the September 2025
/// specification has them, and apollo-parser 0.8 doesn't. Everything else keeps its place.
pub(super) fn without_descriptions(text: &str) -> Cow<'_, str> {
    let mut descriptions = Vec::new();
    let (mut brackets, mut before) = (Vec::new(), None);
    let mut tokens = tokens(text).peekable();
    while let Some(token) = tokens.next() {
        match token.first {
            b'{' | b'[' | b'(' => brackets.push(token.first),
            b'}' | b']' | b')' => drop(brackets.pop()),
            b'"' => {
                let next = tokens.peek();
                let is_description = match *brackets {
                    [] => {
                        next.is_some_and(|next| DESCRIBED.contains(&&text.as_bytes()[next.start..next.end]))
                    }
                    [b'('] => {
                        next.is_some_and(|next| next.first == b'$') && !matches!(before, Some(b'=' | b':'))
                    }
                    _ => false,
                };
                descriptions.extend(is_description.then_some(token));
            }
            _ => {}
        }
        before = Some(token.first);
    }
    if descriptions.is_empty() {
        return text.into();
    }
    let mut bytes = text.as_bytes().to_vec();
    for Token { start, end, .. } in descriptions {
        bytes[start..end]
            .iter_mut()
            .filter(|byte| !matches!(byte, b'\n' | b'\r'))
            .for_each(|byte| *byte = b' ');
    }
    String::from_utf8(bytes).expect("whole strings are blanked").into()
}

/// Returns the length of the string at the start of `text`, quotes included; all of it if the string never ends.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_descriptions_are_blanked_and_everything_keeps_its_place() {
        for (text, expected) in [
            ("\"ab\" query Q { a }", "     query Q { a }"),
            ("\"\"\"é\n\"\"\" fragment F on T { a }", "     \n    fragment F on T { a }"),
            ("query(\"x\" $a: Int \"y\", $b: Int) { a }", "query(    $a: Int    , $b: Int) { a }"),
            ("query($a: T = \"x\" $b: T) { a }", "query($a: T = \"x\" $b: T) { a }"),
            ("query($a: T = \"x\" \"y\" $b: T) { a }", "query($a: T = \"x\"     $b: T) { a }"),
            ("query($a: [T] = [\"x\"] $b: T) { a }", "query($a: [T] = [\"x\"] $b: T) { a }"),
            ("query { a(b: \"query\" c: \"x\" d: $d) }", "query { a(b: \"query\" c: \"x\" d: $d) }"),
            ("query @a(b: \"x\") { a(b: \"x\", c: $c) }", "query @a(b: \"x\") { a(b: \"x\", c: $c) }"),
            ("\"ab\" { a }", "\"ab\" { a }"),
            ("\"ab\" type T", "\"ab\" type T"),
            ("\"ab\" é", "\"ab\" é"),
            ("\"ab", "\"ab"),
        ] {
            assert_eq!(without_descriptions(text), expected);
        }
    }
}
