//! The request's variables as their declared types have them (GraphQL, section 6.1.2: CoerceVariableValues).

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::{self, Write};

use apollo_compiler::ast::{Type, VariableDefinition};
use apollo_compiler::schema::{ExtendedType, InputObjectType};
use apollo_compiler::{Name, Node};
use async_graphql::{Name as ValueName, Number, ServerError, Value as ConstValue, indexmap::IndexMap};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::ErrorCode;
use super::limits::MAX_ERRORS;
use super::position::Lines;
use super::schema::SchemaTypes;
use super::values::{InvalidValue, Variables, default, literal};

/// How deep values may nest: reading them recurses, and input types may contain themselves.
const MAX_DEPTH: usize = 64;
/// How much of a value an error shows.
const SHOWN_CHARACTERS: usize = 60;

/// Returns the variables that an operation declares, each with its value of the declared type. The errors name each
/// variable and the place inside it.
pub(super) fn coerce(
    schema: &SchemaTypes,
    definitions: &[Node<VariableDefinition>],
    given: Option<&RawValue>,
    lines: &Lines,
) -> Result<Variables, Vec<ServerError>> {
    if definitions.is_empty() {
        return Ok(Variables::new());
    }
    let given = match given.map(object) {
        Some(Some(given)) => given,
        Some(None) => {
            let error = ErrorCode::BadUserInput.error("variables must be an object of Unicode names");
            return Err(vec![error.into()]);
        }
        None => HashMap::new(),
    };
    let mut coercion = Coercion { schema, path: String::new(), depth: 0, problems: Vec::new() };
    let mut variables = Variables::with_capacity(definitions.len());
    let mut errors = Vec::new();
    for definition in definitions {
        let name = &definition.name;
        coercion.path.clear();
        coercion.path.push_str(name);
        let value = match given.get(&**name) {
            Some(json) => coercion.value(&definition.ty, json),
            None => coercion.left_out(definition),
        };
        variables.extend(value.map(|value| (name.clone(), value)));
        for (path, problem) in coercion.problems.drain(..) {
            let message = match path.as_str() == name.as_str() {
                true => format!("the variable ${name} {problem}"),
                false => format!("the variable ${name} is invalid: {path} {problem}"),
            };
            errors
                .push(ErrorCode::GraphqlValidationFailed.error_at(lines.pos(definition.location()), message));
        }
        if errors.len() >= MAX_ERRORS {
            break;
        }
    }
    errors.truncate(MAX_ERRORS);
    if errors.is_empty() { Ok(variables) } else { Err(errors) }
}

struct Coercion<'a> {
    schema: &'a SchemaTypes,
    /// The place of the value that is being read: `input.items[0].quantity`.
    path: String,
    depth: usize,
    /// Each with its place.
    problems: Vec<(String, String)>,
}

impl Coercion<'_> {
    fn problem(&mut self, problem: impl fmt::Display) -> Option<ConstValue> {
        if self.problems.len() < MAX_ERRORS {
            self.problems.push((self.path.clone(), problem.to_string()));
        }
        None
    }

    fn left_out(&mut self, definition: &VariableDefinition) -> Option<ConstValue> {
        match &definition.default_value {
            Some(default) => match literal(self.schema, &definition.ty, default, &Variables::new()) {
                Ok(value) => Some(value),
                Err(InvalidValue(reason)) => self.problem(reason),
            },
            None if definition.ty.is_non_null() => {
                self.problem(format_args!("of type {} is required", definition.ty))
            }
            None => None,
        }
    }

    /// Returns the value that JSON has as one of a type. After a problem it is none, or has parts missing.
    fn value(&mut self, of_type: &Type, json: &RawValue) -> Option<ConstValue> {
        if self.depth == MAX_DEPTH {
            return self.problem(format_args!("is nested more than {MAX_DEPTH} levels deep"));
        }
        self.depth += 1;
        let value = self.nested_value(of_type, json);
        self.depth -= 1;
        value
    }

    fn nested_value(&mut self, of_type: &Type, json: &RawValue) -> Option<ConstValue> {
        if json.get() == "null" {
            return match of_type.is_non_null() {
                true => self.problem(format_args!("of type {of_type} must not be null")),
                false => Some(ConstValue::Null),
            };
        }
        if !of_type.is_list() {
            return self.named(of_type.inner_named_type(), json);
        }
        let item_type = of_type.item_type();
        if !json.get().starts_with('[') {
            return Some(ConstValue::List(vec![self.value(item_type, json)?]));
        }
        let Some(items) = read::<Vec<&RawValue>>(json) else { return self.not_a(of_type, json) };
        let length = self.path.len();
        let mut values = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            write!(self.path, "[{index}]").expect("writing to a string never fails");
            values.extend(self.value(item_type, item));
            self.path.truncate(length);
            if self.problems.len() >= MAX_ERRORS {
                break;
            }
        }
        Some(ConstValue::List(values))
    }

    fn named(&mut self, type_name: &Name, json: &RawValue) -> Option<ConstValue> {
        let schema = self.schema;
        let value = match schema.get().types.get(type_name) {
            Some(ExtendedType::Enum(definition)) => read::<Cow<'_, str>>(json)
                .filter(|name| definition.values.contains_key(&**name))
                .map(|name| ConstValue::Enum(ValueName::new(name))),
            Some(ExtendedType::InputObject(definition)) => match object(json) {
                Some(given) => return self.input_object(definition, &given),
                None => None,
            },
            Some(ExtendedType::Scalar(scalar)) if scalar.is_built_in() => built_in(type_name, json),
            Some(ExtendedType::Scalar(_)) => match read(json) {
                Some(value) => match schema.check_scalar(type_name, &value) {
                    Ok(()) => Some(value),
                    Err(reason) => return self.problem(format_args!("is not a {type_name}: {reason}")),
                },
                None => None,
            },
            _ => None,
        };
        value.or_else(|| self.not_a(type_name, json))
    }

    fn input_object(
        &mut self,
        definition: &InputObjectType,
        given: &HashMap<String, &RawValue>,
    ) -> Option<ConstValue> {
        let length = self.path.len();
        let mut fields = IndexMap::with_capacity(definition.fields.len());
        for (name, field) in &definition.fields {
            write!(self.path, ".{name}").expect("writing to a string never fails");
            let value = match given.get(&**name) {
                Some(json) => self.value(&field.ty, json),
                None => match default(self.schema, field) {
                    Ok(value) => value,
                    Err(InvalidValue(reason)) => self.problem(reason),
                },
            };
            fields.extend(value.map(|value| (ValueName::new(name), value)));
            self.path.truncate(length);
        }
        let known = |name: &str| definition.fields.contains_key(name);
        let mut unknown: Vec<_> = given.keys().filter(|name| !known(name)).collect();
        unknown.sort_unstable();
        for name in unknown {
            let name = Shown(name);
            self.problem(format_args!("has no field {name}: the type is {}", definition.name));
        }
        Some(ConstValue::Object(fields))
    }

    fn not_a(&mut self, of_type: impl fmt::Display, json: &RawValue) -> Option<ConstValue> {
        self.problem(format_args!("is not a value of type {of_type}: {}", Shown(json.get())))
    }
}

fn built_in(scalar: &str, json: &RawValue) -> Option<ConstValue> {
    match scalar {
        "Int" => {
            let integer = integer(json.get())?.parse::<i32>().ok()?;
            Some(ConstValue::Number(integer.into()))
        }
        "Float" => Number::from_f64(read(json)?).map(ConstValue::Number),
        "Boolean" => read(json).map(ConstValue::Boolean),
        "String" => read(json).map(ConstValue::String),
        "ID" if json.get().starts_with('"') => read(json).map(ConstValue::String),
        "ID" => integer(json.get()).map(|integer| ConstValue::String(integer.into_owned())),
        _ => None,
    }
}

/// Returns the digits of a JSON number without a fraction, however it is written: `2`, `2.0`, `2e0`.
fn integer(number: &str) -> Option<Cow<'_, str>> {
    let digits = number.strip_prefix('-').unwrap_or(number);
    if !digits.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(if digits == "0" { "0".into() } else { number.into() });
    }
    let number: f64 = number.parse().ok()?;
    // Positive zero, so that -0.0 has no sign.
    (number.is_finite() && number.fract() == 0.0).then(|| format!("{:.0}", number + 0.0).into())
}

fn object(json: &RawValue) -> Option<HashMap<String, &RawValue>> {
    read(json)
}

/// Reads JSON that is known to be well-formed; none if it is of another type, or a string that is not Unicode.
fn read<'a, T: Deserialize<'a>>(json: &'a RawValue) -> Option<T> {
    serde_json::from_str(json.get()).ok()
}

/// A client's own text, cut to what an error has room for.
struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(SHOWN_CHARACTERS) {
            Some((end, _)) => write!(f, "{}…", &self.0[..end]),
            None => f.write_str(self.0),
        }
    }
}
