//! Documents by seed, valid and invalid: what may be written at each place is known from the schema, and now and then
//! something else is written there.

use std::collections::BTreeSet;

use async_graphql::parser::types::Type;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::sdl::{Field, Input, Schema, named};

const MAX_DEPTH: u32 = 6;
const MAX_FRAGMENTS: usize = 4;

/// What the services hold, for arguments that are to find something.
pub(super) struct Known {
    pub(super) order_ids: Vec<String>,
    pub(super) cursors: Vec<String>,
}

/// A request.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) query: String,
    pub(super) operation_name: Option<String>,
    /// JSON.
    pub(super) variables: String,
}

pub(super) struct Generator<'a> {
    pub(super) schema: &'a Schema,
    pub(super) known: &'a Known,
    pub(super) rng: StdRng,
    pub(super) variables: Vec<Variable>,
    fragments: Vec<Fragment>,
    /// Mistakes that are still to be made.
    mistakes: u32,
    aliases: u32,
}

pub(super) struct Variable {
    pub(super) name: String,
    /// The type of the place that it was declared for.
    pub(super) place: String,
    pub(super) declaration: String,
    /// Its value, if it gets one.
    pub(super) json: Option<String>,
}

struct Fragment {
    name: String,
    on: String,
    /// None while its selection is being written.
    text: Option<String>,
}

impl<'a> Generator<'a> {
    pub(super) fn new(schema: &'a Schema, known: &'a Known, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mistakes = [0, 0, 1, 1, 2][rng.random_range(0..5)];
        Self { schema, known, rng, variables: Vec::new(), fragments: Vec::new(), mistakes, aliases: 0 }
    }

    pub(super) fn sample(mut self) -> Sample {
        let kind = self.one(&["query", "query", "query", "query", "mutation", "mutation", "subscription"]);
        let root = format!("{}{}", kind[..1].to_uppercase(), &kind[1..]);
        let selection = match kind.as_str() {
            "subscription" => self.subscription(),
            _ => self.selection(&root, 0),
        };
        let is_named = self.chance(0.6);
        let name = if is_named { " Main" } else { "" };
        let directive = if self.mistake() { self.directives(1.0) } else { String::new() };
        let mut declared: Vec<String> =
            self.variables.iter().map(|variable| variable.declaration.clone()).collect();
        if self.mistake() {
            declared.push("$unused: Int".into());
        }
        if self.mistake() {
            declared.extend(declared.first().cloned());
        }
        let declared = match declared.is_empty() {
            true if self.mistake() => "()".to_owned(),
            true => String::new(),
            false => format!("({})", declared.join(", ")),
        };
        let is_short = kind == "query" && !is_named && declared.is_empty() && directive.is_empty();
        let operation = match is_short && self.chance(0.5) {
            true => selection,
            false => format!("{kind}{name}{declared}{directive} {selection}"),
        };
        let mut definitions = vec![operation];
        if is_named && self.chance(0.2) {
            definitions.push("query Other { me { id } }".into());
        }
        if self.mistake() {
            let others = [
                "query Main { me { id } }",
                "{ me { id } }",
                "fragment Unused on Order { id }",
                "fragment on on Order { id }",
                "fragment F0 on Order { id }",
                "fragment Scalar on DateTime { id } query S { ...Scalar }",
                "fragment Cycle on Order { id ...Cycle } query C { orders { nodes { ...Cycle } } }",
                "type Order { id: ID! }",
                "mutation { }",
                "query Broken {",
            ];
            definitions.push(self.one(&others));
        }
        let fragments = self.fragments.iter().filter_map(|Fragment { name, on, text }| {
            text.as_ref().map(|text| format!("fragment {name} on {on} {text}"))
        });
        definitions.extend(fragments);
        let has_several = definitions.len() > 1;
        let at = self.rng.random_range(0..definitions.len());
        definitions.swap(0, at);
        let mut query = definitions.join(if self.chance(0.5) { "\n" } else { " " });
        if self.mistake() {
            query = self.garbled(&query);
        }
        let operation_name = match is_named {
            true if self.mistake() => Some("Nowhere".to_owned()),
            true if self.chance(0.5) || (has_several && !self.mistake()) => Some("Main".to_owned()),
            _ => None,
        };
        let variables = self.variables.iter().filter_map(|variable| {
            let json = variable.json.as_ref()?;
            Some(format!("\"{}\":{json}", variable.name))
        });
        let mut variables: Vec<String> = variables.collect();
        if self.chance(0.1) {
            variables.push("\"superfluous\":[1]".into());
        }
        Sample { query, operation_name, variables: format!("{{{}}}", variables.join(",")) }
    }

    /// One root field, in the operation or in a fragment, once or twice.
    fn subscription(&mut self) -> String {
        let root = "Subscription";
        let schema = self.schema;
        let field = self.pick(&schema.objects[root]).clone();
        let mut selected = self.field(&field, 0, false);
        if self.mistake() {
            let others =
                ["__typename", "more: orderUpdated { kind }", "orderUpdated @skip(if: false) { kind }"];
            selected = format!("{selected} {}", self.pick(&others));
        }
        match self.rng.random_range(0..10) {
            0 => format!("{{ ... on {root} {{ {selected} }} }}"),
            1 => format!("{{ ... {{ {selected} }} {selected} }}"),
            2 => {
                self.fragments.push(Fragment {
                    name: "Root".into(),
                    on: root.into(),
                    text: Some(format!("{{ {selected} }}")),
                });
                "{ ...Root ...Root }".into()
            }
            _ => format!("{{ {selected} }}"),
        }
    }

    fn selection(&mut self, ty: &str, depth: u32) -> String {
        if self.mistake() {
            return "{ }".into();
        }
        let count = self.rng.random_range(1..=if depth < 2 { 3 } else { 4 });
        let mut selections = Vec::new();
        while selections.len() < count {
            let selected = match self.rng.random_range(0..20) {
                0 => self.type_name(),
                1 | 2 => self.inline_fragment(ty, depth),
                3..=5 => self.spread(ty, depth),
                6 if ty == "Query" => {
                    self.one(&["__type(name: \"Product\") { name kind }", "__schema { queryType { name } }"])
                }
                _ => self.random_field(ty, depth),
            };
            selections.push(selected);
        }
        // The same again changes nothing, but for mutations, which it must not run twice.
        if self.chance(0.1) {
            let repeated = self.pick(&selections).clone();
            selections.push(repeated);
        }
        format!("{{ {} }}", selections.join(if self.chance(0.2) { ", " } else { " " }))
    }

    fn type_name(&mut self) -> String {
        let alias = self.pick(&["", "", "t: "]);
        format!("{alias}__typename{}", self.directives(0.1))
    }

    fn random_field(&mut self, ty: &str, depth: u32) -> String {
        if self.mistake() {
            return "unknown".into();
        }
        let is_leaf = |field: &&Field| !self.schema.objects.contains_key(named(&field.ty));
        let fields = &self.schema.objects[ty];
        let leaves: Vec<&Field> = fields.iter().filter(is_leaf).collect();
        let field = match depth >= MAX_DEPTH - 2 && !leaves.is_empty() {
            true => leaves[self.rng.random_range(0..leaves.len())],
            false => &fields[self.rng.random_range(0..fields.len())],
        };
        self.field(&field.clone(), depth, true)
    }

    fn field(&mut self, field: &Field, depth: u32, may_be_left_out: bool) -> String {
        let Field { name, ty, arguments } = field;
        let alias = match (arguments.is_empty(), self.rng.random_range(0..10)) {
            (false, 0..6) => {
                self.aliases += 1;
                format!("f{}: ", self.aliases)
            }
            (_, 6) => format!("{}: ", &name[..1]),
            _ if self.mistake() => "id: ".into(),
            _ => String::new(),
        };
        let mut given: Vec<String> = Vec::new();
        for argument in arguments {
            let share = if matches!(argument.name.as_str(), "last" | "before") { 0.1 } else { 0.35 };
            let is_given = if argument.is_required() { !self.mistake() } else { self.chance(share) };
            if is_given {
                given.push(self.argument(argument));
            }
        }
        if self.mistake() {
            given.push("unknown: 1".into());
        }
        if self.mistake() {
            given.extend(given.first().cloned());
        }
        if given.len() > 1 && self.chance(0.3) {
            given.reverse();
        }
        let given = if given.is_empty() { String::new() } else { format!("({})", given.join(", ")) };
        let directives = if may_be_left_out { self.directives(0.12) } else { String::new() };
        let inner = named(ty);
        let has_selection = self.schema.objects.contains_key(inner) ^ self.mistake();
        let selection = match has_selection {
            true if self.schema.objects.contains_key(inner) => self.selection(inner, depth + 1),
            true => "{ id }".into(),
            false => String::new(),
        };
        format!("{alias}{name}{given}{directives} {selection}")
    }

    fn inline_fragment(&mut self, ty: &str, depth: u32) -> String {
        let schema = self.schema;
        if let Some(objects) = schema.implementations.get(ty).filter(|_| self.chance(0.8)) {
            let object = self.pick(objects);
            return format!("... on {object}{} {}", self.directives(0.1), self.selection(object, depth + 1));
        }
        let condition = match self.rng.random_range(0..10) {
            0..5 => format!(" on {ty}"),
            _ if self.mistake() => self.one(&[" on Unknown", " on OrderStatus", " on Money", " on"]),
            _ => String::new(),
        };
        let directives = self.directives(0.3);
        format!("...{condition}{directives} {}", self.selection(ty, depth + 1))
    }

    /// A spread of a fragment, which may be one that stands elsewhere already.
    fn spread(&mut self, ty: &str, depth: u32) -> String {
        let known: Vec<usize> = (0..self.fragments.len())
            .filter(|&index| self.fragments[index].on == ty && self.fragments[index].text.is_some())
            .collect();
        let name = if self.mistake() {
            // Unknown, on another type, or within itself.
            let any = self.fragments.iter().map(|fragment| fragment.name.clone());
            let any: Vec<String> = any.chain(["Unknown".to_owned()]).collect();
            self.pick(&any).clone()
        } else if !known.is_empty() && self.chance(0.6) {
            let index = *self.pick(&known);
            self.fragments[index].name.clone()
        } else if self.fragments.len() < MAX_FRAGMENTS && depth < MAX_DEPTH {
            let index = self.fragments.len();
            let name = format!("F{index}");
            self.fragments.push(Fragment { name: name.clone(), on: ty.into(), text: None });
            let text = self.selection(ty, depth + 1);
            self.fragments[index].text = Some(text);
            name
        } else {
            return "__typename".into();
        };
        format!("...{name}{}", self.directives(0.2))
    }

    /// Directives, with this chance at least one.
    fn directives(&mut self, share: f64) -> String {
        if self.mistake() {
            let others = [
                " @unknown",
                " @deprecated",
                " @skip",
                " @skip(if: null)",
                " @include(if: \"true\")",
                " @skip(if: true) @skip(if: true)",
                " @include(unless: true)",
                " @specifiedBy(url: \"u\")",
            ];
            return self.one(&others);
        }
        if !self.chance(share) {
            return String::new();
        }
        let mut names = BTreeSet::from([*self.pick(&["skip", "include"])]);
        if self.chance(0.2) {
            names.extend(["skip", "include"]);
        }
        let place = Input { name: "if".into(), ty: Type::new("Boolean!").unwrap(), has_default: false };
        let written = names.iter().map(|name| match self.chance(0.6) {
            true => format!(" @{name}(if: {})", self.variable(&place.ty, &place.name, false)),
            false => format!(" @{name}({})", self.argument(&place)),
        });
        written.collect()
    }

    /// The text with one character too many, too few, or replaced.
    fn garbled(&mut self, text: &str) -> String {
        let mut characters: Vec<char> = text.chars().collect();
        let at = self.rng.random_range(0..characters.len());
        let other = *self
            .pick(&['{', '}', '(', ')', '$', '!', '"', '\\', ':', '.', '0', '#', '&', '\u{feff}', '?', '@']);
        match self.rng.random_range(0..3) {
            0 => {
                characters.remove(at);
            }
            1 => characters.insert(at, other),
            _ => characters[at] = other,
        }
        characters.into_iter().collect()
    }

    /// Whether to make one of the mistakes here.
    pub(super) fn mistake(&mut self) -> bool {
        let is_made = self.mistakes > 0 && self.chance(0.02);
        self.mistakes -= u32::from(is_made);
        is_made
    }

    pub(super) fn chance(&mut self, share: f64) -> bool {
        self.rng.random_bool(share)
    }

    pub(super) fn one(&mut self, from: &[&str]) -> String {
        (*self.pick(from)).to_owned()
    }

    pub(super) fn pick<'b, T>(&mut self, from: &'b [T]) -> &'b T {
        &from[self.rng.random_range(0..from.len())]
    }
}
