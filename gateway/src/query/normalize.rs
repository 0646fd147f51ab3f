//! An operation in which nothing is left to decide: conditions are applied, fragments inlined, and fields of one response
//! key merged on every level (GraphQL, section 6.3: CollectFields, MergeSelectionSets).

use std::collections::HashMap;

use apollo_compiler::ast::{DirectiveList, InputValueDefinition, Type, Value};
use apollo_compiler::executable::{
    ExecutableDocument, Field as DocumentField, Operation, Selection as DocumentSelection, SelectionSet,
};
use apollo_compiler::{Name, Node};
use async_graphql::{Name as ValueName, Pos, ServerError, Value as ConstValue, indexmap::IndexMap};

use super::ErrorCode;
use super::limits::{DocumentLimits, FieldPlace, OperationCounter, OperationSize, TooComplex};
use super::position::Lines;
use super::schema::SchemaTypes;
use super::values::{InvalidValue, Variables, argument, has_variable, same_arguments};

#[derive(Debug)]
pub(super) struct NormalizedOperation {
    pub(super) selections: Vec<Selection>,
    /// Whether the request's variables decide what is selected.
    pub(super) is_conditional: bool,
    pub(super) size: OperationSize,
}

#[derive(Debug)]
pub(super) enum Selection {
    Field(Field),
    /// Fields of one of the object types that a value of an interface or union may have.
    On(ValueName, Vec<Selection>),
}

#[derive(Debug)]
pub(super) struct Field {
    pub(super) pos: Pos,
    pub(super) alias: Option<ValueName>,
    pub(super) name: ValueName,
    /// Whether an argument says how many entries there are.
    pub(super) is_list_with_size: bool,
    pub(super) parent_type: ValueName,
    pub(super) of_type: Type,
    pub(super) resolution: Resolution,
    pub(super) selections: Vec<Selection>,
}

/// Where a field's value comes from.
#[derive(Debug)]
pub(super) enum Resolution {
    /// A resolver, with these arguments.
    Resolver(Vec<(ValueName, Argument)>),
    /// The gateway itself.
    Constant(ConstValue),
    /// Its arguments have no value of their types.
    Invalid(InvalidValue),
}

#[derive(Debug)]
pub(super) enum Argument {
    Constant(ConstValue),
    /// An argument whose value depends on the request's variables.
    Variable(Node<InputValueDefinition>, Node<Value>),
}

impl Field {
    pub(super) fn response_key(&self) -> &ValueName {
        self.alias.as_ref().unwrap_or(&self.name)
    }
}

/// The arguments by which Relay's connections say how many entries they have, the first that is given.
pub(super) const LIST_SIZES: [&str; 2] = ["first", "last"];

/// How `@skip` and `@include` are decided.
#[derive(Clone, Copy)]
pub(super) enum Conditions<'a> {
    With(&'a Variables),
    /// Nothing is skipped: what validation looks at.
    Ignored,
}

/// Normalizes an operation that has been validated. Fails if it exceeds a limit.
pub(super) fn normalize(
    schema: &SchemaTypes,
    limits: &DocumentLimits,
    document: &ExecutableDocument,
    operation: &Node<Operation>,
    conditions: Conditions<'_>,
    lines: &Lines,
) -> Result<NormalizedOperation, ServerError> {
    let counter = OperationCounter::new(limits);
    let mut normalizer = Normalizer { schema, document, conditions, lines, counter, is_conditional: false };
    let set = &operation.selection_set;
    let selections = normalizer.merge(&[set], &set.ty, Place { depth: 1, introspection_depth: 0, level: 1 });
    let selections = selections.map_err(|invalid| match invalid {
        Invalid::TooComplex(size) => {
            ErrorCode::QueryTooComplex.error_at(lines.pos(operation.location()), size.message())
        }
        Invalid::Conflict { key, pos } => {
            let message = format!("the fields {key:?} conflict: their arguments differ");
            ErrorCode::GraphqlValidationFailed.error_at(pos, message)
        }
    })?;
    let Normalizer { is_conditional, counter, .. } = normalizer;
    Ok(NormalizedOperation { selections, is_conditional, size: counter.size })
}

enum Invalid {
    TooComplex(TooComplex),
    /// Fields of one response key with different arguments.
    Conflict {
        key: Name,
        pos: Pos,
    },
}

impl From<TooComplex> for Invalid {
    fn from(size: TooComplex) -> Self {
        Self::TooComplex(size)
    }
}

/// How deep a selection set stands.
#[derive(Clone, Copy)]
struct Place {
    /// Fields around it, and one.
    depth: usize,
    /// Of these, the fields from `__schema` or `__type` on.
    introspection_depth: usize,
    /// Selection sets around it, those of fragments counted, and one.
    level: usize,
}

struct Normalizer<'a> {
    schema: &'a SchemaTypes,
    document: &'a ExecutableDocument,
    conditions: Conditions<'a>,
    lines: &'a Lines,
    counter: OperationCounter,
    is_conditional: bool,
}

/// Fields by response key, in the order in which the keys appear, each with the selection set that it stands in.
type Groups<'a> = IndexMap<&'a Name, Vec<(&'a SelectionSet, &'a Node<DocumentField>)>>;

impl<'a> Normalizer<'a> {
    /// Merges selection sets that are all of one type.
    fn merge(
        &mut self,
        sets: &[&'a SelectionSet],
        of_type: &Name,
        place: Place,
    ) -> Result<Vec<Selection>, Invalid> {
        if sets.is_empty() {
            return Ok(Vec::new());
        }
        if self.schema.get().get_object(of_type).is_some() {
            return self.merge_for(sets, of_type, place);
        }
        let mut cases = Vec::new();
        for object_type in self.schema.possible_types(of_type) {
            let fields = self.merge_for(sets, &object_type, place)?;
            cases.push(Selection::On(ValueName::new(object_type), fields));
        }
        Ok(cases)
    }

    /// Merges selection sets as they apply to objects of one type.
    fn merge_for(
        &mut self,
        sets: &[&'a SelectionSet],
        object_type: &Name,
        place: Place,
    ) -> Result<Vec<Selection>, Invalid> {
        let (mut groups, mut spread) = (Groups::new(), HashMap::new());
        for set in sets {
            self.collect(set, object_type, place.level, &mut spread, &mut groups)?;
        }
        let mut selections = Vec::with_capacity(groups.len());
        for (_, fields) in groups {
            selections.push(Selection::Field(self.field(&fields, object_type, place)?));
        }
        Ok(selections)
    }

    /// Groups the fields that a selection set has for an object type (CollectFields). Returns at what level the deepest
    /// fragment stands; `spread` has how deep each fragment is that has been spread before.
    fn collect(
        &mut self,
        set: &'a SelectionSet,
        object_type: &Name,
        level: usize,
        spread: &mut HashMap<&'a Name, usize>,
        groups: &mut Groups<'a>,
    ) -> Result<usize, Invalid> {
        let mut deepest = level;
        for selection in &set.selections {
            self.counter.add_selection(level, selection.directives().len())?;
            if self.is_skipped(selection.directives()) {
                continue;
            }
            let (fragment, condition, set) = match selection {
                DocumentSelection::Field(field) => {
                    let group = groups.entry(field.response_key()).or_default();
                    if group.last().is_some_and(|(from, _)| std::ptr::eq(*from, set)) {
                        self.counter.add_repeated_field()?;
                    }
                    group.push((set, field));
                    continue;
                }
                DocumentSelection::FragmentSpread(fragment) => {
                    let name = &fragment.fragment_name;
                    let Some(definition) = self.document.fragments.get(name) else { continue };
                    if let Some(depth) = spread.get(name) {
                        deepest = deepest.max(level + depth);
                        self.counter.add_level(deepest)?;
                        continue;
                    }
                    (Some(name), Some(definition.type_condition()), &definition.selection_set)
                }
                DocumentSelection::InlineFragment(fragment) => {
                    (None, fragment.type_condition.as_ref(), &fragment.selection_set)
                }
            };
            let applies = condition.is_none_or(|condition| self.schema.applies(condition, object_type));
            let reached =
                if applies { self.collect(set, object_type, level + 1, spread, groups)? } else { level };
            deepest = deepest.max(reached);
            spread.extend(fragment.map(|name| (name, reached - level)));
        }
        Ok(deepest)
    }

    /// Whether a directive leaves a selection out. Conditions are booleans; a null, which only a nullable variable with a
    /// default can bring here, is neither true for `@skip` nor for `@include`.
    fn is_skipped(&mut self, directives: &DirectiveList) -> bool {
        let Conditions::With(variables) = self.conditions else { return false };
        let mut is_true = |directive: &str| {
            let condition = directives.get(directive)?.specified_argument_by_name("if")?;
            Some(match &**condition {
                Value::Boolean(condition) => *condition,
                Value::Variable(name) => {
                    self.is_conditional = true;
                    variables.get(name) == Some(&ConstValue::Boolean(true))
                }
                _ => false,
            })
        };
        is_true("skip") == Some(true) || is_true("include") == Some(false)
    }

    /// Returns the field that fields of one response key make together.
    fn field(
        &mut self,
        fields: &[(&'a SelectionSet, &'a Node<DocumentField>)],
        object_type: &Name,
        Place { depth, introspection_depth, level }: Place,
    ) -> Result<Field, Invalid> {
        let (_, first) = fields[0];
        let is_introspection = introspection_depth > 0 || is_introspection(&first.name);
        let place =
            FieldPlace { depth, introspection_depth: introspection_depth + usize::from(is_introspection) };
        self.counter.add_field(place, first.alias.is_some())?;
        let mut others = fields.iter().map(|(_, field)| *field);
        let conflict = others.find(|field| !same_arguments(&first.arguments, &field.arguments));
        if let Some(conflict) = conflict {
            let pos = self.lines.pos(conflict.location());
            return Err(Invalid::Conflict { key: first.response_key().clone(), pos });
        }
        let sets: Vec<_> = fields.iter().map(|(_, field)| &field.selection_set).collect();
        let sets: Vec<_> = sets.into_iter().filter(|set| !set.selections.is_empty()).collect();
        let place =
            Place { depth: depth + 1, introspection_depth: place.introspection_depth, level: level + 1 };
        let selections = self.merge(&sets, first.ty().inner_named_type(), place)?;
        Ok(Field {
            pos: self.lines.pos(first.location()),
            alias: first.alias.as_ref().map(ValueName::new),
            name: ValueName::new(&first.name),
            is_list_with_size: has_list_size(&first.definition.arguments),
            parent_type: ValueName::new(object_type),
            of_type: first.ty().clone(),
            resolution: self.resolution(first, object_type),
            selections,
        })
    }

    fn resolution(&self, field: &DocumentField, object_type: &Name) -> Resolution {
        if object_type == "__Schema" && field.name == "description" {
            // async-graphql gives the description of the type `__Schema`.
            let description = self.schema.get().schema_definition.description.as_ref();
            let description = description.map(|description| ConstValue::String(description.as_str().into()));
            return Resolution::Constant(description.unwrap_or_default());
        }
        let definitions = self.schema.field(object_type, &field.name).map(|field| &field.arguments);
        let mut arguments = Vec::new();
        for definition in definitions.into_iter().flatten() {
            let given = field.arguments.iter().find(|argument| argument.name == definition.name);
            let value = match given {
                Some(given) if has_variable(&given.value) => {
                    Some(Argument::Variable(definition.clone(), given.value.clone()))
                }
                _ => {
                    let given = given.map(|given| &*given.value);
                    match argument(self.schema, definition, given, &Variables::new()) {
                        Ok(value) => value.map(Argument::Constant),
                        Err(invalid) => return Resolution::Invalid(invalid),
                    }
                }
            };
            arguments.extend(value.map(|value| (ValueName::new(&definition.name), value)));
        }
        Resolution::Resolver(arguments)
    }
}

/// Whether a root field shows the schema.
pub(super) fn is_introspection(field: &str) -> bool {
    field == "__schema" || field == "__type"
}

fn has_list_size(arguments: &[Node<InputValueDefinition>]) -> bool {
    let is_size = |argument: &Node<InputValueDefinition>| {
        LIST_SIZES.contains(&argument.name.as_str()) && argument.ty.inner_named_type() == "Int"
    };
    arguments.iter().any(is_size)
}
