//! Mutations as a generator makes them: each response key that the specification executes sends one order, in its order.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::{Map, Value, json};
use std::fmt::Write;

use crate::kit::{ApiGateway, Transport, through_socket};

const DOCUMENTS: u64 = 150;
const KEYS: [&str; 5] = ["createOrder", "a", "b", "c", "d"];
const PAYLOADS: [&str; 4] =
    ["replayed", "order { id }", "order { status ...O }", "userErrors { code } order { ...O version }"];

/// A mutation, its variables, and the response keys that it executes, in their order.
struct Generated {
    rng: StdRng,
    fragments: Vec<String>,
    declared: String,
    variables: Map<String, Value>,
    /// What each variable's condition is.
    conditions: Vec<bool>,
    executed: Vec<&'static str>,
}

impl Generated {
    fn document(seed: u64) -> (String, Value, Vec<&'static str>) {
        let mut generated = Self {
            rng: StdRng::seed_from_u64(seed),
            fragments: Vec::new(),
            declared: String::new(),
            variables: Map::new(),
            conditions: Vec::new(),
            executed: Vec::new(),
        };
        for number in 0..4 {
            generated.variable(number);
        }
        let selections = generated.selections(true, 0);
        // Every variable and fragment is used.
        let uses: String =
            (0..4).map(|number| format!("v{number}: __typename @include(if: $v{number}) ")).collect();
        let document = format!(
            "mutation({}) {{ {selections} {uses} u: createOrder(input: {{items: []}}) {{ order {{ ...O }} }} }} {} fragment O on Order {{ customerId }}",
            generated.declared,
            generated.fragments.concat(),
        );
        (document, Value::Object(generated.variables), generated.executed)
    }

    /// Declares a condition, with a default, a value or both.
    fn variable(&mut self, number: usize) {
        let (default, value): (bool, bool) = (self.rng.random(), self.rng.random());
        let (declared, condition) = match self.rng.random_range(0..4) {
            0 => ("Boolean!".to_owned(), value),
            1 => (format!("Boolean! = {default}"), value),
            2 => (format!("Boolean = {default}"), value),
            _ => (format!("Boolean = {default}"), default),
        };
        // The last leaves its variable to the default.
        if declared == "Boolean!" || condition == value && (condition != default || self.rng.random()) {
            self.variables.insert(format!("v{number}"), json!(value));
        }
        write!(self.declared, "$v{number}: {declared}, ").unwrap();
        self.conditions.push(condition);
    }

    /// A condition's directive, and whether it includes.
    fn directive(&mut self) -> (String, bool) {
        let number = self.rng.random_range(0..self.conditions.len());
        let literal: bool = self.rng.random();
        match self.rng.random_range(0..7) {
            0 => (format!("@include(if: $v{number})"), self.conditions[number]),
            1 => (format!("@skip(if: $v{number})"), !self.conditions[number]),
            2 => (format!("@skip(if: {literal})"), !literal),
            3 => (
                format!("@include(if: $v{number}) @skip(if: {literal})"),
                self.conditions[number] && !literal,
            ),
            _ => (String::new(), true),
        }
    }

    fn selections(&mut self, executes: bool, depth: usize) -> String {
        let mut selections = String::new();
        for _ in 0..self.rng.random_range(if depth == 0 { 2..6 } else { 1..4 }) {
            let (directive, includes) = self.directive();
            let executes = executes && includes;
            let selection = match self.rng.random_range(0..if depth < 3 { 5 } else { 3 }) {
                3 => format!("... {directive} {{ {} }}", self.selections(executes, depth + 1)),
                4 => {
                    let name = format!("F{}", self.fragments.len());
                    self.fragments.push(String::new());
                    let at = self.fragments.len() - 1;
                    let selections = self.selections(executes, depth + 1);
                    self.fragments[at] = format!("fragment {name} on Mutation {{ {selections} }} ");
                    format!("...{name} {directive}")
                }
                _ => {
                    let key = *KEYS.choose(&mut self.rng).unwrap();
                    if executes && !self.executed.contains(&key) {
                        self.executed.push(key);
                    }
                    let alias = if key == "createOrder" { String::new() } else { format!("{key}: ") };
                    let payload = PAYLOADS.choose(&mut self.rng).unwrap();
                    let input = format!(
                        r#"{{items: [{{productId: "PROD01", quantity: 1}}], idempotencyKey: "{key}"}}"#
                    );
                    format!("{alias}createOrder(input: {input}, wait: false) {directive} {{ {payload} }}")
                }
            };
            selections += &format!("{selection} ");
        }
        selections
    }
}

#[tokio::test]
async fn each_response_key_that_is_executed_sends_one_order() {
    let api = ApiGateway::start().await;
    let mut socket = api.socket().await;
    let mut counts = [0; 6];
    for seed in 0..DOCUMENTS {
        let (document, variables, executed) = Generated::document(seed);
        let request = json!({ "query": document, "variables": variables }).to_string();
        let response = match seed % 2 {
            0 => api.send(Transport::Http, &request).await,
            _ => through_socket(&mut socket, "1", &request).await,
        };
        assert_eq!(response.get("errors"), None, "seed {seed}: {document} {variables} {response}");
        let sent = std::mem::take(&mut *api.services.placements.lock().unwrap());
        let keys: Vec<_> =
            sent.iter().map(|order| order.idempotency_key.as_ref().unwrap().to_string()).collect();
        assert_eq!(keys, executed, "seed {seed}: {document} {variables}");
        for key in &executed {
            assert!(response["data"][key].is_object(), "seed {seed}: {document} {response}");
        }
        counts[executed.len()] += 1;
    }
    assert!(
        counts.iter().filter(|count| **count > 0).count() > 4,
        "the generator makes documents of each kind: {counts:?}"
    );
}
