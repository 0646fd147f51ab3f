//! Values of every input type: literals, and variables with their JSON.

use async_graphql::parser::types::{BaseType, Type};
use rand::RngExt;

use super::generator::{Generator, Variable};
use super::sdl::{Input, named};

/// How deep lists and input objects are nested before they end.
const MAX_DEPTH: u32 = 4;

const INTEGERS: [&str; 12] =
    ["1", "2", "3", "5", "7", "10", "0", "-0", "-1", "100", "2147483647", "-2147483648"];
const NO_INTEGERS: [&str; 9] =
    ["2147483648", "-2147483649", "2.5", "1e2", "1.0", "\"1\"", "true", "ONE", "99999999999999999999"];
const JSON_INTEGERS: [&str; 6] = ["2.0", "1e1", "-0", "-0.0", "3.0e0", "0.5e1"];
const NO_JSON_INTEGERS: [&str; 8] =
    ["2.5", "1e10", "2147483648", "-2147483649", "\"1\"", "true", "[]", "{\"value\":1}"];

const STRINGS: [&str; 19] = [
    r#""""#,
    r#""Product 1""#,
    r#""product""#,
    r#""\u0050roduct 2""#,
    r#""\u{50}roduct 3""#,
    r#""\u{000050}roduct 4""#,
    r#""\uD83D\uDE00""#,
    r#""\u{1F600}""#,
    r#""1 Quay""#,
    r#""é \" \\ \/ \t""#,
    r#""a\nb""#,
    "\"\"\"Product 5\"\"\"",
    "\"\"\"\n      Product 6\n    \"\"\"",
    "\"\"\"1 \\\"\"\" Quay\"\"\"",
    "\"\"\"\n  two\n    lines \\n \n\n  \"\"\"",
    "\"\"\" \\u0050 \"\"\"",
    "\"\"\"\"\"\"",
    "\"# no comment, 😀\"",
    "\"\\b\\f\\r\"",
];
const NO_STRINGS: [&str; 12] = [
    "1",
    "true",
    "Product",
    "[]",
    "{}",
    r#""\uD83D""#,
    r#""\uDE00\uD83D""#,
    r#""\u{110000}""#,
    r#""\u{}""#,
    r#""\x""#,
    "\"a\nb\"",
    "\"open",
];
const JSON_STRINGS: [&str; 7] = [
    r#""""#,
    r#""Product 7""#,
    r#""\u0050roduct 8""#,
    r#""\ud83d\ude00""#,
    r#""2 Quay""#,
    r#""a\nb""#,
    r#"" ""#,
];
const NO_JSON_STRINGS: [&str; 4] = ["1", "false", r#"["Product 1"]"#, r#"{"a":1}"#];

const NO_IDS: [&str; 5] = ["1.0", "true", "PROD01", "{}", "[]"];
const JSON_IDS: [&str; 5] = ["1", "-7", "2.0", "9007199254740991", r#""""#];
const NO_JSON_IDS: [&str; 3] = ["1.5", "true", r#"{"id":"1"}"#];

impl Generator<'_> {
    /// An argument with its value.
    pub(super) fn argument(&mut self, input: &Input) -> String {
        let value = self.value(&input.ty, &input.name, input.has_default, 0);
        format!("{}: {value}", input.name)
    }

    /// A value for a place of this type: a literal, or a variable that is declared for it.
    fn value(&mut self, ty: &Type, name: &str, has_default: bool, depth: u32) -> String {
        if self.chance(0.3) {
            return self.variable(ty, name, has_default);
        }
        self.literal(ty, name, depth, true)
    }

    /// A literal; constant ones hold no variables.
    pub(super) fn literal(&mut self, ty: &Type, name: &str, depth: u32, may_hold_variables: bool) -> String {
        if self.chance(if ty.nullable { 0.1 } else { 0.0 }) || self.mistake() {
            return "null".into();
        }
        let inner = match &ty.base {
            BaseType::Named(scalar) => return self.named_literal(scalar, name, depth, may_hold_variables),
            BaseType::List(item) => item,
        };
        if self.chance(0.2) {
            return self.literal(inner, name, depth + 1, may_hold_variables);
        }
        let least = usize::from(inner.to_string().starts_with("OrderItemInput"));
        let count = self.rng.random_range(least..=3);
        let items: Vec<String> = (0..count)
            .map(|_| match may_hold_variables {
                true => self.value(inner, name, false, depth + 1),
                false => self.literal(inner, name, depth + 1, false),
            })
            .collect();
        let separator = if self.chance(0.5) { ", " } else { " " };
        format!("[{}]", items.join(separator))
    }

    fn named_literal(&mut self, ty: &str, name: &str, depth: u32, may_hold_variables: bool) -> String {
        let is_mistaken = self.mistake();
        if let Some(fields) = self.schema.inputs.get(ty) {
            if is_mistaken {
                return self.one(&["[]", "\"input\"", "3", "INPUT"]);
            }
            let fields = self.chosen(fields, depth);
            let mut entries: Vec<String> = Vec::new();
            for field in &fields {
                let value = match may_hold_variables {
                    true => self.value(&field.ty, &field.name, field.has_default, depth + 1),
                    false => self.literal(&field.ty, &field.name, depth + 1, false),
                };
                entries.push(format!("{}: {value}", field.name));
            }
            if self.mistake() {
                entries.push("unknown: 1".into());
            }
            if self.mistake() {
                entries.extend(entries.first().cloned());
            }
            return format!("{{{}}}", entries.join(", "));
        }
        if let Some(values) = self.schema.enums.get(ty) {
            if is_mistaken {
                return self.one(&["\"PENDING\"", "UNKNOWN", "pending", "1", "true"]);
            }
            return self.pick(values).clone();
        }
        match (ty, is_mistaken) {
            ("Int", false) => self.integer(name),
            ("Int", true) => self.one(&NO_INTEGERS),
            ("Boolean", false) => self.one(&["true", "false"]),
            ("Boolean", true) => self.one(&["\"true\"", "1", "TRUE", "[true]"]),
            ("ID", false) => self.id(name),
            ("ID", true) => self.one(&NO_IDS),
            ("DateTime", _) => "\"2026-11-23T19:10:51.371Z\"".to_owned(),
            (_, false) => self.text(name),
            (_, true) => self.one(&NO_STRINGS),
        }
    }

    /// The fields of an input object that are given: the required ones and some of the others.
    fn chosen(&mut self, fields: &[Input], depth: u32) -> Vec<Input> {
        let share = if depth < MAX_DEPTH { 0.4 } else { 0.0 };
        let mut chosen = Vec::new();
        for field in fields {
            let is_given = if field.is_required() { !self.mistake() } else { self.chance(share) };
            if is_given {
                chosen.push(field.clone());
            }
        }
        chosen
    }

    fn integer(&mut self, name: &str) -> String {
        let is_bounded = matches!(name, "first" | "last" | "quantity");
        if is_bounded && self.chance(0.8) {
            return self.rng.random_range(1..=4).to_string();
        }
        self.one(&INTEGERS)
    }

    fn id(&mut self, name: &str) -> String {
        if self.chance(0.1) {
            return self.one(&["7", "0", "-3", "12345678901234567890", "\"\"", "\"\"\"PROD01\"\"\""]);
        }
        format!("\"{}\"", self.known_id(name))
    }

    /// An id that there is, for the argument or field of this name.
    fn known_id(&mut self, name: &str) -> String {
        match name {
            "customerId" => self.one(&["CUST01", "CUST01", "CUST01", "CUST02"]),
            "productId" => format!("PROD{:02}", self.rng.random_range(1..=21)),
            _ => {
                let product = format!("PROD{:02}", self.rng.random_range(1..=21));
                let known = self.known;
                let order = self.pick(&known.order_ids).clone();
                let customer = "CUST01".to_owned();
                self.pick(&[product, order.clone(), order, customer]).clone()
            }
        }
    }

    fn cursor(&mut self) -> String {
        let known = self.known;
        format!("\"{}\"", self.pick(&known.cursors))
    }

    fn text(&mut self, name: &str) -> String {
        let is_cursor = matches!(name, "after" | "before");
        if is_cursor && self.chance(0.8) {
            return self.cursor();
        }
        self.one(&STRINGS)
    }

    /// A use of a variable, new or known, in a place of this type.
    pub(super) fn variable(&mut self, place: &Type, name: &str, has_default: bool) -> String {
        if self.mistake() {
            return "$undeclared".into();
        }
        let known = self.variables.iter().filter(|variable| variable.place == place.to_string());
        let known: Vec<String> = known.map(|variable| variable.name.clone()).collect();
        if !known.is_empty() && self.chance(0.4) {
            return format!("${}", self.pick(&known));
        }
        let fresh = self.declare(place, name, has_default);
        format!("${fresh}")
    }

    fn declare(&mut self, place: &Type, place_name: &str, has_default: bool) -> String {
        let name = format!("v{}", self.variables.len());
        let mut ty = place.clone();
        // A variable with a default may be nullable where its place is not.
        let defaults = if self.chance(0.3) && (ty.nullable || self.chance(0.5)) {
            ty.nullable = true;
            let of_place = place.clone();
            Some(self.literal(&of_place, place_name, 1, false))
        } else {
            if has_default && self.chance(0.5) {
                ty.nullable = true;
            }
            None
        };
        if ty.nullable && defaults.is_none() && self.chance(0.2) {
            ty.nullable = false;
        }
        let mut written = ty.to_string();
        if self.mistake() {
            let others = ["Int", "String!", "ID", "Boolean", "[Int!]", "Order", "Unknown", "OrderStatus!"];
            written = self.one(&others);
        } else if self.mistake() {
            written = match written.strip_suffix('!') {
                Some(nullable) => nullable.to_owned(),
                None => format!("[{written}]"),
            };
        }
        let default = defaults.map(|value| format!(" = {value}")).unwrap_or_default();
        let declaration = format!("${name}: {written}{default}");
        let may_be_left_out = ty.nullable || !default.is_empty();
        let json = if self.chance(if may_be_left_out { 0.3 } else { 0.0 }) || self.mistake() {
            None
        } else {
            Some(self.json(&ty, place_name, 0))
        };
        self.variables.push(Variable { name: name.clone(), place: place.to_string(), declaration, json });
        name
    }

    /// A variable's value.
    fn json(&mut self, ty: &Type, name: &str, depth: u32) -> String {
        if self.chance(if ty.nullable { 0.15 } else { 0.0 }) || self.mistake() {
            return "null".into();
        }
        let inner = match &ty.base {
            BaseType::Named(scalar) => return self.named_json(scalar, name, depth),
            BaseType::List(item) => item,
        };
        if self.chance(0.2) {
            return self.json(inner, name, depth + 1);
        }
        let least = usize::from(named(inner) == "OrderItemInput");
        let count = self.rng.random_range(least..=3);
        let items: Vec<String> = (0..count).map(|_| self.json(inner, name, depth + 1)).collect();
        format!("[{}]", items.join(","))
    }

    fn named_json(&mut self, ty: &str, name: &str, depth: u32) -> String {
        let is_mistaken = self.mistake();
        if let Some(fields) = self.schema.inputs.get(ty) {
            if is_mistaken {
                return self.one(&["[]", "\"input\"", "3"]);
            }
            let fields = self.chosen(fields, depth);
            let mut entries: Vec<String> = Vec::new();
            for field in &fields {
                entries.push(format!("\"{}\":{}", field.name, self.json(&field.ty, &field.name, depth + 1)));
            }
            if self.mistake() {
                entries.push("\"unknown\":1".into());
            }
            return format!("{{{}}}", entries.join(","));
        }
        if let Some(values) = self.schema.enums.get(ty) {
            if is_mistaken {
                return self.one(&["\"UNKNOWN\"", "\"pending\"", "1", "true"]);
            }
            return format!("\"{}\"", self.pick(values));
        }
        match (ty, is_mistaken) {
            ("Int", false) if self.chance(0.2) => self.one(&JSON_INTEGERS),
            ("Int", false) => self.integer(name),
            ("Int", true) => self.one(&NO_JSON_INTEGERS),
            ("Boolean", false) => self.one(&["true", "false"]),
            ("Boolean", true) => self.one(&["\"true\"", "1", "0", "[true]"]),
            ("ID", false) if self.chance(0.15) => self.one(&JSON_IDS),
            ("ID", false) => format!("\"{}\"", self.known_id(name)),
            ("ID", true) => self.one(&NO_JSON_IDS),
            ("DateTime", _) => "\"2026-11-23T19:10:51.371Z\"".to_owned(),
            (_, true) => self.one(&NO_JSON_STRINGS),
            (_, false) if matches!(name, "after" | "before") && self.chance(0.8) => self.cursor(),
            (_, false) => self.one(&JSON_STRINGS),
        }
    }
}
