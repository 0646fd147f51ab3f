//! The API as the judge sees it: each result has the arguments of its operation's fields beside it, and a subscription
//! begins at a fixed event, so that its first update is known.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_graphql::parser::types::{
    DocumentOperations, ExecutableDocument, Field, OperationDefinition, OperationType, Selection,
    SelectionSet,
};
use async_graphql::{Data, Executor, Name, Positioned, Request, Response, Value, value};
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use gateway::graphql::Api;
use gateway::query::{GraphqlSchema, ScalarCheck};

#[derive(Clone)]
pub(super) struct Observed {
    pub(super) api: Api,
    pub(super) events: Arc<FixedEvents>,
}

/// The events that subscriptions replay.
pub(super) struct FixedEvents {
    /// The customer whose orders they are.
    pub(super) customer_id: String,
    /// Orders with an event after each of the cursors.
    pub(super) order_ids: BTreeSet<String>,
    /// The cursor before the first event.
    pub(super) begin: String,
    /// Cursors that arguments may have.
    pub(super) cursors: BTreeSet<String>,
}

impl Executor for Observed {
    async fn execute(&self, mut request: Request) -> Response {
        let arguments = arguments(operation(request.parsed_query().unwrap()));
        self.api.execute(request).await.extension("arguments", arguments)
    }

    /// Of a subscription whose next event is none of the fixed ones the result is only its arguments.
    fn execute_stream(
        &self,
        mut request: Request,
        session_data: Option<Arc<Data>>,
    ) -> BoxStream<'static, Response> {
        let mut document = request.parsed_query().unwrap().clone();
        let arguments = arguments(operation(&document));
        if operation(&document).ty == OperationType::Subscription && !self.events.begin_at(&mut document) {
            return stream::iter([Response::new(Value::Null).extension("arguments", arguments)]).boxed();
        }
        request.set_parsed_query(document);
        let results = self.api.execute_stream(request, session_data);
        results.map(move |result| result.extension("arguments", arguments.clone())).boxed()
    }
}

impl GraphqlSchema for Observed {
    fn sdl(&self) -> String {
        self.api.sdl()
    }

    fn scalars(&self) -> &'static [(&'static str, ScalarCheck)] {
        self.api.scalars()
    }
}

impl FixedEvents {
    /// Has a subscription to orders of the customer begin before the first event, unless it says otherwise. Returns whether
    /// the next event is one of the fixed ones.
    fn begin_at(&self, document: &mut ExecutableDocument) -> bool {
        let DocumentOperations::Single(operation) = &mut document.operations else { return false };
        let selections = &mut operation.node.selection_set.node.items;
        let [Positioned { node: Selection::Field(root), .. }] = selections.as_mut_slice() else {
            return false;
        };
        let given = |name: &str| {
            let value = root.node.get_argument(name).and_then(|value| value.node.clone().into_const());
            value.filter(|value| *value != Value::Null)
        };
        let is_known = |name: &str, known: &dyn Fn(&str) -> bool| match given(name) {
            None => true,
            Some(Value::String(text)) => known(&text),
            Some(_) => false,
        };
        let is_fixed = given("allCustomers") == Some(Value::Boolean(false))
            && is_known("customerId", &|id| id == self.customer_id)
            && is_known("orderId", &|id| self.order_ids.contains(id))
            && is_known("after", &|cursor| self.cursors.contains(cursor));
        if is_fixed && given("after").is_none() {
            let pos = root.pos;
            root.node.arguments.retain(|(name, _)| name.node != "after");
            let begin = Value::String(self.begin.clone()).into_value();
            let after = (Positioned::new(Name::new("after"), pos), Positioned::new(begin, pos));
            root.node.arguments.push(after);
        }
        is_fixed
    }
}

fn operation(document: &ExecutableDocument) -> &OperationDefinition {
    match &document.operations {
        DocumentOperations::Single(operation) => &operation.node,
        DocumentOperations::Multiple(_) => panic!("the gateway executes one operation"),
    }
}

/// The type that `arguments.mjs` gives every node.
const NODE_TYPE: &str = "Customer";

/// Each field's name and arguments, by its path of response keys, without introspection.
fn arguments(operation: &OperationDefinition) -> Value {
    let mut fields = BTreeMap::new();
    collect(&operation.selection_set.node, "", &mut fields);
    Value::Object(fields.into_iter().map(|(path, field)| (Name::new(path), field)).collect())
}

fn collect(set: &SelectionSet, path: &str, fields: &mut BTreeMap<String, Value>) {
    for selection in &set.items {
        match &selection.node {
            Selection::Field(Positioned { node: field, .. }) if !field.name.node.starts_with("__") => {
                let key = field.response_key().node.as_str();
                let path = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
                collect(&field.selection_set.node, &path, fields);
                fields.insert(path, shown(field));
            }
            Selection::Field(_) => {}
            Selection::InlineFragment(Positioned { node: fragment, .. }) => {
                let condition = fragment.type_condition.as_ref().expect("the gateway names the type");
                if condition.node.on.node == NODE_TYPE {
                    collect(&fragment.selection_set.node, path, fields);
                }
            }
            Selection::FragmentSpread(_) => panic!("the gateway inlines fragments"),
        }
    }
}

fn shown(field: &Field) -> Value {
    let arguments = field.arguments.iter().map(|(name, value)| {
        let value = value.node.clone().into_const().expect("the gateway fills in variables");
        (name.node.clone(), value)
    });
    value!({ "field": field.name.node.as_str(), "arguments": Value::Object(arguments.collect()) })
}
