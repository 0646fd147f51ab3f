//! Bounds on a document: on its tokens before it is parsed, on what it selects before it is executed.
//!
//! async-graphql bounds complexity and recursion. Its other limits count something else: depth without `__typename`,
//! aliases over all operations of the document, directives for each field alone. It also resolves each spread anew, so
//! that its own checks are only safe behind the bound on selections.

use std::collections::HashMap;

use async_graphql::parser::types::{ExecutableDocument, OperationType, Selection, SelectionSet};
use async_graphql::{Pos, ServerError};

use super::ErrorCode;

/// Lexical tokens, counted before parsing.
const MAX_TOKENS: usize = 5000;
/// How deep brackets may nest, counted before parsing: the parser recurses.
const MAX_NESTING: usize = 64;
/// How deep fields may nest, fragments resolved. The standard introspection query needs 15.
const MAX_DEPTH: usize = 20;
/// Fields of the operation's root type, fragments resolved.
const MAX_ROOT_FIELDS: usize = 20;
/// Aliases, fragments resolved.
const MAX_ALIASES: usize = 50;
/// Selections, fragments resolved. Fragments that spread fragments double with each level.
const MAX_SELECTIONS: usize = 2000;
/// Directives, fragments resolved.
const MAX_DIRECTIVES: usize = 50;
/// How many selection sets may stand inside one another before measuring stops: it recurses along them. async-graphql
/// bounds the same, fragments counted wherever they are spread.
const MAX_LEVELS: usize = 32;

/// Counts tokens and nested brackets without parsing.
pub(super) fn check_tokens(text: &str) -> Result<(), ServerError> {
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
        for (what, count, limit) in
            [("tokens", tokens, MAX_TOKENS), ("nested brackets", nesting, MAX_NESTING)]
        {
            if count > limit {
                let message = format!("the document has more than {limit} {what}");
                return Err(ErrorCode::QueryTooComplex.error(message).into());
            }
        }
        rest = &rest[length..];
    }
    Ok(())
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

/// Checks what a document selects, with every fragment counted wherever it is spread. Each fragment is measured once
/// and its size added at each spread, so that measuring takes no longer than reading the document, however much the
/// document would expand to.
pub(super) fn check_shape(document: &ExecutableDocument) -> Result<(), ServerError> {
    let mut measure = Measure { document, fragments: HashMap::new(), level: 0 };
    for (_, operation) in document.operations.iter() {
        let size = measure.selection_set(&operation.node.selection_set.node)?;
        let bounds = [
            ("nested fields", size.depth, MAX_DEPTH),
            ("root fields", size.own_fields, MAX_ROOT_FIELDS),
            ("aliases", size.aliases, MAX_ALIASES),
            ("selections", size.selections, MAX_SELECTIONS),
            ("directives", size.directives, MAX_DIRECTIVES),
        ];
        if let Some((what, _, limit)) = bounds.iter().find(|(_, size, limit)| size > limit) {
            let message = format!("the operation has more than {limit} {what}");
            return Err(ErrorCode::QueryTooComplex.error_at(operation.pos, message));
        }
        // GraphQL, section 5.2.3.1. async-graphql would run them side by side.
        if operation.node.ty == OperationType::Subscription && size.own_fields > 1 {
            let message = "a subscription selects exactly one root field";
            return Err(ErrorCode::GraphqlValidationFailed.error_at(operation.pos, message));
        }
    }
    Ok(())
}

/// The size of a selection set with its fragments resolved. Sums saturate.
#[derive(Clone, Copy, Default)]
struct Size {
    depth: usize,
    own_fields: usize,
    aliases: usize,
    selections: usize,
    directives: usize,
}

impl Size {
    /// Adds what stands inside the same selection set.
    fn add(&mut self, other: Self) {
        self.depth = self.depth.max(other.depth);
        self.own_fields = self.own_fields.saturating_add(other.own_fields);
        self.aliases = self.aliases.saturating_add(other.aliases);
        self.selections = self.selections.saturating_add(other.selections);
        self.directives = self.directives.saturating_add(other.directives);
    }

    /// Returns the size of a field with this selection set.
    fn as_field(mut self, aliased: bool) -> Self {
        self.depth = self.depth.saturating_add(1);
        self.own_fields = 1;
        self.aliases = self.aliases.saturating_add(usize::from(aliased));
        self
    }
}

struct Measure<'a> {
    document: &'a ExecutableDocument,
    /// None while a fragment is being measured: a spread of it then stands inside itself.
    fragments: HashMap<&'a str, Option<Size>>,
    level: usize,
}

impl<'a> Measure<'a> {
    fn selection_set(&mut self, set: &'a SelectionSet) -> Result<Size, ServerError> {
        if self.level > MAX_LEVELS {
            let message = format!("the operation has more than {MAX_LEVELS} nested selection sets");
            return Err(ErrorCode::QueryTooComplex.error(message).into());
        }
        self.level += 1;
        let mut size = Size::default();
        for selection in &set.items {
            size.add(match &selection.node {
                Selection::Field(field) => {
                    let set = &field.node.selection_set.node;
                    let size = if set.items.is_empty() { Size::default() } else { self.selection_set(set)? };
                    size.as_field(field.node.alias.is_some())
                }
                Selection::InlineFragment(fragment) => {
                    self.selection_set(&fragment.node.selection_set.node)?
                }
                Selection::FragmentSpread(spread) => {
                    self.fragment(&spread.node.fragment_name.node, selection.pos)?
                }
            });
            size.selections = size.selections.saturating_add(1);
            size.directives = size.directives.saturating_add(selection.node.directives().len());
        }
        self.level -= 1;
        Ok(size)
    }

    fn fragment(&mut self, name: &'a str, pos: Pos) -> Result<Size, ServerError> {
        if let Some(known) = self.fragments.get(name) {
            return known.ok_or_else(|| {
                let message = format!("the fragment \"{name}\" spreads itself");
                ErrorCode::GraphqlValidationFailed.error_at(pos, message)
            });
        }
        // A spread of no fragment is left to validation, which names it well.
        let Some(fragment) = self.document.fragments.get(name) else {
            return Ok(Size::default());
        };
        self.fragments.insert(name, None);
        let size = self.selection_set(&fragment.node.selection_set.node)?;
        self.fragments.insert(name, Some(size));
        Ok(size)
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;

    use super::*;

    fn code(text: &str) -> Option<ErrorCode> {
        let document = parse_query(text).expect("the test's document parses");
        let error = check_shape(&document).err()?;
        ErrorCode::of(&error)
    }

    #[test]
    fn fragments_that_double_at_each_level_and_long_chains_of_fragments_are_refused_quickly() {
        for (spread, levels) in [("...F ...F", 60), ("...F", 600)] {
            let spread = |level: usize| spread.replace('F', &format!("F{level}"));
            let mut text = format!("{{ {} }} fragment F{levels} on Query {{ a }}", spread(0));
            for level in 0..levels {
                text += &format!(" fragment F{level} on Query {{ {} }}", spread(level + 1));
            }
            assert_eq!(code(&text), Some(ErrorCode::QueryTooComplex), "{levels}");
        }
    }

    #[test]
    fn a_fragment_that_spreads_itself_and_a_subscription_with_two_root_fields_are_invalid() {
        for text in [
            "{ ...A } fragment A on Query { ...B } fragment B on Query { a { ...A } }",
            "subscription { a b }",
            "subscription { ...F } fragment F on S { a b }",
        ] {
            assert_eq!(code(text), Some(ErrorCode::GraphqlValidationFailed), "{text}");
        }
    }

    #[test]
    fn each_bound_holds_at_its_value_and_not_beyond() {
        let nested = |fields: &str, count: usize| format!("{{ n {{ {} }} }}", fields.repeat(count));
        let documents: [(usize, &dyn Fn(usize) -> String); 5] = [
            (MAX_DEPTH, &|count| format!("{}{}", "{ a ".repeat(count), "}".repeat(count))),
            (MAX_ROOT_FIELDS, &|count| format!("{{ {} }}", "a ".repeat(count))),
            (MAX_ALIASES, &|count| nested("x: a ", count)),
            (MAX_SELECTIONS, &|count| nested("a ", count - 1)),
            (MAX_DIRECTIVES, &|count| nested("a @include(if: true) ", count)),
        ];
        for (limit, document) in documents {
            assert_eq!(code(&document(limit)), None, "{}", document(limit));
            assert_eq!(code(&document(limit + 1)), Some(ErrorCode::QueryTooComplex), "{}", document(limit));
        }
    }

    fn passes(text: &str) -> bool {
        check_tokens(text).is_ok()
    }

    #[test]
    fn tokens_are_counted_without_blanks_commas_and_comments() {
        let text = "query Q { a(x: 10, y: \"} \\\" {\") # comment { { {\n ...F }";
        // query Q { a ( x : 10 y : "" ) ... F }
        let before = |brackets, words| format!("{}{}{text}", "{ ".repeat(brackets), "a ".repeat(words));
        let (brackets, words) = (MAX_NESTING - 2, MAX_TOKENS - 15 - (MAX_NESTING - 2));
        assert!(passes(&before(brackets, words)));
        assert!(!passes(&before(brackets, words + 1)));
        assert!(!passes(&before(brackets + 1, words - 1)));
    }

    #[test]
    fn brackets_inside_strings_do_not_nest() {
        let brackets = "{".repeat(MAX_NESTING);
        assert!(passes(&format!(r#"{{ a(x: """ {brackets} \""" {brackets} """) }}"#)));
        assert!(passes(&brackets));
        assert!(!passes(&format!("{{{brackets}")));
    }

    #[test]
    fn unfinished_strings_end_the_scan() {
        for text in ["\"", "\"\"\"", "\"\\", "\"\"\"\\\"\"", "\"a"] {
            assert!(passes(text), "{text}");
        }
    }
}
