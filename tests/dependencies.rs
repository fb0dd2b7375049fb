//! What we depend on: each direct dependency has its line in docs/dependencies.md, and all that is linked in has a licence
//! that deny.toml allows and comes from crates.io. Known defects need a database that is fetched: `cargo deny check` looks
//! them up where it is installed; this test needs no network.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use cargo_metadata::{Metadata, MetadataCommand};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// All packages, those of other systems left out: cargo has not fetched them.
fn metadata() -> Metadata {
    let mut command = MetadataCommand::new();
    command.manifest_path(root().join("Cargo.toml"));
    let target = target();
    let options = ["--offline", "--filter-platform", &target];
    command.other_options(options.map(str::to_owned)).exec().expect("cargo describes the workspace")
}

/// What this machine builds for, as rustc names it.
fn target() -> String {
    let output = std::process::Command::new("rustc").arg("-vV").output().expect("rustc is there");
    let said = String::from_utf8(output.stdout).expect("text");
    said.lines().find_map(|line| line.strip_prefix("host: ")).expect("it names its host").to_owned()
}

/// Whether a licence expression can be met by allowed licences alone.
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let flat = expression.replace(['(', ')'], " ").replace('/', " OR ");
    // No licence among our dependencies nests an OR inside an AND but with the Unicode licence, which is allowed.
    flat.split(" AND ").all(|part| part.split(" OR ").any(|one| allowed.contains(one.trim())))
}

#[test]
fn every_direct_dependency_says_what_it_is_for() {
    let document = text("docs/dependencies.md");
    let metadata = metadata();
    let ours = metadata.workspace_packages();
    let direct = ours.iter().flat_map(|package| &package.dependencies).filter(|dependency| dependency.path.is_none());
    let direct: BTreeSet<&str> = direct.map(|dependency| dependency.name.as_str()).collect();
    let missing: Vec<_> = direct
        .iter()
        .filter(|name| !document.contains(&format!("\n- `{name}` (")) && !document.contains(&format!("| `{name}` |")))
        .collect();
    assert!(missing.is_empty(), "docs/dependencies.md says nothing of {missing:?}");
}

#[test]
fn everything_linked_in_is_from_crates_io_under_an_allowed_licence() {
    let rules: toml::Table = text("deny.toml").parse().expect("deny.toml is TOML");
    let allowed = rules["licenses"]["allow"].as_array().expect("a list").iter();
    let allowed: BTreeSet<String> = allowed.map(|one| one.as_str().expect("a name").to_owned()).collect();
    let metadata = metadata();
    let resolved = &metadata.resolve.as_ref().expect("a graph").nodes;
    let used: BTreeSet<_> = resolved.iter().map(|node| &node.id).collect();
    let others = metadata.packages.iter().filter(|package| used.contains(&package.id));
    let mut seen = 0;
    for package in others.filter(|package| package.source.is_some()) {
        seen += 1;
        assert!(
            package.source.as_ref().is_some_and(|source| source.is_crates_io()),
            "{} is from elsewhere",
            package.name
        );
        let licence = package.license.as_deref().unwrap_or_default();
        assert!(is_allowed(licence, &allowed), "{} {}: {licence:?}", package.name, package.version);
    }
    assert!(seen > 20, "the graph is looked at");
}

#[test]
fn an_expression_is_allowed_only_if_each_of_its_parts_is() {
    let allowed = ["MIT", "Apache-2.0", "Unicode-3.0"].map(str::to_owned).into();
    for good in ["MIT", "MIT OR GPL-3.0", "Apache-2.0/MIT", "(MIT OR Apache-2.0) AND Unicode-3.0"] {
        assert!(is_allowed(good, &allowed), "{good}");
    }
    for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "LGPL-2.1 OR GPL-3.0"] {
        assert!(!is_allowed(bad, &allowed), "{bad}");
    }
}
