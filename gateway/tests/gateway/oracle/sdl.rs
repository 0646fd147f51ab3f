//! The schema as the generator needs it, read from its SDL.

use std::collections::BTreeMap;

use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{BaseType, FieldDefinition, InputValueDefinition, Type};
use async_graphql::parser::types::{TypeDefinition, TypeKind, TypeSystemDefinition};
use async_graphql::{Name, Positioned};

pub(super) struct Schema {
    pub(super) text: String,
    /// Objects and interfaces.
    pub(super) objects: BTreeMap<String, Vec<Field>>,
    /// The objects that implement an interface.
    pub(super) implementations: BTreeMap<String, Vec<String>>,
    pub(super) inputs: BTreeMap<String, Vec<Input>>,
    pub(super) enums: BTreeMap<String, Vec<String>>,
}

#[derive(Clone)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) ty: Type,
    pub(super) arguments: Vec<Input>,
}

/// An argument, or a field of an input object.
#[derive(Clone)]
pub(super) struct Input {
    pub(super) name: String,
    pub(super) ty: Type,
    pub(super) has_default: bool,
}

impl Input {
    pub(super) fn is_required(&self) -> bool {
        !self.ty.nullable && !self.has_default
    }
}

impl Schema {
    pub(super) fn read(text: String) -> Self {
        let document = parse_schema(&text).unwrap();
        let mut schema = Self {
            text,
            objects: BTreeMap::new(),
            implementations: BTreeMap::new(),
            inputs: BTreeMap::new(),
            enums: BTreeMap::new(),
        };
        for definition in document.definitions {
            if let TypeSystemDefinition::Type(definition) = definition {
                schema.add(definition.node);
            }
        }
        schema
    }

    fn add(&mut self, definition: TypeDefinition) {
        let name = definition.name.node.to_string();
        match definition.kind {
            TypeKind::Object(object) => {
                for interface in object.implements {
                    let interface = interface.node.to_string();
                    self.implementations.entry(interface).or_default().push(name.clone());
                }
                self.objects.insert(name, object.fields.into_iter().map(field).collect());
            }
            TypeKind::InputObject(object) => {
                self.inputs.insert(name, object.fields.into_iter().map(input).collect());
            }
            TypeKind::Enum(values) => {
                let values = values.values.iter().map(|value| value.node.value.node.to_string());
                self.enums.insert(name, values.collect());
            }
            TypeKind::Interface(interface) => {
                self.objects.insert(name, interface.fields.into_iter().map(field).collect());
            }
            TypeKind::Scalar | TypeKind::Union(_) => {}
        }
    }

    /// A selection of every field of a type that needs no argument, without the types in `omitted`.
    pub(super) fn full_selection(&self, of: &str, omitted: &[&str]) -> String {
        let fields = self.objects[of].iter().filter(|field| !field.arguments.iter().any(Input::is_required));
        let selections = fields.filter_map(|Field { name, ty, .. }| {
            let inner = named(ty);
            if omitted.contains(&inner) {
                return None;
            }
            let selection = self.objects.contains_key(inner).then(|| self.full_selection(inner, omitted));
            Some(format!("{name} {}", selection.unwrap_or_default()))
        });
        format!("{{ {} }}", selections.collect::<Vec<_>>().join(" "))
    }
}

/// The name of a type without its lists.
pub(super) fn named(ty: &Type) -> &str {
    match &ty.base {
        BaseType::Named(name) => name,
        BaseType::List(item) => named(item),
    }
}

fn field(Positioned { node, .. }: Positioned<FieldDefinition>) -> Field {
    let text = |name: Name| name.to_string();
    Field {
        name: text(node.name.node),
        ty: node.ty.node,
        arguments: node.arguments.into_iter().map(input).collect(),
    }
}

fn input(Positioned { node, .. }: Positioned<InputValueDefinition>) -> Input {
    Input { name: node.name.node.to_string(), ty: node.ty.node, has_default: node.default_value.is_some() }
}
