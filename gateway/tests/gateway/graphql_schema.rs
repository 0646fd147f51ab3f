//! The generated schema: committed as it is, and never less than the contract.

use async_graphql::Positioned;
use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{
    FieldDefinition, InputValueDefinition, TypeDefinition, TypeKind, TypeSystemDefinition,
};
use std::collections::BTreeMap;
use std::path::Path;

const CONTRACT: &str = include_str!("contract.graphql");

/// `UPDATE_SCHEMA=1 cargo test -p gateway schema` writes the file anew.
#[test]
#[expect(clippy::disallowed_methods, reason = "a switch of this test alone, no configuration")]
fn the_committed_schema_is_the_one_that_is_served() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schema/schema.graphql");
    let served = gateway::graphql::sdl();
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&path, &served).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap();
    assert!(
        committed == served,
        "schema/schema.graphql is out of date: run UPDATE_SCHEMA=1 cargo test -p gateway schema"
    );
}

#[test]
fn the_schema_contains_the_contract() {
    let missing = missing(CONTRACT, &gateway::graphql::sdl());
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn whatever_the_schema_leaves_out_or_narrows_is_noticed() {
    for (from, to) in [
        ("  trackingNumber: String\n", ""),
        ("wait: Boolean! = true", "wait: Boolean! = false"),
        ("wait: Boolean! = true", "wait: Boolean!"),
        ("  customer: Customer\n", "  customer: Customer!\n"),
        ("expectedVersion: Int", "expectedVersion: Int!"),
        ("  OUT_OF_STOCK\n", ""),
        ("ISO 4217", "a currency"),
        ("after: String, last: Int", "last: Int"),
        ("  input: CreateOrderInput!", "  input: CreateOrderInput!, why: String!"),
    ] {
        let contract = CONTRACT
            .replace("enum OrderRejectionCode { OUT_OF_STOCK", "enum OrderRejectionCode {\n  OUT_OF_STOCK\n");
        let contract = contract.replace("createOrder(input", "createOrder(  input");
        let served = contract.replacen(from, to, 1);
        assert_ne!(contract, served, "{from}");
        assert!(!missing(&contract, &served).is_empty(), "{from} -> {to}");
    }
}

/// What `served` lacks of `contract`, or has otherwise.
fn missing(contract: &str, served: &str) -> Vec<String> {
    let (contract, served) = (elements(contract), elements(served));
    let mut missing: Vec<String> = contract
        .iter()
        .filter(|(path, element)| served.get(*path) != Some(*element))
        .map(|(path, element)| format!("{path}: {element:?}, served: {:?}", served.get(path)))
        .collect();
    let required = served.iter().filter(|(path, element)| {
        let added = path.contains('(') && !contract.contains_key(*path);
        added
            && element.is_required_input()
            && contract.contains_key(path.split('(').next().unwrap_or_default())
    });
    missing.extend(required.map(|(path, _)| format!("{path}: an added argument that is required")));
    missing
}

#[derive(Debug, PartialEq)]
struct Element {
    signature: String,
    default: Option<String>,
    description: Option<String>,
}

impl Element {
    fn is_required_input(&self) -> bool {
        self.signature.ends_with('!') && self.default.is_none()
    }
}

/// Every type, field, argument and value by its path: `Order.lineItems`, `Query.order(id`.
fn elements(sdl: &str) -> BTreeMap<String, Element> {
    let mut elements = BTreeMap::new();
    for definition in parse_schema(sdl).unwrap().definitions {
        if let TypeSystemDefinition::Type(definition) = definition {
            add_type(&mut elements, &definition.node);
        }
    }
    elements
}

fn add_type(elements: &mut BTreeMap<String, Element>, definition: &TypeDefinition) {
    let name = definition.name.node.as_str();
    let kind = match &definition.kind {
        TypeKind::Scalar => "scalar",
        TypeKind::Object(object) => {
            object.fields.iter().for_each(|field| add_field(elements, name, &field.node));
            "type"
        }
        TypeKind::Enum(values) => {
            for value in &values.values {
                let path = format!("{name}.{}", value.node.value.node);
                add(elements, path, "value".into(), None, value.node.description.as_ref());
            }
            "enum"
        }
        TypeKind::InputObject(input) => {
            input.fields.iter().for_each(|field| add_input(elements, format!("{name}."), &field.node));
            "input"
        }
        TypeKind::Interface(_) | TypeKind::Union(_) => "other",
    };
    add(elements, name.to_owned(), kind.into(), None, definition.description.as_ref());
}

fn add_field(elements: &mut BTreeMap<String, Element>, parent: &str, field: &FieldDefinition) {
    let path = format!("{parent}.{}", field.name.node);
    field.arguments.iter().for_each(|argument| add_input(elements, format!("{path}("), &argument.node));
    add(elements, path, field.ty.node.to_string(), None, field.description.as_ref());
}

fn add_input(elements: &mut BTreeMap<String, Element>, parent: String, input: &InputValueDefinition) {
    let default = input.default_value.as_ref().map(|value| value.node.to_string());
    let path = format!("{parent}{}", input.name.node);
    add(elements, path, input.ty.node.to_string(), default, input.description.as_ref());
}

fn add(
    elements: &mut BTreeMap<String, Element>,
    path: String,
    signature: String,
    default: Option<String>,
    description: Option<&Positioned<String>>,
) {
    // Line breaks come from wrapping the text.
    let words = |text: &Positioned<String>| text.node.split_whitespace().collect::<Vec<_>>().join(" ");
    elements.insert(path, Element { signature, default, description: description.map(words) });
}
