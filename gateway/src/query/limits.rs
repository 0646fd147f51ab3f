//! Bounds on a document: on its tokens before it is parsed, on what its operation selects while that is normalized.

use async_graphql::{ServerError, Value, value};

use super::ErrorCode;
use super::tokens::tokens;

/// Errors of one request; further ones are left out.
pub(super) const MAX_ERRORS: usize = 20;

/// How deep brackets may nest, counted before parsing: the parser recurses.
const MAX_NESTING: usize = 64;
/// Operations of a document.
const MAX_OPERATIONS: usize = 50;
/// Selections that are looked at, before equal ones are merged. Fragments that spread fragments double with each level.
const MAX_SELECTIONS: usize = 2000;
/// Fields that repeat one of their own selection set. Clients' compilers print each once.
const MAX_REPEATED_FIELDS: usize = 50;
/// How many selection sets may stand inside one another, those of fragments counted: normalizing recurses along them.
const MAX_LEVELS: usize = 32;

/// What a document may ask for. The defaults are beyond what ordinary clients send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DocumentLimits {
    /// Lexical tokens, counted before parsing.
    pub tokens: usize,
    /// How deep fields may nest. Clients' introspection needs 15.
    pub depth: usize,
    /// How deep fields may nest from `__schema` or `__type` on, which count.
    pub introspection_depth: usize,
    /// Fields of the operation's root type.
    pub root_fields: usize,
    /// Fields with an alias.
    pub aliases: usize,
    /// Directives.
    pub directives: usize,
    /// Fields, those of a list with `first` or `last` as often as it may have entries.
    pub complexity: usize,
    pub mode: LimitMode,
    /// How long lists are.
    pub lists: ListSizes,
}

/// Which documents are accepted.
#[derive(Clone, Copy, Debug)]
pub struct DocumentSettings {
    pub limits: DocumentLimits,
    /// Whether the schema may be asked for. Errors never suggest what it has.
    pub introspection: bool,
}

impl Default for DocumentSettings {
    fn default() -> Self {
        Self { limits: DocumentLimits::default(), introspection: true }
    }
}

/// Whether documents beyond a limit are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitMode {
    Enforce,
    /// They are executed and logged, as long as they are within [`DocumentLimits::CEILINGS`].
    Measure,
}

/// How many entries a list with the arguments `first` and `last` has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListSizes {
    /// If neither is given.
    pub default: usize,
    /// However many are asked for.
    pub max: usize,
}

impl Default for DocumentLimits {
    fn default() -> Self {
        Self {
            tokens: 5_000,
            depth: 20,
            introspection_depth: 16,
            root_fields: 20,
            aliases: 50,
            directives: 50,
            complexity: 20_000,
            mode: LimitMode::Enforce,
            lists: ListSizes { default: 20, max: 100 },
        }
    }
}

impl DocumentLimits {
    /// The highest limits there can be: within these the gateway is safe from any document.
    pub const CEILINGS: Self = Self {
        tokens: 20_000,
        depth: MAX_LEVELS,
        introspection_depth: MAX_LEVELS,
        root_fields: MAX_SELECTIONS,
        aliases: MAX_SELECTIONS,
        directives: MAX_SELECTIONS,
        complexity: 1_000_000,
        mode: LimitMode::Enforce,
        lists: ListSizes { default: 20, max: 100 },
    };

    /// The limits beyond which documents are refused.
    pub(super) fn enforced(&self) -> Self {
        match self.mode {
            LimitMode::Enforce => *self,
            LimitMode::Measure => Self { lists: self.lists, ..Self::CEILINGS },
        }
    }

    /// Refuses an operation beyond a limit, or logs it if limits are only measured.
    pub(super) fn check(&self, size: &OperationSize, name: Option<&str>) -> Result<(), TooComplex> {
        self.enforced().exceeded(size).next().map_or(Ok(()), Err)?;
        for TooComplex { what, size, limit } in self.exceeded(size) {
            let name = name.unwrap_or_default();
            tracing::warn!(operation = name, what, size, limit, "operation beyond a limit executed");
            metrics::counter!("waybill_operations_beyond_limit_total", "limit" => what).increment(1);
        }
        Ok(())
    }

    fn exceeded<'a>(&self, size: &'a OperationSize) -> impl Iterator<Item = TooComplex> + use<'a> {
        let bounds = [
            ("tokens", size.tokens, self.tokens),
            ("nested fields", size.depth, self.depth),
            ("nested fields of the schema", size.introspection_depth, self.introspection_depth),
            ("root fields", size.root_fields, self.root_fields),
            ("aliases", size.aliases, self.aliases),
            ("selections", size.selections, MAX_SELECTIONS),
            ("repeated fields", size.repeated_fields, MAX_REPEATED_FIELDS),
            ("directives", size.directives, self.directives),
            ("nested selection sets", size.levels, MAX_LEVELS),
            ("fields and list entries", size.complexity, self.complexity),
        ];
        let exceeded = bounds.into_iter().filter(|(_, size, limit)| size > limit);
        exceeded.map(|(what, size, limit)| TooComplex { what, size, limit })
    }

    /// Counts tokens and nested brackets without parsing; returns the number of tokens.
    pub(super) fn check_tokens(&self, text: &str) -> Result<usize, ServerError> {
        let max_tokens = self.enforced().tokens;
        let (mut count, mut nesting) = (0_usize, 0_usize);
        for token in tokens(text) {
            match token.first {
                b'{' | b'[' | b'(' => nesting += 1,
                b'}' | b']' | b')' => nesting = nesting.saturating_sub(1),
                _ => {}
            }
            count += 1;
            for (what, count, limit) in
                [("tokens", count, max_tokens), ("nested brackets", nesting, MAX_NESTING)]
            {
                if count > limit {
                    let message = format!("the document has more than {limit} {what}");
                    return Err(ErrorCode::QueryTooComplex.error(message).into());
                }
            }
        }
        Ok(count)
    }
}

/// What an operation selects, counted while it is normalized, and what its document and its variables add to that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OperationSize {
    pub(super) tokens: usize,
    pub(super) depth: usize,
    pub(super) introspection_depth: usize,
    pub(super) root_fields: usize,
    pub(super) aliases: usize,
    pub(super) selections: usize,
    pub(super) repeated_fields: usize,
    pub(super) directives: usize,
    pub(super) levels: usize,
    pub(super) complexity: usize,
}

impl OperationSize {
    /// Adds the size of another operation of the same request.
    pub(super) fn add(&mut self, other: &Self) {
        self.tokens += other.tokens;
        self.depth = self.depth.max(other.depth);
        self.introspection_depth = self.introspection_depth.max(other.introspection_depth);
        self.root_fields += other.root_fields;
        self.aliases += other.aliases;
        self.selections += other.selections;
        self.repeated_fields += other.repeated_fields;
        self.directives += other.directives;
        self.levels = self.levels.max(other.levels);
        self.complexity = self.complexity.saturating_add(other.complexity);
    }

    /// Returns what a client is shown.
    pub(super) fn to_value(self, limits: &DocumentLimits) -> Value {
        value!({
            "complexity": self.complexity,
            "maxComplexity": limits.complexity,
            "depth": self.depth,
            "rootFields": self.root_fields,
            "aliases": self.aliases,
            "directives": self.directives,
            "tokens": self.tokens,
        })
    }
}

/// The bound that an operation exceeds.
#[derive(Debug, PartialEq)]
pub(super) struct TooComplex {
    what: &'static str,
    /// Counted as far as it was.
    size: usize,
    limit: usize,
}

impl TooComplex {
    pub(super) fn message(&self) -> String {
        format!("the operation has more than {} {}", self.limit, self.what)
    }
}

/// Where a field stands.
#[derive(Clone, Copy)]
pub(super) struct FieldPlace {
    /// Fields around it, and one.
    pub(super) depth: usize,
    /// The same from `__schema` or `__type` on; 0 outside.
    pub(super) introspection_depth: usize,
}

/// Counts what an operation selects, up to the first bound that it exceeds.
pub(super) struct OperationCounter {
    pub(super) size: OperationSize,
    limits: DocumentLimits,
}

impl OperationCounter {
    pub(super) fn new(limits: &DocumentLimits) -> Self {
        Self { size: OperationSize::default(), limits: limits.enforced() }
    }

    /// Counts a selection, with its directives, that stands this many selection sets deep.
    pub(super) fn add_selection(&mut self, level: usize, directives: usize) -> Result<(), TooComplex> {
        self.size.selections += 1;
        self.size.directives += directives;
        self.add_level(level)
    }

    /// Counts a field that stands in its selection set already.
    pub(super) fn add_repeated_field(&mut self) -> Result<(), TooComplex> {
        self.size.repeated_fields += 1;
        self.check()
    }

    /// Counts selection sets that stand inside one another.
    pub(super) fn add_level(&mut self, level: usize) -> Result<(), TooComplex> {
        self.size.levels = self.size.levels.max(level);
        self.check()
    }

    /// Counts a field of the normalized operation.
    pub(super) fn add_field(&mut self, place: FieldPlace, has_alias: bool) -> Result<(), TooComplex> {
        let size = &mut self.size;
        size.depth = size.depth.max(place.depth);
        size.introspection_depth = size.introspection_depth.max(place.introspection_depth);
        size.root_fields += usize::from(place.depth == 1);
        size.aliases += usize::from(has_alias);
        self.check()
    }

    fn check(&self) -> Result<(), TooComplex> {
        self.limits.exceeded(&self.size).next().map_or(Ok(()), Err)
    }
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

    fn place(depth: usize, introspection_depth: usize) -> FieldPlace {
        FieldPlace { depth, introspection_depth }
    }

    #[test]
    fn each_bound_holds_at_its_value_and_not_beyond() {
        type Add = fn(&mut OperationCounter) -> Result<(), TooComplex>;
        let limits = DocumentLimits::default();
        let count = |times: usize, add: Add| {
            let mut counter = OperationCounter::new(&limits);
            (0..times).try_for_each(|_| add(&mut counter))
        };
        let adds: [(usize, Add); 5] = [
            (limits.root_fields, |counter| counter.add_field(place(1, 0), false)),
            (limits.aliases, |counter| counter.add_field(place(2, 0), true)),
            (MAX_SELECTIONS, |counter| counter.add_selection(1, 0)),
            (MAX_REPEATED_FIELDS, OperationCounter::add_repeated_field),
            (limits.directives, |counter| counter.add_selection(1, 1)),
        ];
        for (limit, add) in adds {
            assert_eq!(count(limit, add), Ok(()));
            assert_eq!(count(limit + 1, add).unwrap_err().limit, limit);
        }
        type AddAt = fn(&mut OperationCounter, usize) -> Result<(), TooComplex>;
        let deep: [(usize, AddAt); 3] = [
            (limits.depth, |counter, depth| counter.add_field(place(depth, 0), false)),
            (limits.introspection_depth, |counter, depth| counter.add_field(place(depth, depth), false)),
            (MAX_LEVELS, |counter, level| counter.add_selection(level, 0)),
        ];
        for (limit, add) in deep {
            let mut counter = OperationCounter::new(&limits);
            assert_eq!(add(&mut counter, limit), Ok(()));
            assert_eq!(add(&mut counter, limit + 1).unwrap_err().limit, limit);
        }
    }

    #[test]
    fn limits_that_are_only_measured_give_way_up_to_the_ceilings() {
        let limits = DocumentLimits { mode: LimitMode::Measure, ..DocumentLimits::default() };
        let within =
            OperationSize { complexity: DocumentLimits::CEILINGS.complexity, ..OperationSize::default() };
        assert_eq!(limits.exceeded(&within).count(), 1);
        assert_eq!(limits.check(&within, None), Ok(()));
        let beyond = OperationSize { complexity: within.complexity + 1, ..within };
        assert!(limits.check(&beyond, None).is_err());
        let mut counter = OperationCounter::new(&limits);
        assert_eq!(counter.add_field(place(limits.depth + 1, 0), false), Ok(()));
    }

    fn passes(text: &str) -> bool {
        DocumentLimits::default().check_tokens(text).is_ok()
    }

    #[test]
    fn tokens_are_counted_without_blanks_commas_and_comments() {
        let text = "query Q { a(x: 10, y: \"} \\\" {\") # comment { { {\n ...F }";
        // query Q { a ( x : 10 y : "" ) ... F }
        let before = |brackets, words| format!("{}{}{text}", "{ ".repeat(brackets), "a ".repeat(words));
        let max_tokens = DocumentLimits::default().tokens;
        let (brackets, words) = (MAX_NESTING - 2, max_tokens - 15 - (MAX_NESTING - 2));
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
