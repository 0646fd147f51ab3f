//! Bounds on what a document selects, with every fragment counted wherever it is spread.
//!
//! Each fragment is measured once and its size added at each spread, so measuring takes no longer
//! than reading the document, however much the document would expand to.

use std::collections::HashMap;

use async_graphql::{
    Pos, ServerError,
    parser::types::{ExecutableDocument, OperationType, Selection, SelectionSet},
};

use crate::http::{DocumentLimits, ErrorCode};

/// How many selection sets may stand inside one another, fragments counted like fields. The
/// executor recurses along them, and refuses more itself, without a code.
const MAX_LEVELS: usize = 32;

pub(super) fn check(document: &ExecutableDocument, limits: &DocumentLimits) -> Result<(), ServerError> {
    let mut measure = Measure { document, fragments: HashMap::new(), level: 0 };
    for (_, operation) in document.operations.iter() {
        let size = measure.selection_set(&operation.node.selection_set.node)?;
        let bounds = [
            ("nested fields", size.depth, limits.max_depth),
            ("nested selection sets", size.levels, MAX_LEVELS + 1),
            ("root fields", size.own_fields, limits.max_root_fields),
            ("aliases", size.aliases, limits.max_aliases),
            ("selections", size.selections, limits.max_selections),
            ("directives", size.directives, limits.max_directives),
        ];
        if let Some((what, _, limit)) = bounds.iter().find(|(_, size, limit)| size > limit) {
            return Err(at(
                operation.pos,
                ErrorCode::QueryTooComplex,
                format!("the operation has more than {limit} {what}"),
            ));
        }
        // GraphQL, section 5.2.3.1. The executor would run them side by side.
        if operation.node.ty == OperationType::Subscription && size.own_fields > 1 {
            return Err(at(
                operation.pos,
                ErrorCode::GraphqlValidationFailed,
                "a subscription selects exactly one root field".into(),
            ));
        }
    }
    Ok(())
}

/// The size of a selection set with its fragments resolved. Sums saturate.
#[derive(Clone, Copy, Default)]
struct Size {
    levels: usize,
    depth: usize,
    own_fields: usize,
    aliases: usize,
    selections: usize,
    directives: usize,
}

impl Size {
    /// Adds what stands inside the same selection set.
    fn add(&mut self, other: Self) {
        self.levels = self.levels.max(other.levels);
        self.depth = self.depth.max(other.depth);
        self.own_fields = self.own_fields.saturating_add(other.own_fields);
        self.aliases = self.aliases.saturating_add(other.aliases);
        self.selections = self.selections.saturating_add(other.selections);
        self.directives = self.directives.saturating_add(other.directives);
    }

    /// The size of a field with this selection set.
    fn as_field(mut self, aliased: bool) -> Self {
        self.depth = self.depth.saturating_add(1);
        self.own_fields = 1;
        self.aliases = self.aliases.saturating_add(usize::from(aliased));
        self
    }
}

enum FragmentSize {
    /// Its measuring has begun: whoever meets it now stands inside it.
    Open,
    Known(Size),
}

struct Measure<'a> {
    document: &'a ExecutableDocument,
    fragments: HashMap<&'a str, FragmentSize>,
    level: usize,
}

impl<'a> Measure<'a> {
    fn selection_set(&mut self, set: &'a SelectionSet) -> Result<Size, ServerError> {
        if set.items.is_empty() {
            return Ok(Size::default());
        }
        if self.level > MAX_LEVELS {
            let message = format!("the operation has more than {MAX_LEVELS} nested selection sets");
            return Err(ErrorCode::QueryTooComplex.error(message).into());
        }
        self.level += 1;
        let size = self.selections(set);
        self.level -= 1;
        size
    }

    fn selections(&mut self, set: &'a SelectionSet) -> Result<Size, ServerError> {
        let mut size = Size::default();
        for selection in &set.items {
            size.add(match &selection.node {
                Selection::Field(field) => {
                    self.selection_set(&field.node.selection_set.node)?.as_field(field.node.alias.is_some())
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
        size.levels = size.levels.saturating_add(1);
        Ok(size)
    }

    fn fragment(&mut self, name: &'a str, pos: Pos) -> Result<Size, ServerError> {
        match self.fragments.get(name) {
            Some(FragmentSize::Known(size)) => return Ok(*size),
            Some(FragmentSize::Open) => {
                return Err(at(
                    pos,
                    ErrorCode::GraphqlValidationFailed,
                    format!("the fragment \"{name}\" spreads itself"),
                ));
            }
            None => {}
        }
        // A spread of no fragment is left to validation, which names it well.
        let Some(fragment) = self.document.fragments.get(name) else {
            return Ok(Size::default());
        };
        self.fragments.insert(name, FragmentSize::Open);
        let size = self.selection_set(&fragment.node.selection_set.node)?;
        self.fragments.insert(name, FragmentSize::Known(size));
        Ok(size)
    }
}

fn at(pos: Pos, code: ErrorCode, message: String) -> ServerError {
    ServerError { locations: vec![pos], ..code.error(message).into() }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;

    use super::*;

    fn code(text: &str, limits: DocumentLimits) -> Option<ErrorCode> {
        let document = parse_query(text).expect("the test's document parses");
        let error = check(&document, &limits).err()?;
        ErrorCode::of(&error)
    }

    #[test]
    fn fragments_that_double_at_each_level_are_refused_quickly() {
        let mut text = String::from("{ ...F0 ...F0 } fragment F60 on Query { a }");
        for level in 0..60 {
            let next = level + 1;
            text += &format!(" fragment F{level} on Query {{ ...F{next} ...F{next} }}");
        }
        let limits = DocumentLimits::default();
        assert_eq!(code(&text, limits), Some(ErrorCode::QueryTooComplex));
    }

    #[test]
    fn a_long_chain_of_fragments_is_refused() {
        let mut text = String::from("{ ...F0 } fragment F600 on Query { a }");
        for level in 0..600 {
            let next = level + 1;
            text += &format!(" fragment F{level} on Query {{ ...F{next} }}");
        }
        let limits = DocumentLimits::default();
        assert_eq!(code(&text, limits), Some(ErrorCode::QueryTooComplex));
    }

    #[test]
    fn a_fragment_that_spreads_itself_is_invalid() {
        let text = "{ ...A } fragment A on Query { ...B } fragment B on Query { a { ...A } }";
        assert_eq!(code(text, DocumentLimits::default()), Some(ErrorCode::GraphqlValidationFailed));
    }

    #[test]
    fn a_subscription_with_two_root_fields_is_invalid() {
        for text in ["subscription { a b }", "subscription { ...F } fragment F on S { a b }"] {
            assert_eq!(
                code(text, DocumentLimits::default()),
                Some(ErrorCode::GraphqlValidationFailed),
                "{text}"
            );
        }
    }

    #[test]
    fn each_bound_holds_at_its_value_and_not_beyond() {
        let at_limit = DocumentLimits {
            max_depth: 2,
            max_root_fields: 2,
            max_aliases: 1,
            max_selections: 3,
            max_directives: 1,
            ..DocumentLimits::default()
        };
        assert_eq!(code("{ x: a { b } c @include(if: true) }", at_limit.clone()), None);
        for beyond in [
            "{ a { b { c } } }",
            "{ a b c }",
            "{ x: a y: b }",
            "{ a { b c d } }",
            "{ a @include(if: true) b @skip(if: false) }",
        ] {
            assert_eq!(code(beyond, at_limit.clone()), Some(ErrorCode::QueryTooComplex), "{beyond}");
        }
    }
}
