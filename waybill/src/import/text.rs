//! The text of a file as spreadsheets save it: UTF-8, UTF-16 ("Unicode text") or Windows-1252, which has Latin-1 in it.

use anyhow::{bail, ensure};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

/// What to do about a file that can't be read as text.
const SAVE_AS: &str =
    "save it as \"CSV UTF-8\" (Excel) or as \"Text CSV\" with the character set UTF-8 (LibreOffice)";

/// Decodes a file; the text is without a byte order mark. Fails with what to do if it is no text.
pub(super) fn decode(bytes: &[u8]) -> anyhow::Result<String> {
    ensure!(!bytes.starts_with(b"PK\x03\x04"), "it is a workbook, not a text; {SAVE_AS}");
    ensure!(!bytes.starts_with(&[0xD0, 0xCF, 0x11, 0xE0]), "it is an old workbook, not a text; {SAVE_AS}");
    let encoding = encoding_of(bytes);
    let (text, encoding, malformed) = encoding.decode(bytes);
    // Windows-1252 decodes any bytes, and gives those that it has no character for as control characters.
    let is_control = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    if malformed || text.chars().any(is_control) {
        bail!("it is not a text in {}, nor in UTF-8 or UTF-16; {SAVE_AS}", encoding.name());
    }
    Ok(text.into_owned())
}

/// The encoding by the byte order mark, or else by what the bytes can be.
fn encoding_of(bytes: &[u8]) -> &'static Encoding {
    if let Some((marked, _)) = Encoding::for_bom(bytes) {
        return marked;
    }
    if std::str::from_utf8(bytes).is_ok_and(|text| !text.contains('\0')) {
        return UTF_8;
    }
    // A table's first name is ASCII, of which UTF-16 makes pairs with a zero.
    match bytes {
        [_, 0, ..] => UTF_16LE,
        [0, _, ..] => UTF_16BE,
        _ => WINDOWS_1252,
    }
}

/// Finds the lines of places in a text, which are asked for in ascending order. `\r\n`, `\n` and `\r` end lines.
pub(super) struct Lines<'a> {
    text: &'a str,
    counted: usize,
    line: u64,
}

impl<'a> Lines<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, counted: 0, line: 1 }
    }

    /// Returns the line, from 1, of what begins at this byte or, if line breaks are there, after them.
    pub(super) fn line_at(&mut self, byte: usize) -> u64 {
        let bytes = self.text.as_bytes();
        let begin = bytes[byte..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count() + byte;
        while self.counted < begin {
            let is_break = match bytes[self.counted] {
                b'\n' => true,
                // The break of a pair is its second byte.
                b'\r' => bytes.get(self.counted + 1) != Some(&b'\n'),
                _ => false,
            };
            self.line += u64::from(is_break);
            self.counted += 1;
        }
        self.line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: &str = "id,name\r\nTEE,Grüner Tee – 5 €\r\n";

    #[test]
    fn what_spreadsheets_save_is_decoded() {
        let utf16 = |endian: fn(u16) -> [u8; 2], mark: &str| -> Vec<u8> {
            format!("{mark}{NAMES}").encode_utf16().flat_map(endian).collect()
        };
        let (windows_1252, _, unmappable) = WINDOWS_1252.encode(NAMES);
        assert!(!unmappable);
        for bytes in [
            NAMES.as_bytes().to_vec(),
            format!("\u{feff}{NAMES}").into_bytes(),
            utf16(u16::to_le_bytes, "\u{feff}"),
            utf16(u16::to_be_bytes, "\u{feff}"),
            utf16(u16::to_le_bytes, ""),
            utf16(u16::to_be_bytes, ""),
            windows_1252.into_owned(),
        ] {
            assert_eq!(decode(&bytes).unwrap(), NAMES);
        }
        assert_eq!(decode(b"").unwrap(), "");
    }

    #[test]
    fn what_is_no_text_is_refused_with_what_to_do() {
        for (bytes, why) in [
            (&b"PK\x03\x04\x14\0"[..], "a workbook"),
            (&[0xD0, 0xCF, 0x11, 0xE0, 0xA1], "an old workbook"),
            (b"id,name\nA,\x81\n", "not a text in windows-1252"),
            (b"id,name\nA,\0\n", "not a text"),
            (b"\xFF\xFEi\0d\0\0\xD8", "not a text in UTF-16LE"),
        ] {
            let error = decode(bytes).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("CSV UTF-8"), "{bytes:?}: {error}");
        }
    }

    #[test]
    fn lines_are_counted_whatever_ends_them() {
        for text in ["a\nb\n\"c\nd\"\n\ne", "a\r\nb\r\n\"c\r\nd\"\r\n\r\ne", "a\rb\r\"c\rd\"\r\re"] {
            let mut lines = Lines::new(text);
            let lines: Vec<u64> =
                ["a", "b", "\"c", "e"].map(|part| lines.line_at(text.find(part).unwrap())).into();
            assert_eq!(lines, [1, 2, 3, 6], "{text:?}");
        }
        // Where a reader stops before a line break, the next line is meant.
        assert_eq!(Lines::new("a\r\nb").line_at(2), 2);
        assert_eq!(Lines::new("a\r\n\r\nb").line_at(1), 3);
    }
}
