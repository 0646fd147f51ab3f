//! Bounds on a document: on its tokens before it is parsed, on what its operation selects while that is normalized.

use async_graphql::ServerError;

use super::ErrorCode;
use super::tokens::tokens;

/// Errors of one request; further ones are left out.
pub(super) const MAX_ERRORS: usize = 20;

/// Lexical tokens, counted before parsing.
const MAX_TOKENS: usize = 5000;
/// How deep brackets may nest, counted before parsing: the parser recurses.
const MAX_NESTING: usize = 64;
/// Operations of a document.
const MAX_OPERATIONS: usize = 50;
/// How deep fields may nest. The standard introspection query needs 15.
const MAX_DEPTH: usize = 20;
/// Fields of the operation's root type.
const MAX_ROOT_FIELDS: usize = 20;
/// Fields with an alias.
const MAX_ALIASES: usize = 50;
/// Selections that are looked at, before equal ones are merged. Fragments that spread fragments double with each level.
const MAX_SELECTIONS: usize = 2000;
/// Directives of these selections.
const MAX_DIRECTIVES: usize = 50;
/// How many selection sets may stand inside one another, those of fragments counted: normalizing recurses along them.
const MAX_LEVELS: usize = 32;

/// What an operation selects, counted while it is normalized.
#[derive(Default)]
pub(super) struct OperationSize {
    depth: usize,
    root_fields: usize,
    aliases: usize,
    selections: usize,
    directives: usize,
    levels: usize,
}

/// The bound that an operation exceeds.
#[derive(Debug, PartialEq)]
pub(super) struct TooComplex {
    what: &'static str,
    limit: usize,
}

impl TooComplex {
    pub(super) fn message(&self) -> String {
        format!("the operation has more than {} {}", self.limit, self.what)
    }
}

impl OperationSize {
    /// Counts a selection, with its directives, that stands this many selection sets deep.
    pub(super) fn add_selection(&mut self, level: usize, directives: usize) -> Result<(), TooComplex> {
        self.selections += 1;
        self.directives += directives;
        self.add_level(level)
    }

    /// Counts selection sets that stand inside one another.
    pub(super) fn add_level(&mut self, level: usize) -> Result<(), TooComplex> {
        self.levels = self.levels.max(level);
        self.check()
    }

    /// Counts a field of the normalized operation, which is this many fields deep: 1 for root fields.
    pub(super) fn add_field(&mut self, depth: usize, has_alias: bool) -> Result<(), TooComplex> {
        self.depth = self.depth.max(depth);
        self.root_fields += usize::from(depth == 1);
        self.aliases += usize::from(has_alias);
        self.check()
    }

    fn check(&self) -> Result<(), TooComplex> {
        let bounds = [
            ("nested fields", self.depth, MAX_DEPTH),
            ("root fields", self.root_fields, MAX_ROOT_FIELDS),
            ("aliases", self.aliases, MAX_ALIASES),
            ("selections", self.selections, MAX_SELECTIONS),
            ("directives", self.directives, MAX_DIRECTIVES),
            ("nested selection sets", self.levels, MAX_LEVELS),
        ];
        let exceeded = bounds.into_iter().find(|(_, size, limit)| size > limit);
        exceeded.map_or(Ok(()), |(what, _, limit)| Err(TooComplex { what, limit }))
    }
}

/// Counts tokens and nested brackets without parsing; returns the number of tokens.
pub(super) fn check_tokens(text: &str) -> Result<usize, ServerError> {
    let (mut count, mut nesting) = (0_usize, 0_usize);
    for token in tokens(text) {
        match token.first {
            b'{' | b'[' | b'(' => nesting += 1,
            b'}' | b']' | b')' => nesting = nesting.saturating_sub(1),
            _ => {}
        }
        count += 1;
        for (what, count, limit) in [("tokens", count, MAX_TOKENS), ("nested brackets", nesting, MAX_NESTING)]
        {
            if count > limit {
                let message = format!("the document has more than {limit} {what}");
                return Err(ErrorCode::QueryTooComplex.error(message).into());
            }
        }
    }
    Ok(count)
}

/// Bounds the operations of a document: each is validated with all fragments that it spreads.
pub(super) fn check_operations(operations: usize) -> Result<(), ServerError> {
    if operations <= MAX_OPERATIONS {
        return Ok(());
    }
    let message = format!("the document has more than {MAX_OPERATIONS} operations");
    Err(ErrorCode::QueryTooComplex.error(message).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bound_holds_at_its_value_and_not_beyond() {
        type Add = fn(&mut OperationSize) -> Result<(), TooComplex>;
        let count = |times: usize, add: Add| {
            let mut size = OperationSize::default();
            (0..times).try_for_each(|_| add(&mut size))
        };
        let fields: [(usize, Add); 4] = [
            (MAX_ROOT_FIELDS, |size| size.add_field(1, false)),
            (MAX_ALIASES, |size| size.add_field(2, true)),
            (MAX_SELECTIONS, |size| size.add_selection(1, 0)),
            (MAX_DIRECTIVES, |size| size.add_selection(1, 1)),
        ];
        for (limit, add) in fields {
            assert_eq!(count(limit, add), Ok(()));
            assert_eq!(count(limit + 1, add).unwrap_err().limit, limit);
        }
        let mut size = OperationSize::default();
        assert_eq!(size.add_field(MAX_DEPTH, false), Ok(()));
        assert_eq!(size.add_field(MAX_DEPTH + 1, false).unwrap_err().limit, MAX_DEPTH);
        let mut size = OperationSize::default();
        assert_eq!(size.add_selection(MAX_LEVELS, 0), Ok(()));
        assert_eq!(size.add_selection(MAX_LEVELS + 1, 0).unwrap_err().limit, MAX_LEVELS);
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
