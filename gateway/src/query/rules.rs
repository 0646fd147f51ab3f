//! Validation rules that apollo-compiler 1.33 leaves open, for documents that it finds valid (GraphQL, section 5):
//!
//! - a variable inside a list or an input object fits its place, and a default of null makes no variable non-null;
//! - an input object names each field once;
//! - a value of one of the schema's own scalars is one that the scalar takes;
//! - lists in the arguments of fields of one response key are equal to their ends;
//! - a subscription selects one response key, which may stand there more than once;
//! - the schema is shown only where that is turned on.

use std::collections::HashSet;

use apollo_compiler::ast::{Argument, DirectiveList, InputValueDefinition, Type, Value, VariableDefinition};
use apollo_compiler::executable::{ExecutableDocument, Operation, Selection, SelectionSet};
use apollo_compiler::parser::SourceSpan;
use apollo_compiler::schema::ExtendedType;
use apollo_compiler::{Name, Node};
use async_graphql::ServerError;

use super::ErrorCode;
use super::limits::DocumentSettings;
use super::normalize::{Conditions, is_introspection, normalize};
use super::position::Lines;
use super::schema::SchemaTypes;
use super::values::{InvalidValue, Variables, named};

/// Returns what is wrong with a document, in the order of its operations.
pub(super) fn check(
    schema: &SchemaTypes,
    settings: &DocumentSettings,
    document: &ExecutableDocument,
    lines: &Lines,
) -> Vec<ServerError> {
    let mut errors = Vec::new();
    for operation in document.operations.iter() {
        let mut check = Check {
            schema,
            document,
            operation,
            spread: HashSet::new(),
            lines,
            shows_schema: settings.introspection,
            errors: &mut errors,
            has_lists: false,
        };
        for variable in &operation.variables {
            check.directives(&variable.directives);
            if let Some(default) = &variable.default_value {
                check.value(default, Some(Expected { of_type: &variable.ty, has_default: false }));
            }
        }
        check.directives(&operation.directives);
        check.selection_set(&operation.selection_set);
        let has_lists = check.has_lists;
        if !operation.is_subscription() && !has_lists {
            continue;
        }
        match normalize(schema, &settings.limits, document, operation, Conditions::Ignored, lines) {
            Ok(normalized) if operation.is_subscription() && normalized.selections.len() != 1 => {
                let pos = lines.pos(operation.location());
                let message = "a subscription selects exactly one root field";
                errors.push(ErrorCode::GraphqlValidationFailed.error_at(pos, message));
            }
            Err(error) if ErrorCode::of(&error) == Some(ErrorCode::GraphqlValidationFailed) => {
                errors.push(error);
            }
            // An operation beyond a limit is refused when a request chooses it.
            Ok(_) | Err(_) => {}
        }
    }
    errors
}

struct Check<'a> {
    schema: &'a SchemaTypes,
    document: &'a ExecutableDocument,
    operation: &'a Node<Operation>,
    /// Fragments whose spreads have been seen.
    spread: HashSet<&'a Name>,
    lines: &'a Lines,
    shows_schema: bool,
    errors: &'a mut Vec<ServerError>,
    has_lists: bool,
}

impl<'a> Check<'a> {
    fn error(&mut self, span: Option<SourceSpan>, message: String) {
        self.errors.push(ErrorCode::GraphqlValidationFailed.error_at(self.lines.pos(span), message));
    }

    fn selection_set(&mut self, set: &'a SelectionSet) {
        for selection in &set.selections {
            self.directives(selection.directives());
            match selection {
                Selection::Field(field) => {
                    if !self.shows_schema && is_introspection(&field.name) {
                        self.error(field.location(), "introspection is turned off".to_owned());
                    }
                    self.arguments(&field.arguments, &field.definition.arguments);
                    self.selection_set(&field.selection_set);
                }
                Selection::InlineFragment(fragment) => self.selection_set(&fragment.selection_set),
                Selection::FragmentSpread(spread) => {
                    let fragment = self.document.fragments.get(&spread.fragment_name);
                    let Some(fragment) = fragment.filter(|_| self.spread.insert(&spread.fragment_name))
                    else {
                        continue;
                    };
                    self.directives(&fragment.directives);
                    self.selection_set(&fragment.selection_set);
                }
            }
        }
    }

    fn directives(&mut self, directives: &'a DirectiveList) {
        for directive in directives.iter() {
            let definition = self.schema.get().directive_definitions.get(&directive.name);
            let definitions = definition.map(|definition| &*definition.arguments);
            self.arguments(&directive.arguments, definitions.unwrap_or_default());
        }
    }

    fn arguments(&mut self, arguments: &'a [Node<Argument>], definitions: &'a [Node<InputValueDefinition>]) {
        for argument in arguments {
            let definition = definitions.iter().find(|definition| definition.name == argument.name);
            self.value(&argument.value, definition.map(|definition| Expected::of(definition)));
        }
    }

    /// Checks a value where a type is expected; nothing is expected inside a value of a scalar of the schema's own.
    fn value(&mut self, value: &'a Node<Value>, expected: Option<Expected<'_>>) {
        match &**value {
            Value::Variable(name) => {
                let variable = self.operation.variables.iter().find(|variable| variable.name == *name);
                let (Some(variable), Some(expected)) = (variable, expected) else { return };
                if !fits(variable, expected) {
                    let (given, expected) = (&variable.ty, expected.of_type);
                    let message = format!("the variable ${name} of type {given} can't be used as {expected}");
                    self.error(value.location(), message);
                }
            }
            Value::List(items) => {
                self.has_lists = true;
                let item = |Expected { of_type, .. }| match of_type.is_list() {
                    true => Expected { of_type: of_type.item_type(), has_default: false },
                    false => Expected { of_type, has_default: false },
                };
                items.iter().for_each(|value| self.value(value, expected.map(item)));
            }
            Value::Object(fields) => {
                let schema = self.schema;
                let object = expected.and_then(|expected| {
                    schema.get().types.get(expected.of_type.inner_named_type())?.as_input_object()
                });
                let mut names = HashSet::new();
                for (name, value) in fields {
                    if !names.insert(name) {
                        self.error(
                            name.location(),
                            format!("the input field {name} is given more than once"),
                        );
                    }
                    let field = object.and_then(|object| object.fields.get(name));
                    self.value(value, field.map(|field| Expected::of(field)));
                }
            }
            _ => self.own_scalar(value, expected),
        }
    }

    /// Checks a literal of one of the schema's own scalars, which only the scalar itself knows.
    fn own_scalar(&mut self, value: &'a Node<Value>, expected: Option<Expected<'_>>) {
        let Some(type_name) = expected.map(|expected| expected.of_type.inner_named_type()) else { return };
        let is_own = matches!(self.schema.get().types.get(type_name), Some(ExtendedType::Scalar(scalar)) if !scalar.is_built_in());
        if is_own && let Err(InvalidValue(reason)) = named(self.schema, type_name, value, &Variables::new()) {
            self.error(value.location(), format!("the value {reason}"));
        }
    }
}

/// What a place in a document takes.
#[derive(Clone, Copy)]
struct Expected<'a> {
    of_type: &'a Type,
    has_default: bool,
}

impl<'a> Expected<'a> {
    fn of(definition: &'a InputValueDefinition) -> Self {
        Self { of_type: &definition.ty, has_default: definition.default_value.is_some() }
    }
}

/// Whether a variable may stand where a type is expected (IsVariableUsageAllowed).
fn fits(variable: &VariableDefinition, Expected { of_type, has_default }: Expected<'_>) -> bool {
    if !of_type.is_non_null() || variable.ty.is_non_null() {
        return variable.ty.is_assignable_to(of_type);
    }
    let has_non_null_default = variable.default_value.as_ref().is_some_and(|default| !default.is_null());
    (has_non_null_default || has_default) && variable.ty.is_assignable_to(&of_type.clone().nullable())
}
