use async_graphql::{
    ServerError, Value, Variables,
    parser::types::{BaseType, OperationDefinition},
};

use super::ErrorCode;

/// Refuses an operation that is not given a variable which it requires.
///
/// async-graphql 8.0.0-rc.5 finds that out field by field, when others of the same operation may have run.
pub(in crate::http) fn require_variables(
    operation: &OperationDefinition,
    variables: &Variables,
) -> Result<(), ServerError> {
    for definition in &operation.variable_definitions {
        let (position, definition) = (definition.pos, &definition.node);
        let name = &definition.name.node;
        let required = !definition.var_type.node.nullable && definition.default_value.is_none();
        if required && !variables.contains_key(name) {
            let message = format!("the variable ${name} of type {} is required", definition.var_type.node);
            let error = ServerError::from(ErrorCode::GraphqlValidationFailed.error(message));
            return Err(ServerError { locations: vec![position], ..error });
        }
    }
    Ok(())
}

/// Says null for each variable of type `Int` that was left out and has no default.
///
/// async-graphql weighs a page by its size and, in 8.0.0-rc.5, refuses a document whose size is a variable that was
/// left out, as clients do who can page both ways. Other types keep the difference between absent and null: it decides
/// whether an argument's default applies, and no argument of type `Int` has one.
pub(in crate::http) fn name_absent_integers(operation: &OperationDefinition, variables: &mut Variables) {
    for definition in &operation.variable_definitions {
        let definition = &definition.node;
        let variable_type = &definition.var_type.node;
        let is_integer = matches!(&variable_type.base, BaseType::Named(name) if name == "Int");
        if is_integer && variable_type.nullable && definition.default_value.is_none() {
            variables.entry(definition.name.node.clone()).or_insert(Value::Null);
        }
    }
}
