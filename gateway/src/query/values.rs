//! Literals as their types have them (GraphQL, section 3: "Input Coercion"), and the values of arguments (6.4.1).

use std::collections::HashMap;

use apollo_compiler::ast::{Argument, InputValueDefinition, Type, Value};
use apollo_compiler::schema::ExtendedType;
use apollo_compiler::{Name, Node};
use async_graphql::{Name as ValueName, Number, Value as ConstValue, indexmap::IndexMap};

use super::schema::SchemaTypes;

/// The request's variables with the values that they have; a variable without a value is absent.
pub(super) type Variables = HashMap<Name, ConstValue>;

/// Why a value can't be one of its type. For literals and variables that have been validated it is always a null that
/// a nullable variable brought to a place which takes none.
#[derive(Debug, PartialEq)]
pub(super) struct InvalidValue(pub(super) String);

/// Returns the value of an argument; none if it is left out and has no default.
pub(super) fn argument(
    schema: &SchemaTypes,
    definition: &InputValueDefinition,
    given: Option<&Value>,
    variables: &Variables,
) -> Result<Option<ConstValue>, InvalidValue> {
    let value = match given {
        Some(Value::Variable(name)) => variables.get(name).map(|value| not_null(&definition.ty, value)),
        Some(given) => Some(literal(schema, &definition.ty, given, variables)),
        None => None,
    };
    match value {
        Some(value) => value.map(Some),
        None => default(schema, definition),
    }
    .map_err(|InvalidValue(reason)| InvalidValue(format!("the argument {} {reason}", definition.name)))
}

/// Returns the value of an argument or input field that is left out.
pub(super) fn default(
    schema: &SchemaTypes,
    definition: &InputValueDefinition,
) -> Result<Option<ConstValue>, InvalidValue> {
    match &definition.default_value {
        Some(default) => literal(schema, &definition.ty, default, &Variables::new()).map(Some),
        None if definition.ty.is_non_null() => {
            Err(InvalidValue(format!("of type {} is required", definition.ty)))
        }
        None => Ok(None),
    }
}

/// Returns the value that a literal has as one of a type.
pub(super) fn literal(
    schema: &SchemaTypes,
    of_type: &Type,
    value: &Value,
    variables: &Variables,
) -> Result<ConstValue, InvalidValue> {
    match value {
        Value::Null => not_null(of_type, &ConstValue::Null),
        // Left out, it is null wherever this is asked: where that differs, absence has been seen to before.
        Value::Variable(name) => not_null(of_type, variables.get(name).unwrap_or(&ConstValue::Null)),
        Value::List(items) if of_type.is_list() => {
            let item = |item: &Node<Value>| literal(schema, of_type.item_type(), item, variables);
            Ok(ConstValue::List(items.iter().map(item).collect::<Result<_, _>>()?))
        }
        value if of_type.is_list() => {
            Ok(ConstValue::List(vec![literal(schema, of_type.item_type(), value, variables)?]))
        }
        value => named(schema, of_type.inner_named_type(), value, variables),
    }
}

fn not_null(of_type: &Type, value: &ConstValue) -> Result<ConstValue, InvalidValue> {
    match value {
        ConstValue::Null if of_type.is_non_null() => {
            Err(InvalidValue(format!("of type {of_type} must not be null")))
        }
        value => Ok(value.clone()),
    }
}

/// Returns the value that a literal, which is neither null nor a list nor a variable, has as one of a named type.
pub(super) fn named(
    schema: &SchemaTypes,
    type_name: &Name,
    value: &Value,
    variables: &Variables,
) -> Result<ConstValue, InvalidValue> {
    let coerced = match (schema.get().types.get(type_name), value) {
        (Some(ExtendedType::Enum(definition)), Value::Enum(name)) => {
            definition.values.contains_key(name).then(|| ConstValue::Enum(ValueName::new(name)))
        }
        (Some(ExtendedType::InputObject(definition)), Value::Object(given)) => {
            let given: HashMap<&Name, &Node<Value>> =
                given.iter().map(|(name, value)| (name, value)).collect();
            let mut fields = IndexMap::with_capacity(definition.fields.len());
            for (name, field) in &definition.fields {
                let given = given.get(name).map(|value| &***value);
                // A field whose variable is left out is left out.
                let given = given
                    .filter(|value| !matches!(value, Value::Variable(name) if !variables.contains_key(name)));
                let value = match given {
                    Some(given) => literal(schema, &field.ty, given, variables).map(Some),
                    None => default(schema, field),
                };
                let value =
                    value.map_err(|InvalidValue(reason)| InvalidValue(format!("at {name} {reason}")))?;
                fields.extend(value.map(|value| (ValueName::new(name), value)));
            }
            Some(ConstValue::Object(fields))
        }
        (Some(ExtendedType::Scalar(scalar)), value) => {
            if scalar.is_built_in() {
                built_in(type_name, value)
            } else {
                let value = untyped(value, variables);
                if let Some(value) = &value {
                    let check = schema.check_scalar(type_name, value);
                    check.map_err(|reason| InvalidValue(format!("is not a {type_name}: {reason}")))?;
                }
                value
            }
        }
        _ => None,
    };
    coerced.ok_or_else(|| InvalidValue(format!("is not a {type_name}: {value}")))
}

fn built_in(scalar: &str, value: &Value) -> Option<ConstValue> {
    match (scalar, value) {
        ("Int", Value::Int(int)) => int.try_to_i32().ok().map(|int| ConstValue::Number(int.into())),
        ("Float", Value::Int(int)) => float(int.try_to_f64().ok()?),
        ("Float", Value::Float(number)) => float(number.try_to_f64().ok()?),
        ("Boolean", Value::Boolean(boolean)) => Some(ConstValue::Boolean(*boolean)),
        ("String" | "ID", Value::String(text)) => Some(ConstValue::String(text.clone())),
        ("ID", Value::Int(int)) => Some(ConstValue::String(int.as_str().to_owned())),
        _ => None,
    }
}

fn float(number: f64) -> Option<ConstValue> {
    Number::from_f64(number).map(ConstValue::Number)
}

/// Returns a literal of a scalar that says itself what it accepts.
fn untyped(value: &Value, variables: &Variables) -> Option<ConstValue> {
    Some(match value {
        Value::Null => ConstValue::Null,
        Value::Enum(name) => ConstValue::Enum(ValueName::new(name)),
        Value::Variable(name) => variables.get(name).cloned().unwrap_or_default(),
        Value::String(text) => ConstValue::String(text.clone()),
        Value::Float(number) => float(number.try_to_f64().ok()?)?,
        Value::Int(int) => match int.as_str().parse::<i64>() {
            Ok(int) => ConstValue::Number(int.into()),
            Err(_) => float(int.try_to_f64().ok()?)?,
        },
        Value::Boolean(boolean) => ConstValue::Boolean(*boolean),
        Value::List(items) => {
            ConstValue::List(items.iter().map(|item| untyped(item, variables)).collect::<Option<_>>()?)
        }
        Value::Object(fields) => {
            let field = |(name, value): &(Name, Node<Value>)| {
                Some((ValueName::new(name), untyped(value, variables)?))
            };
            ConstValue::Object(fields.iter().map(field).collect::<Option<_>>()?)
        }
    })
}

/// Whether two fields have the same arguments, in whatever order.
pub(super) fn same_arguments(left: &[Node<Argument>], right: &[Node<Argument>]) -> bool {
    left.len() == right.len()
        && left.iter().all(|argument| {
            let other = right.iter().find(|other| other.name == argument.name);
            other.is_some_and(|other| same_value(&argument.value, &other.value))
        })
}

fn same_value(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::List(left), Value::List(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same_value(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(name, value)| {
                    let other = right.iter().find(|(other, _)| other == name);
                    other.is_some_and(|(_, other)| same_value(value, other))
                })
        }
        (left, right) => left == right,
    }
}

/// Whether a literal names a variable at any depth.
pub(super) fn has_variable(value: &Value) -> bool {
    match value {
        Value::Variable(_) => true,
        Value::List(items) => items.iter().any(|item| has_variable(item)),
        Value::Object(fields) => fields.iter().any(|(_, value)| has_variable(value)),
        _ => false,
    }
}
