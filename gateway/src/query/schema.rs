//! The schema that documents are validated against: the served one, with the introspection types of the specification.

use apollo_compiler::schema::{Component, ExtendedType, FieldDefinition};
use apollo_compiler::validation::Valid;
use apollo_compiler::{Name, Node, Schema, name, ty};
use async_graphql::{Executor, ObjectType, SubscriptionType, Value};

/// A schema that operations are executed against.
pub trait GraphqlSchema: Executor {
    /// Returns its types in the schema definition language.
    fn sdl(&self) -> String;

    /// Returns the checks of the schema's own scalars, by name. A scalar without one takes every value.
    fn scalars(&self) -> &'static [(&'static str, ScalarCheck)] {
        &[]
    }
}

/// Says what is wrong with a value that is not null.
pub type ScalarCheck = fn(&Value) -> Result<(), String>;

impl<Q, M, S> GraphqlSchema for async_graphql::Schema<Q, M, S>
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    fn sdl(&self) -> String {
        self.sdl()
    }
}

/// Arguments that the September 2025 specification made non-null, which async-graphql demands; apollo-compiler 1.33 has
/// the edition before.
const INCLUDE_DEPRECATED: [(&str, &str); 5] = [
    ("__Type", "fields"),
    ("__Type", "enumValues"),
    ("__Type", "inputFields"),
    ("__Field", "args"),
    ("__Directive", "args"),
];

pub(super) struct SchemaTypes {
    types: Valid<Schema>,
    scalars: &'static [(&'static str, ScalarCheck)],
}

impl SchemaTypes {
    /// Reads the definition of a schema. Fails if it is invalid, which the SDL of a served schema never is.
    pub(super) fn parse(sdl: &str) -> Result<Self, String> {
        let mut schema =
            Schema::parse(sdl, "schema.graphql").map_err(|invalid| invalid.errors.to_string())?;
        for (type_name, field) in INCLUDE_DEPRECATED {
            let field = field_mut(&mut schema, type_name, field);
            for argument in field.into_iter().flat_map(|field| &mut field.make_mut().arguments) {
                argument.make_mut().ty = Node::new(ty!(Boolean!));
            }
        }
        if let Some(ExtendedType::Object(object)) = schema.types.get_mut("__Type") {
            // A copy, so that the field counts as built in and may have a type that no one else has.
            if let Some(mut field) = object.fields.get("specifiedByURL").cloned() {
                let definition = field.make_mut();
                (definition.name, definition.ty) = (name!("isOneOf"), ty!(Boolean));
                object.make_mut().fields.insert(name!("isOneOf"), field);
            }
        }
        let types = schema.validate().map_err(|invalid| invalid.errors.to_string())?;
        Ok(Self { types, scalars: &[] })
    }

    pub(super) fn with_scalars(self, scalars: &'static [(&'static str, ScalarCheck)]) -> Self {
        Self { scalars, ..self }
    }

    /// Checks a value of one of the schema's own scalars.
    pub(super) fn check_scalar(&self, scalar: &str, value: &Value) -> Result<(), String> {
        match self.scalars.iter().find(|(name, _)| *name == scalar) {
            Some((_, check)) if *value != Value::Null => check(value),
            _ => Ok(()),
        }
    }

    pub(super) fn get(&self) -> &Valid<Schema> {
        &self.types
    }

    /// Returns the definition of a field of an object type, `__typename`, `__schema` and `__type` included.
    pub(super) fn field(&self, object_type: &str, field: &str) -> Option<&Component<FieldDefinition>> {
        self.types.type_field(object_type, field).ok()
    }

    /// Whether a fragment with this type condition applies to objects of a type.
    pub(super) fn applies(&self, condition: &Name, object_type: &Name) -> bool {
        condition == object_type || self.types.is_subtype(condition, object_type)
    }

    /// Returns the object types that a value of an interface or union can have; none for other types.
    pub(super) fn possible_types(&self, abstract_type: &Name) -> Vec<Name> {
        match self.types.types.get(abstract_type) {
            Some(ExtendedType::Interface(_)) => {
                let objects = self.types.types.values().filter_map(ExtendedType::as_object);
                let implementing =
                    objects.filter(|object| self.types.is_subtype(abstract_type, &object.name));
                implementing.map(|object| object.name.clone()).collect()
            }
            Some(ExtendedType::Union(union)) => {
                union.members.iter().map(|member| member.name.clone()).collect()
            }
            _ => Vec::new(),
        }
    }
}

fn field_mut<'a>(
    schema: &'a mut Schema,
    type_name: &str,
    field: &str,
) -> Option<&'a mut Component<FieldDefinition>> {
    match schema.types.get_mut(type_name)? {
        ExtendedType::Object(object) => object.make_mut().fields.get_mut(field),
        _ => None,
    }
}
