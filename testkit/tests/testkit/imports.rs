//! No two sibling modules of a crate import each other, directly or through others: a module can be read with what it
//! imports, and without what imports it. A parent and its children may know each other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::architecture::WORKSPACE;
use crate::fault_injection::files;

/// A module's path below the crate's root, such as `["orders", "query"]`; the root's own is empty.
type Module = Vec<String>;

#[test]
fn no_sibling_modules_import_each_other() {
    let mut circles = Vec::new();
    let mut imports = 0;
    for package in WORKSPACE.workspace_packages().into_iter().filter(|package| package.name != "testkit") {
        let sources = package.manifest_path.parent().unwrap().join("src");
        let edges = imports_of(sources.as_std_path());
        imports += edges.values().map(BTreeSet::len).sum::<usize>();
        circles.extend(circles_of(&edges).into_iter().map(|circle| format!("{}: {circle:?}", package.name)));
    }

    assert!(imports > 300, "only {imports} imports were found: the sources are not read as they are written");
    assert!(circles.is_empty(), "modules that import each other:\n{}", circles.join("\n"));
}

#[test]
fn a_circle_is_found_below_its_nearest_common_parent() {
    let module = |path: &str| path.split("::").map(str::to_owned).collect::<Module>();
    let edges = [("a::x", "b"), ("b", "c"), ("c::y", "a"), ("c::y", "c::z"), ("c", "c::y")];
    let mut graph: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
    for (from, to) in edges {
        graph.entry(module(from)).or_default().insert(module(to));
    }
    assert_eq!(circles_of(&graph), [BTreeSet::from([module("a"), module("b"), module("c")])]);
    assert_eq!(
        paths("crate::{a::{X, self}, b::Y as Z}"),
        [vec!["crate", "a", "X"], vec!["crate", "a", "self"], vec!["crate", "b", "Y"]]
    );
}

/// Each module's imports from other modules of its crate, those of unit tests left out.
fn imports_of(sources: &Path) -> BTreeMap<Module, BTreeSet<Module>> {
    let is_source = |file: &Path| !file.ends_with("main.rs") && !file.ends_with("tests.rs");
    let texts: BTreeMap<Module, String> = files(sources)
        .into_iter()
        .filter(|file| is_source(file))
        .map(|file| (module_of(file.strip_prefix(sources).unwrap()), std::fs::read_to_string(file).unwrap()))
        .collect();
    let edges = texts.iter().map(|(module, text)| {
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let code: Vec<&str> = code.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
        let named = names(&code.join("\n")).into_iter().map(|path| resolve(module, &path, &texts));
        (module.clone(), named.filter(|named| named != module).collect())
    });
    edges.collect()
}

fn module_of(file: &Path) -> Module {
    let file = file.with_extension("");
    let mut path: Module = file.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
    path.pop_if(|last| ["mod", "lib"].contains(&last.as_str()));
    path
}

/// Every path in the code that begins with `crate`, `self` or `super`.
fn names(code: &str) -> Vec<Vec<String>> {
    let mut named = Vec::new();
    for root in ["crate::", "super::", "self::"] {
        for (at, _) in code.match_indices(root) {
            if code[..at].ends_with(|before: char| before.is_alphanumeric() || "_:".contains(before)) {
                continue;
            }
            let is_import = code[..at].trim_end().ends_with("use");
            let is_outside =
                |c: char| if is_import { c == ';' } else { !(c.is_alphanumeric() || "_:".contains(c)) };
            let tree = code[at..].split(is_outside).next().unwrap_or_default();
            let owned = |path: Vec<&str>| path.into_iter().map(str::to_owned).collect();
            named.extend(paths(tree).into_iter().map(owned));
        }
    }
    named
}

/// The paths of a tree of imports.
fn paths(tree: &str) -> Vec<Vec<&str>> {
    let Some((prefix, group)) = tree.split_once('{') else {
        let path = tree.split_whitespace().next().unwrap_or_default();
        return vec![path.split("::").filter(|part| !part.is_empty()).collect()];
    };
    let prefix: Vec<&str> = prefix.trim().split("::").filter(|part| !part.is_empty()).collect();
    let group = group.rsplit_once('}').map_or(group, |(group, _)| group);
    let mut depth = 0;
    let members = group.split(|c: char| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    let members = members.filter(|member| !member.trim().is_empty());
    members.flat_map(paths).map(|path| [prefix.clone(), path].concat()).collect()
}

/// The module in which a path ends: what follows it in the path is an item of it.
fn resolve(from: &Module, path: &[String], modules: &BTreeMap<Module, String>) -> Module {
    let mut module = if path[0] == "crate" { Module::new() } else { from.clone() };
    for part in path {
        match part.as_str() {
            "crate" | "self" => {}
            "super" => drop(module.pop()),
            part => module.push(part.to_owned()),
        }
    }
    while !modules.contains_key(&module) && module.pop().is_some() {}
    module
}

/// The sets of siblings that reach each other; what lies below a sibling counts as a part of it.
fn circles_of(edges: &BTreeMap<Module, BTreeSet<Module>>) -> Vec<BTreeSet<Module>> {
    let mut siblings: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
    for (from, to) in edges.iter().flat_map(|(from, to)| to.iter().map(move |to| (from, to))) {
        let common = from.iter().zip(to).take_while(|(from, to)| from == to).count();
        if common < from.len().min(to.len()) {
            siblings.entry(from[..=common].to_vec()).or_default().insert(to[..=common].to_vec());
        }
    }
    let reached = |from: &Module| {
        let (mut reached, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(module) = open.pop() {
            open.extend(siblings.get(module).into_iter().flatten().filter(|&to| reached.insert(to.clone())));
        }
        reached
    };
    let all: BTreeMap<&Module, BTreeSet<Module>> =
        siblings.keys().map(|from| (from, reached(from))).collect();
    let circle = |(from, reached): (&&Module, &BTreeSet<Module>)| {
        let back = |to: &&Module| all.get(to).is_some_and(|back| back.contains(*from));
        reached.contains(*from).then(|| reached.iter().filter(back).cloned().collect())
    };
    let found: BTreeSet<BTreeSet<Module>> = all.iter().filter_map(circle).collect();
    found.into_iter().collect()
}
