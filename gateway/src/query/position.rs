use apollo_compiler::parser::SourceSpan;
use async_graphql::Pos;

/// Where the lines of a document begin, to find the line and column of a place. Lines end as the language says, and
/// columns count characters.
pub(super) struct Lines {
    text: Box<str>,
    /// Byte offsets, ascending; the first is 0.
    starts: Vec<usize>,
}

impl Lines {
    pub(super) fn new(text: &str) -> Self {
        let bytes = text.as_bytes();
        let ends_line =
            |&at: &usize| bytes[at] == b'\n' || bytes[at] == b'\r' && bytes.get(at + 1) != Some(&b'\n');
        let starts = std::iter::once(0).chain((0..bytes.len()).filter(ends_line).map(|at| at + 1));
        Self { starts: starts.collect(), text: text.into() }
    }

    /// Returns where something begins; the document's start if it has no place of its own.
    pub(super) fn pos(&self, span: Option<SourceSpan>) -> Pos {
        let offset = span.map_or(0, |span| span.offset()).min(self.text.len());
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self.starts[line - 1];
        let column = self.text.get(start..offset).map_or(offset - start, |before| before.chars().count()) + 1;
        Pos { line, column }
    }
}
