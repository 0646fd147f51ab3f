use async_graphql::{
    Value, Variables,
    parser::types::{BaseType, OperationDefinition},
};

/// Says null for each variable of type `Int` that was left out and has no default.
///
/// async-graphql weighs a page by its size and, in 8.0.0-rc.5, refuses a document whose size is a variable that was
/// left out, as clients do who can page both ways. Other types keep the difference between absent and null: it decides
/// whether an argument's default applies, and no argument of type `Int` has one.
pub(in crate::edge) fn name_absent_integers(operation: &OperationDefinition, variables: &mut Variables) {
    for definition in &operation.variable_definitions {
        let definition = &definition.node;
        let variable_type = &definition.var_type.node;
        let is_integer = matches!(&variable_type.base, BaseType::Named(name) if name == "Int");
        if is_integer && variable_type.nullable && definition.default_value.is_none() {
            variables.entry(definition.name.node.clone()).or_insert(Value::Null);
        }
    }
}
