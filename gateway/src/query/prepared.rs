//! A normalized operation for one request: as async-graphql takes it, with the value of every argument, and the values
//! that don't come from async-graphql, which take their places in its results.

use std::collections::HashMap;

use apollo_compiler::ast::Type;
use async_graphql::parser::types::{
    DocumentOperations, ExecutableDocument, Field as DocumentField, InlineFragment, OperationDefinition,
    OperationType, Selection as DocumentSelection, SelectionSet, TypeCondition,
};
use async_graphql::{Name, PathSegment, Pos, Positioned, Response, ServerError, Value as ConstValue};

use super::ErrorCode;
use super::limits::ListSizes;
use super::normalize::{Argument, Field, LIST_SIZES, NormalizedOperation, Resolution, Selection};
use super::schema::SchemaTypes;
use super::values::{InvalidValue, Variables, argument};

/// An operation with its arguments' values.
pub(super) struct PreparedOperation {
    pub(super) document: ExecutableDocument,
    pub(super) substitutes: Substitutes,
    /// Its fields, those of lists with a size as often as the list may have entries.
    pub(super) complexity: usize,
}

/// Fills in the arguments' values.
pub(super) fn prepare(
    schema: &SchemaTypes,
    lists: ListSizes,
    operation: &NormalizedOperation,
    kind: OperationType,
    variables: &Variables,
) -> PreparedOperation {
    let mut builder = Builder { schema, lists, variables, steps: Vec::new(), substitutes: Vec::new() };
    let (selection_set, complexity) = builder.selection_set(&operation.selections, Pos::default());
    let operation = OperationDefinition {
        ty: kind,
        variable_definitions: Vec::new(),
        directives: Vec::new(),
        selection_set,
    };
    let operations = DocumentOperations::Single(Positioned::new(operation, Pos::default()));
    let document = ExecutableDocument { operations, fragments: HashMap::new() };
    PreparedOperation { document, substitutes: Substitutes(builder.substitutes), complexity }
}

/// Values and errors of fields that async-graphql is not asked for. It resolves `__typename` in their places, which
/// keeps the order of the keys and runs nothing.
pub(super) struct Substitutes(Vec<Substitute>);

struct Substitute {
    steps: Vec<Step>,
    value: Result<ConstValue, ServerError>,
}

/// A field on the way from the root to a substitute.
#[derive(Clone)]
struct Step {
    key: Name,
    parent_type: Name,
    of_type: Type,
}

/// The field by which routers of Apollo Federation ask for as many entities as they name.
const ENTITIES: &str = "_entities";

fn representations(arguments: &[(Name, ConstValue)]) -> usize {
    let lists = arguments.iter().filter_map(|(_, value)| match value {
        ConstValue::List(representations) => Some(representations.len()),
        _ => None,
    });
    lists.sum()
}

struct Builder<'a> {
    schema: &'a SchemaTypes,
    lists: ListSizes,
    variables: &'a Variables,
    steps: Vec<&'a Field>,
    substitutes: Vec<Substitute>,
}

impl<'a> Builder<'a> {
    /// Returns the selections as async-graphql takes them, and what they cost.
    fn selection_set(&mut self, selections: &'a [Selection], pos: Pos) -> (Positioned<SelectionSet>, usize) {
        let (mut cost_of_fields, mut cost_of_type) = (0_usize, 0_usize);
        let items = selections.iter().map(|selection| match selection {
            Selection::Field(field) => {
                self.steps.push(field);
                let (selection, cost) = self.field(field);
                self.steps.pop();
                cost_of_fields = cost_of_fields.saturating_add(cost);
                Positioned::new(DocumentSelection::Field(Positioned::new(selection, field.pos)), field.pos)
            }
            Selection::On(object_type, selections) => {
                let condition = TypeCondition { on: Positioned::new(object_type.clone(), pos) };
                let (selection_set, cost) = self.selection_set(selections, pos);
                // An object is of one of these types.
                cost_of_type = cost_of_type.max(cost);
                let fragment = InlineFragment {
                    type_condition: Some(Positioned::new(condition, pos)),
                    directives: Vec::new(),
                    selection_set,
                };
                Positioned::new(DocumentSelection::InlineFragment(Positioned::new(fragment, pos)), pos)
            }
        });
        let set = SelectionSet { items: items.collect() };
        (Positioned::new(set, pos), cost_of_fields.saturating_add(cost_of_type))
    }

    fn field(&mut self, field: &'a Field) -> (DocumentField, usize) {
        let mut cost = 1_usize;
        let (name, alias, arguments, selection_set) = match self.arguments(field) {
            Ok(arguments) => {
                let (set, cost_of_entry) = self.selection_set(&field.selections, field.pos);
                let entries = match field.name.as_str() {
                    _ if field.is_list_with_size => self.entries(&arguments),
                    ENTITIES => representations(&arguments),
                    _ => 1,
                };
                cost = cost.saturating_add(entries.saturating_mul(cost_of_entry));
                (field.name.clone(), field.alias.clone(), arguments, set)
            }
            Err(value) => {
                let step = |field: &&Field| Step {
                    key: field.response_key().clone(),
                    parent_type: field.parent_type.clone(),
                    of_type: field.of_type.clone(),
                };
                let steps = self.steps.iter().map(step).collect();
                self.substitutes.push(Substitute { steps, value });
                let alias = Some(field.response_key().clone());
                (Name::new("__typename"), alias, Vec::new(), Positioned::default())
            }
        };
        let field = DocumentField {
            alias: alias.map(|alias| Positioned::new(alias, field.pos)),
            name: Positioned::new(name, field.pos),
            arguments: arguments
                .into_iter()
                .map(|(name, value)| {
                    (Positioned::new(name, field.pos), Positioned::new(value.into_value(), field.pos))
                })
                .collect(),
            directives: Vec::new(),
            selection_set,
        };
        (field, cost)
    }

    /// Returns how many entries a list may have.
    fn entries(&self, arguments: &[(Name, ConstValue)]) -> usize {
        let size = |wanted: &str| {
            let given = arguments.iter().find(|(name, _)| name.as_str() == wanted)?;
            match &given.1 {
                ConstValue::Number(size) => size.as_i64(),
                _ => None,
            }
        };
        let size = LIST_SIZES.iter().find_map(|wanted| size(wanted));
        // A negative size is refused by its resolver.
        size.map_or(self.lists.default, |size| usize::try_from(size).unwrap_or(0)).min(self.lists.max)
    }

    /// Returns the arguments' values, or what takes the field's place.
    fn arguments(&self, field: &Field) -> Result<Vec<(Name, ConstValue)>, Result<ConstValue, ServerError>> {
        let invalid = |InvalidValue(reason)| Err(ErrorCode::BadUserInput.error_at(field.pos, reason));
        let arguments = match &field.resolution {
            Resolution::Resolver(arguments) => arguments,
            Resolution::Constant(value) => return Err(Ok(value.clone())),
            Resolution::Invalid(InvalidValue(reason)) => return Err(invalid(InvalidValue(reason.clone()))),
        };
        let mut values = Vec::with_capacity(arguments.len());
        for (name, value) in arguments {
            let value = match value {
                Argument::Constant(value) => Some(value.clone()),
                Argument::Variable(definition, given) => {
                    argument(self.schema, definition, Some(given), self.variables).map_err(invalid)?
                }
            };
            values.extend(value.map(|value| (name.clone(), value)));
        }
        Ok(values)
    }
}

impl Substitutes {
    /// Returns the error of an operation whose root field can't begin.
    pub(super) fn root_error(&self) -> Option<ServerError> {
        let root = self.0.iter().filter(|substitute| substitute.steps.len() == 1);
        root.filter_map(|substitute| substitute.value.as_ref().err()).next().cloned()
    }

    /// Puts the values and errors into a result. A null where the type takes none makes the object around it null.
    pub(super) fn apply(&self, response: &mut Response) {
        for substitute in &self.0 {
            let mut application = Application { substitute, path: Vec::new(), errors: Vec::new() };
            application.object(&mut response.data, &substitute.steps);
            response.errors.append(&mut application.errors);
        }
    }
}

struct Application<'a> {
    substitute: &'a Substitute,
    path: Vec<PathSegment>,
    errors: Vec<ServerError>,
}

/// Whether a value has become null where its type takes none.
type IsInvalid = bool;

impl Application<'_> {
    fn value(&mut self, value: &mut ConstValue, of_type: &Type, steps: &[Step]) -> IsInvalid {
        let has_invalid = match value {
            ConstValue::List(items) => {
                let mut has_invalid = false;
                for (index, item) in items.iter_mut().enumerate() {
                    self.path.push(PathSegment::Index(index));
                    has_invalid |= self.value(item, of_type.item_type(), steps);
                    self.path.pop();
                }
                has_invalid
            }
            value => return self.object(value, steps) && of_type.is_non_null(),
        };
        if has_invalid {
            *value = ConstValue::Null;
        }
        has_invalid && of_type.is_non_null()
    }

    /// Returns whether the object has become null.
    fn object(&mut self, value: &mut ConstValue, steps: &[Step]) -> bool {
        let (ConstValue::Object(object), Some((step, rest))) = (&mut *value, steps.split_first()) else {
            return false;
        };
        // Absent in objects of other types.
        let Some(child) = object.get_mut(&step.key) else { return false };
        self.path.push(PathSegment::Field(step.key.to_string()));
        let is_invalid = match rest {
            [] if *child != ConstValue::String(step.parent_type.to_string()) => false,
            [] => match &self.substitute.value {
                Ok(value) => {
                    *child = value.clone();
                    false
                }
                Err(error) => {
                    *child = ConstValue::Null;
                    self.errors.push(ServerError { path: self.path.clone(), ..error.clone() });
                    step.of_type.is_non_null()
                }
            },
            rest => self.value(child, &step.of_type, rest),
        };
        self.path.pop();
        if is_invalid {
            *value = ConstValue::Null;
        }
        is_invalid
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::value;
    use serde_json::{json, value::to_raw_value};

    use super::*;
    use crate::query::documents::Document;
    use crate::query::limits::{DocumentLimits, DocumentSettings};
    use crate::query::variables::coerce;

    const SDL: &str = "
        type Query { node: Node pets: [Pet!]! items: [Item!] maybe: [Item] }
        interface Node { id: ID! }
        type Cat implements Node { id: ID! name: String }
        type Dog implements Node { id: ID! size(unit: String! = \"cm\"): Int }
        union Pet = Cat | Dog
        type Item { a(x: Int! = 1): Int! b: Int c(x: Int! = 1): Int item: Item }";

    fn prepared(text: &str, variables: serde_json::Value) -> (ExecutableDocument, Substitutes) {
        let schema = SchemaTypes::parse(SDL).expect("the test's schema is valid");
        let document = Document::parse(&schema, &DocumentSettings::default(), text)
            .expect("the test's document is valid");
        let operation = document.choose(None).expect("it has one operation");
        let given = to_raw_value(&variables).expect("it is JSON");
        let variables = coerce(&schema, &operation.definition().variables, Some(&given), document.lines());
        let variables = variables.expect("the variables are of their types");
        let normalized = document
            .normalize(&schema, &DocumentLimits::default(), operation, &variables)
            .expect("it is within limits");
        let lists = DocumentLimits::default().lists;
        let prepared = prepare(&schema, lists, &normalized, OperationType::Query, &variables);
        (prepared.document, prepared.substitutes)
    }

    fn shown(set: &SelectionSet) -> String {
        let selection = |selection: &Positioned<DocumentSelection>| match &selection.node {
            DocumentSelection::Field(field) => {
                let DocumentField { alias, name, arguments, selection_set, .. } = &field.node;
                let alias = alias.as_ref().map(|alias| format!("{alias}: ")).unwrap_or_default();
                let arguments: String =
                    arguments.iter().map(|(name, value)| format!("({name}: {value})")).collect();
                format!("{alias}{name}{arguments}{}", shown(&selection_set.node))
            }
            DocumentSelection::InlineFragment(fragment) => {
                let condition =
                    fragment.node.type_condition.as_ref().map(|condition| &condition.node.on.node);
                format!("on {}{}", condition.expect("a type"), shown(&fragment.node.selection_set.node))
            }
            DocumentSelection::FragmentSpread(_) => unreachable!("fragments are inlined"),
        };
        let selections: Vec<_> = set.items.iter().map(selection).collect();
        if selections.is_empty() { String::new() } else { format!(" {{ {} }}", selections.join(" ")) }
    }

    #[test]
    fn fields_of_interfaces_and_unions_are_merged_for_each_type() {
        for (text, expected) in [
            (
                "{ node { id ... on Dog { size } ...F } } fragment F on Node { id ... on Cat { name } ... on Pet { __typename } }",
                " { node { on Cat { id name __typename } on Dog { id size(unit: \"cm\") __typename } } }",
            ),
            (
                "{ pets { ... on Node { id } x: __typename } pets { ... on Cat { id name } } }",
                " { pets { on Cat { id x: __typename name } on Dog { id x: __typename } } }",
            ),
        ] {
            let (document, _) = prepared(text, json!({}));
            let DocumentOperations::Single(operation) = document.operations else { panic!("one operation") };
            assert_eq!(shown(&operation.node.selection_set.node), expected, "{text}");
        }
    }

    #[test]
    fn an_error_takes_its_fields_place_in_every_item_and_a_null_the_objects_that_take_none() {
        let b = |number: i32| value!({ "a": "Item", "b": number });
        for (text, data, expected, paths) in [
            (
                "query($x: Int) { items { c(x: $x) b } }",
                value!({ "items": [{ "c": "Item", "b": 1 }, { "c": "Item", "b": 2 }] }),
                value!({ "items": [{ "c": null, "b": 1 }, { "c": null, "b": 2 }] }),
                vec!["items.0.c", "items.1.c"],
            ),
            (
                "query($x: Int) { items { a(x: $x) b } }",
                value!({ "items": [b(1), b(2)] }),
                value!({ "items": null }),
                vec!["items.0.a", "items.1.a"],
            ),
            (
                "query($x: Int) { maybe { a(x: $x) b } }",
                value!({ "maybe": [b(1), null] }),
                value!({ "maybe": [null, null] }),
                vec!["maybe.0.a"],
            ),
            (
                "query($x: Int) { items { b item { a(x: $x) } } }",
                value!({ "items": [{ "b": 1, "item": { "a": "Item" } }, { "b": 2, "item": null }] }),
                value!({ "items": [{ "b": 1, "item": null }, { "b": 2, "item": null }] }),
                vec!["items.0.item.a"],
            ),
        ] {
            let (_, substitutes) = prepared(text, json!({ "x": null }));
            let mut response = Response::new(data);
            substitutes.apply(&mut response);
            assert_eq!(response.data, expected, "{text}");
            let path = |error: &ServerError| {
                let segments = error.path.iter().map(|segment| match segment {
                    PathSegment::Field(name) => name.clone(),
                    PathSegment::Index(index) => index.to_string(),
                });
                segments.collect::<Vec<_>>().join(".")
            };
            assert_eq!(response.errors.iter().map(path).collect::<Vec<_>>(), paths, "{text}");
        }
    }

    #[test]
    fn fragments_that_double_at_each_level_and_long_chains_of_fragments_are_refused_quickly() {
        let schema = SchemaTypes::parse(SDL).expect("the test's schema is valid");
        for (spread, levels) in [("...F ...F", 60), ("...F", 400), ("x: item { ...F } item { ...F }", 18)] {
            let spread = |level: usize| spread.replace('F', &format!("F{level}"));
            let mut text = format!("{{ items {{ {} }} }} fragment F{levels} on Item {{ b }}", spread(0));
            for level in 0..levels {
                text += &format!(" fragment F{level} on Item {{ {} }}", spread(level + 1));
            }
            let error = match Document::parse(&schema, &DocumentSettings::default(), &text) {
                Ok(document) => {
                    let operation = document.choose(None).expect("it has one operation");
                    document
                        .normalize(&schema, &DocumentLimits::default(), operation, &Variables::new())
                        .expect_err("it exceeds a limit")
                }
                Err(errors) => errors[0].clone(),
            };
            assert_eq!(ErrorCode::of(&error), Some(ErrorCode::QueryTooComplex), "{levels}: {error:?}");
        }
    }
}
