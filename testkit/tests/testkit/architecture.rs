//! The rules for dependencies between the crates, checked against what Cargo resolves.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, PackageId};

const SERVICES: [&str; 3] = ["order-service", "customer-service", "inventory-service"];

pub(crate) static WORKSPACE: LazyLock<Metadata> = LazyLock::new(|| {
    // One platform's packages, so that nothing has to be fetched for others.
    let version = Command::new("rustc").arg("-vV").output().unwrap().stdout;
    let version = String::from_utf8(version).unwrap();
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let options = ["--locked".to_owned(), format!("--filter-platform={host}")];
    MetadataCommand::new().manifest_path(root).other_options(options).exec().unwrap()
});

fn member(name: &str) -> &'static Package {
    let packages = WORKSPACE.workspace_packages();
    packages.into_iter().find(|package| package.name == name).unwrap_or_else(|| panic!("{name} is no member"))
}

/// The direct dependencies of what is shipped, those of tests left out.
fn dependencies(package: &'static Package) -> impl Iterator<Item = &'static str> {
    let shipped =
        package.dependencies.iter().filter(|dependency| dependency.kind != DependencyKind::Development);
    shipped.map(|dependency| dependency.name.as_str())
}

/// The members that depend directly on the crate or one of its family (`sea-orm-migration` is of `sea-orm`'s).
fn users_of(family: &str) -> BTreeSet<&'static str> {
    let members = WORKSPACE.workspace_packages().into_iter();
    members
        .filter(|member| dependencies(member).any(|name| is_of(family, name)))
        .map(|member| member.name.as_str())
        .collect()
}

fn is_of(family: &str, name: &str) -> bool {
    name.strip_prefix(family).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// Everything that is linked into the given packages, tests left out.
fn tree(roots: impl IntoIterator<Item = &'static PackageId>) -> Vec<&'static Package> {
    let nodes = &WORKSPACE.resolve.as_ref().unwrap().nodes;
    let nodes: HashMap<_, _> = nodes.iter().map(|node| (&node.id, node)).collect();
    let mut seen = HashSet::new();
    let mut open: Vec<&PackageId> = roots.into_iter().collect();
    while let Some(id) = open.pop() {
        if seen.insert(id) {
            let linked = |kinds: &[cargo_metadata::DepKindInfo]| {
                kinds.iter().any(|info| info.kind != DependencyKind::Development)
            };
            open.extend(nodes[id].deps.iter().filter(|dep| linked(&dep.dep_kinds)).map(|dep| &dep.pkg));
        }
    }
    seen.into_iter().map(|id| &WORKSPACE[id]).collect()
}

fn version(name: &str) -> String {
    let found: Vec<_> = WORKSPACE.packages.iter().filter(|package| package.name == name).collect();
    assert_eq!(found.len(), 1, "versions of {name}");
    found[0].version.to_string()
}

fn assert_only<const N: usize>(allowed: [&str; N], family: &str) {
    let users = users_of(family);
    let others: Vec<_> = users.iter().filter(|user| !allowed.contains(user)).collect();
    assert!(others.is_empty(), "{others:?} must not use {family}: only {allowed:?} may");
}

#[test]
fn schema_does_no_io() {
    let io = ["tokio", "lapin", "sea-orm", "sqlx", "axum", "reqwest", "futures"];

    let found: Vec<_> =
        dependencies(member("schema")).filter(|name| io.iter().any(|family| is_of(family, name))).collect();

    assert!(found.is_empty(), "schema depends on {found:?}");
}

#[test]
fn only_the_bus_speaks_amqp() {
    // `bench` measures what the same messages cost without the bus.
    assert_only(["bus", "bench"], "lapin");
}

#[test]
fn only_what_owns_tables_reaches_a_database() {
    let [order, customer, inventory] = SERVICES;
    assert_only([order, customer, inventory, "store", "migrations"], "sea-orm");
    // `store` for TLS and for lists of servers, which sea-orm does not hand on.
    assert_only(["embedded-broker", "store"], "sqlx");
}

#[test]
fn only_the_gateway_and_the_admin_endpoints_serve_http() {
    // `bench` measures what the same answers cost without the gateway.
    assert_only(["gateway", "service-kit", "waybill", "bench"], "axum");
}

#[test]
fn no_program_holds_the_bench() {
    assert_eq!(users_of("bench"), BTreeSet::new());
}

#[test]
fn the_gateway_holds_no_database_driver() {
    let drivers: Vec<_> = tree([&member("gateway").id])
        .into_iter()
        .map(|package| package.name.as_str())
        .filter(|name| {
            ["sea-orm", "sqlx", "libsqlite3", "rusqlite", "tokio-postgres"]
                .iter()
                .any(|family| is_of(family, name))
        })
        .collect();

    assert!(drivers.is_empty(), "the gateway's tree holds {drivers:?}");
}

#[test]
fn services_know_neither_each_other_nor_the_gateway() {
    for service in SERVICES {
        let foreign: Vec<_> = member(service)
            .dependencies
            .iter()
            .map(|dependency| dependency.name.as_str())
            .filter(|name| *name == "gateway" || *name == "waybill" || SERVICES.contains(name))
            // For its tests a crate enables a feature of its own.
            .filter(|name| *name != service)
            .collect();
        assert!(foreign.is_empty(), "{service} depends on {foreign:?}");
    }
    let below_gateway: Vec<_> =
        dependencies(member("gateway")).filter(|name| SERVICES.contains(name)).collect();
    assert!(below_gateway.is_empty(), "the gateway depends on {below_gateway:?}");
}

#[test]
fn ring_is_the_only_tls_provider() {
    let rivals = [
        "aws-lc-rs",
        "aws-lc-sys",
        "aws-lc-fips-sys",
        "native-tls",
        "openssl",
        "openssl-sys",
        "boring",
        "rustls-openssl",
    ];
    let names: BTreeSet<_> =
        tree(&WORKSPACE.workspace_members).into_iter().map(|package| package.name.as_str()).collect();

    let found: Vec<_> = rivals.iter().filter(|rival| names.contains(*rival)).collect();

    assert!(found.is_empty(), "beside ring there are {found:?}");
    assert!(names.contains("ring"), "nothing uses ring any more: this test guards the wrong provider");
}

#[test]
fn versions_that_behaviour_hangs_on_are_held() {
    assert_eq!(version("async-graphql"), "8.0.0-rc.5", "others break null propagation");
    let lapin: Vec<u64> = version("lapin").split('.').map(|part| part.parse().unwrap()).collect();
    assert!(lapin >= vec![4, 12, 3], "before 4.12.3 a recovered channel loses its prefetch: {lapin:?}");
}

#[test]
fn every_dependency_is_declared_once_in_the_workspace() {
    for member in WORKSPACE.workspace_packages() {
        let manifest: toml::Table = std::fs::read_to_string(&member.manifest_path).unwrap().parse().unwrap();
        let platforms = manifest.get("target").and_then(toml::Value::as_table);
        let sections = std::iter::once(&manifest)
            .chain(platforms.into_iter().flatten().filter_map(|(_, value)| value.as_table()));
        for section in sections {
            for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
                for (name, declaration) in
                    section.get(kind).and_then(toml::Value::as_table).into_iter().flatten()
                {
                    let inherited = declaration.get("workspace").and_then(toml::Value::as_bool);
                    assert_eq!(
                        inherited,
                        Some(true),
                        "{}: {name} must come from the workspace's table",
                        member.name
                    );
                }
            }
        }
    }
}
