//! docs/dependencies.md has one line for each direct dependency, and none for what is not. Licences and origins are checked
//! by tools/deny.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use cargo_metadata::MetadataCommand;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What a list names: lines that begin with a dash, a name in backticks, and in brackets who uses it.
fn listed(document: &str) -> Vec<&str> {
    let items = document.lines().filter_map(|line| line.strip_prefix("- `"));
    items.filter_map(|item| item.split_once("` (")).map(|(name, _)| name).collect()
}

#[test]
fn every_direct_dependency_has_one_line_that_says_what_it_is_for_and_nothing_else_has() {
    let mut command = MetadataCommand::new();
    command.manifest_path(root().join("Cargo.toml")).no_deps().other_options(["--offline".to_owned()]);
    let metadata = command.exec().expect("cargo describes the workspace");
    let dependencies = metadata.packages.iter().flat_map(|package| &package.dependencies);
    let direct: BTreeSet<&str> = dependencies
        .filter(|dependency| dependency.path.is_none())
        .map(|dependency| dependency.name.as_str())
        .collect();
    assert!(direct.len() > 20, "the workspace has dependencies: {direct:?}");
    let document = fs::read_to_string(root().join("docs/dependencies.md")).expect("the document");
    let lines = listed(&document);
    let named: BTreeSet<&str> = lines.iter().copied().collect();
    assert_eq!(named.len(), lines.len(), "docs/dependencies.md names one twice: {lines:?}");
    let missing: Vec<_> = direct.difference(&named).collect();
    assert!(missing.is_empty(), "docs/dependencies.md says nothing of {missing:?}");
    let unused: Vec<_> = named.difference(&direct).collect();
    assert!(unused.is_empty(), "docs/dependencies.md names {unused:?}, which nothing depends on");
}

#[test]
fn a_line_names_a_dependency_only_in_the_form_of_the_list() {
    let document = "- `one` (crates/a): reads\n| `two` | writes |\n- `three`: weighed\nin `four` (b)";
    assert_eq!(listed(document), ["one"]);
}
