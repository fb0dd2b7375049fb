//! The architecture, held: which of our crates may use which, which modules use each other in a circle, and what every file
//! opens with. Where unsafe code may stand is the compiler's matter, once every crate takes the lints that forbid it.
//! Reads `cargo metadata` and the source files; builds nothing and needs no network.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

#[path = "architecture/modules.rs"]
mod modules;

/// The arrows between our crates, as docs/architecture.md draws them. An arrow that is not here needs a reason there.
const ARROWS: &[(&str, &[&str])] = &[
    (
        "usbscan",
        &["usbscan-cli", "usbscan-daemon", "usbscan-libusb", "usbscan-sane-host", "usbscan-usb", "usbscan-virtual"],
    ),
    (
        "usbscan-cli",
        &[
            "usbscan-client",
            "usbscan-daemon",
            "usbscan-escl",
            "usbscan-image",
            "usbscan-scan",
            "usbscan-virtual",
            "usbscan-wire",
        ],
    ),
    ("usbscan-daemon", &["usbscan-escl", "usbscan-shm", "usbscan-usb", "usbscan-wire"]),
    ("usbscan-shm", &[]),
    ("usbscan-usb", &["usbscan-shm"]),
    ("usbscan-libusb", &["usbscan-shm", "usbscan-usb"]),
    ("usbscan-virtual", &["usbscan-usb"]),
    ("vscan", &["usbscan-usb", "usbscan-virtual"]),
    ("generate", &["usbscan-cli", "usbscan-daemon", "usbscan-virtual"]),
    ("testkit", &["usbscan-daemon", "usbscan-libusb", "usbscan-shm", "usbscan-usb", "usbscan-virtual", "usbscan-wire"]),
    ("usbscan-wire", &[]),
    ("usbscan-client", &["usbscan-shm", "usbscan-wire"]),
    ("usbscan-libusb-dropin", &["usbscan-wire"]),
    ("usbscan-escl", &[]),
    ("usbscan-sane-protocol", &["usbscan-wire"]),
    ("usbscan-sane-host", &["usbscan-sane-protocol"]),
    ("usbscan-scan", &["usbscan-client", "usbscan-escl", "usbscan-sane-protocol"]),
    ("usbscan-image", &["usbscan-scan"]),
    ("usbscan-sane", &["usbscan-client", "usbscan-scan"]),
];

/// What any crate's tests may use besides: the seam, the protocol, and scanners to test with.
const FOR_TESTS: &[&str] =
    &["usbscan-shm", "usbscan-usb", "usbscan-wire", "usbscan-virtual", "usbscan-client", "usbscan-libusb", "testkit"];

/// What one crate's tests may use besides that: tests/sane has Debian's programs load the backend that cargo built,
/// tests/corpus.rs has the fuzzer's targets.
const FOR_TESTS_OF: &[(&str, &[&str])] = &[(
    "usbscan",
    &["usbscan-sane", "usbscan-libusb-dropin", "usbscan-scan", "usbscan-image", "usbscan-escl", "vscan"],
)];

/// Where unsafe code is fenced: libusb's callbacks, libusb's C interface and SANE's, from both sides, memory that two processes
/// share.
const FENCED: &[&str] =
    &["usbscan-libusb", "usbscan-libusb-dropin", "usbscan-sane", "usbscan-sane-host", "usbscan-shm"];

/// A file longer than this hides a second noun.
const LINES: usize = 600;
/// Longer files, each with its reason: only lists and tables may be.
const LONG: &[(&str, &str)] = &[];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn workspace() -> Metadata {
    let mut command = MetadataCommand::new();
    command.manifest_path(root().join("Cargo.toml")).no_deps().other_options(["--offline".to_owned()]);
    command.exec().expect("cargo describes the workspace")
}

/// The dependencies among our own crates: those that cargo finds by path.
fn ours(package: &Package, kind: DependencyKind) -> BTreeSet<&str> {
    let of_kind = package.dependencies.iter().filter(|one| one.kind == kind && one.path.is_some());
    of_kind.map(|one| one.name.as_str()).collect()
}

fn arrows_of(name: &str) -> BTreeSet<&'static str> {
    let row = ARROWS.iter().find(|row| row.0 == name);
    let row = row.unwrap_or_else(|| panic!("{name} is not in ARROWS: draw it, here and in docs/architecture.md"));
    row.1.iter().copied().collect()
}

/// Every Rust file of the project with its path from the root.
fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for folder in ["src", "crates", "tools", "tests", "benches", "fuzz"] {
        walk(&root().join(folder), &mut found);
    }
    assert!(found.len() > 20, "the walk finds the sources");
    found
}

fn walk(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.map(|entry| entry.expect("a folder that reads").path()) {
        if path.is_dir() && !path.ends_with("target") {
            walk(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source file is text");
            found.push((path.strip_prefix(root()).expect("below the root").to_owned(), text));
        }
    }
}

fn assert_none(found: &[String], rule: &str) {
    assert!(found.is_empty(), "{rule}:\n{}", found.join("\n"));
}

#[test]
fn our_crates_use_each_other_only_along_the_drawn_arrows() {
    for package in workspace().packages {
        let allowed = arrows_of(&package.name);
        let used = ours(&package, DependencyKind::Normal);
        let extra: Vec<_> = used.difference(&allowed).collect();
        assert!(extra.is_empty(), "{} may not use {extra:?}", package.name);
        let at_build = ours(&package, DependencyKind::Build);
        assert!(at_build.is_empty(), "{} may use none of ours while it is built: {at_build:?}", package.name);
    }
}

#[test]
fn tests_of_a_crate_may_use_scanners_and_the_seams_but_nothing_above_it() {
    for package in workspace().packages {
        let mut allowed = arrows_of(&package.name);
        allowed.extend(FOR_TESTS);
        allowed.extend(FOR_TESTS_OF.iter().filter(|row| row.0 == package.name).flat_map(|row| row.1));
        let used = ours(&package, DependencyKind::Development);
        let extra: Vec<_> = used.difference(&allowed).collect();
        assert!(extra.is_empty(), "the tests of {} may not use {extra:?}", package.name);
    }
}

#[test]
fn every_crate_takes_the_workspaces_lints_which_forbid_unsafe_code() {
    let read = |path: &Path| -> toml::Table {
        fs::read_to_string(path).expect("a manifest reads").parse().expect("a manifest is TOML")
    };
    let forbidden = &read(&root().join("Cargo.toml"))["workspace"]["lints"]["rust"]["unsafe_code"];
    assert_eq!(forbidden.as_str(), Some("forbid"));
    for package in workspace().packages {
        if FENCED.contains(&package.name.as_str()) {
            continue;
        }
        let manifest = read(package.manifest_path.as_std_path());
        let inherits = manifest.get("lints").and_then(|lints| lints.get("workspace")).and_then(toml::Value::as_bool);
        assert_eq!(inherits, Some(true), "{} takes the workspace's lints", package.name);
    }
}

#[test]
fn no_modules_of_a_crate_use_each_other_in_a_circle() {
    let mut wrong = Vec::new();
    for package in workspace().packages {
        for target in &package.targets {
            wrong.extend(modules::circles(target.src_path.as_std_path()).into_iter().map(|circle| {
                let members: Vec<_> = circle.members.into_iter().collect();
                format!("{}: {}\n    {}", target.name, members.join(", "), circle.arrows.join("\n    "))
            }));
        }
    }
    assert_none(&wrong, "circles of modules: let one of them know less, or join what is one thing");
}

/// Writes a crate's files, and names the members of each circle in it.
fn circles_of(files: &[(&str, &str)]) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
    let found = modules::circles(&folder.path().join("lib.rs"));
    found.iter().map(|circle| circle.members.iter().cloned().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn a_circle_of_modules_is_found_however_it_is_spelt() {
    let root = ("lib.rs", "pub mod a; pub mod b; pub use b::B;");
    let a = ("a.rs", "pub struct A; fn uses(_: crate::b::B) {}");
    assert_eq!(circles_of(&[root, a, ("b.rs", "pub struct B;")]), [""; 0], "an arrow is no circle");
    for b in [
        "use crate::a::A; pub struct B;",
        "use super::a::{self as other, A}; pub struct B;",
        "use crate::*; pub struct B; type Other = a::A;",
        "pub struct B; fn late() { let _ = vec![crate::a::A]; }",
        "pub struct B; fn late() { use super::a; }",
    ] {
        assert_eq!(circles_of(&[root, a, ("b.rs", b)]), ["a b"], "{b}");
    }
    let by_reexport = ("a.rs", "pub struct A; fn uses(_: crate::B) {}");
    assert_eq!(circles_of(&[root, by_reexport, ("b.rs", "use crate::a::A; pub struct B;")]), ["a b"]);
    let in_tests = "pub struct B; #[cfg(test)] mod tests { use crate::a::A; }";
    assert_eq!(circles_of(&[root, a, ("b.rs", in_tests)]), [""; 0], "tests may use anything");
}

#[test]
fn folders_of_modules_make_a_circle_though_their_files_do_not() {
    let root = ("lib.rs", "mod a; mod b;");
    let files = [
        root,
        ("a/mod.rs", "mod one; mod two;"),
        ("a/one.rs", "use crate::b::one::X;"),
        ("a/two.rs", "pub struct Y;"),
        ("b/mod.rs", "pub mod one; mod two;"),
        ("b/one.rs", "pub struct X;"),
        ("b/two.rs", "use crate::a::two::Y;"),
    ];
    assert_eq!(circles_of(&files), ["a b"]);
}

#[test]
fn a_private_child_may_use_its_parent_and_a_public_one_not() {
    let child = ("a/child.rs", "use super::A; pub fn step(_: A) {}");
    let root = ("lib.rs", "pub mod a;");
    let private = ("a.rs", "mod child; pub struct A; fn go() { child::step(A); }");
    let public = ("a.rs", "pub mod child; pub struct A; fn go() { child::step(A); }");
    assert_eq!(circles_of(&[root, private, child]), [""; 0]);
    assert_eq!(circles_of(&[root, public, child]), ["a a::child"]);
    // A private child is its parent's: what it uses must not use the parent.
    let reaches = ("a/child.rs", "use crate::b::B;");
    let back = ("b.rs", "pub struct B; use crate::a::A;");
    assert_eq!(
        circles_of(&[("lib.rs", "mod a; mod b;"), ("a.rs", "mod child; pub struct A;"), reaches, back]),
        ["a b"]
    );
}

#[test]
fn every_file_says_what_it_is_for() {
    let files = sources().into_iter().filter(|(_, text)| !text.trim_start().starts_with("//!"));
    let found: Vec<_> = files.map(|(path, _)| path.display().to_string()).collect();
    assert_none(&found, "files that do not open with //!");
}

#[test]
fn no_file_is_longer_than_one_noun_needs() {
    let excepted = |path: &Path| LONG.iter().any(|long| path == Path::new(long.0));
    let files = sources().into_iter().map(|(path, text)| (path, text.lines().count()));
    let long = files.filter(|(path, lines)| *lines > LINES && !excepted(path));
    let found: Vec<_> = long.map(|(path, lines)| format!("{}: {lines} lines", path.display())).collect();
    assert_none(&found, "files too long; split them, or say in LONG why they are lists or tables");
}

/// The `file::name` of tests in a document: in backticks, both halves in small letters and underlines.
fn tests_named_in(document: &str) -> Vec<(&str, &str)> {
    let small = |text: &str| text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    let quoted = document.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    let pairs = quoted.filter_map(|text| text.split_once("::"));
    pairs.filter(|pair| *pair != ("file", "name") && small(pair.0) && small(pair.1)).collect()
}

#[test]
fn the_tests_that_documents_name_exist() {
    let sources = sources();
    // `queue::name` stands in queue.rs, or in queue/mod.rs, or in a file of the test tests/queue/.
    let holds = |file: &str, name: &str| {
        let stated = sources.iter().filter(|(path, _)| {
            path.file_stem().is_some_and(|stem| stem == file)
                || path.parent().is_some_and(|above| above.ends_with(file))
        });
        stated
            .into_iter()
            .any(|(_, text)| text.contains(&format!("fn {name}(")) || text.contains(&format!("{name},\n")))
    };
    let mut found = Vec::new();
    for document in ["docs/windows.md", "docs/architecture.md", "SECURITY.md"] {
        let text = fs::read_to_string(root().join(document)).unwrap_or_default();
        let missing = tests_named_in(&text).into_iter().filter(|(file, name)| !holds(file, name));
        found.extend(missing.map(|(file, name)| format!("{document}: {file}::{name}")));
    }
    assert_none(&found, "tests that a document names and nobody wrote");
}

/// The paths that a document names in backticks: those with a folder's slash or the ending of a file of ours.
fn paths_named_in(document: &str) -> Vec<&str> {
    let is_path = |text: &&str| {
        let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c));
        let ours = ["crates/", "docs/", "quirks/", "src/", "systemd/", "tests/", "tools/", "udev/"];
        plain && (text.ends_with(".rs") || ours.iter().any(|folder| text.starts_with(folder)))
    };
    document.lines().flat_map(|line| line.split('`').skip(1).step_by(2)).filter(is_path).collect()
}

#[test]
fn the_files_that_documents_name_exist() {
    let sources = sources();
    // `queue/mod.rs` may stand for the file of that name in any crate.
    let exists = |path: &str| root().join(path).exists() || sources.iter().any(|(source, _)| source.ends_with(path));
    let mut found = Vec::new();
    for document in ["README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/architecture.md", "docs/windows.md"] {
        let text = fs::read_to_string(root().join(document)).expect("a document reads");
        let missing = paths_named_in(&text).into_iter().filter(|path| !exists(path));
        found.extend(missing.map(|path| format!("{document}: {path}")));
    }
    assert_none(&found, "files that a document names and that are not there");
    assert_eq!(paths_named_in("`a/b.rs`, `crates/c` and `list`\n`tests/*.rs`"), ["a/b.rs", "crates/c"]);
}

/// Columns of a line of Markdown. A row of a table of numbers may be longer.
const COLUMNS: usize = 120;

/// Every Markdown file below a folder, what cargo builds left out.
fn markdown(folder: &Path, found: &mut Vec<PathBuf>) {
    for path in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("a folder that reads").path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && !name.starts_with('.') && name != "target" {
            markdown(&path, found);
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
}

#[test]
fn lines_of_documents_fit_into_120_columns() {
    let mut documents = Vec::new();
    markdown(root(), &mut documents);
    assert!(documents.len() > 20, "the walk finds the documents");
    let mut long = Vec::new();
    for document in documents {
        let text = fs::read_to_string(&document).expect("a document is text");
        let lines = text.lines().zip(1..).filter(|(line, _)| line.chars().count() > COLUMNS && !line.starts_with('|'));
        long.extend(lines.map(|(_, number)| format!("{}:{number}", document.display())));
    }
    assert_none(&long, "lines that are too long");
}

#[test]
fn every_guarantee_of_security_md_names_the_tests_that_show_it() {
    let text = fs::read_to_string(root().join("SECURITY.md")).expect("it is there");
    let mut found = Vec::new();
    let (_, rest) = text.split_once("## Not trusted\n").expect("what is not trusted");
    let (entries, _) = rest.split_once("\n## ").expect("something behind it");
    for entry in entries.split("\n- **").skip(1) {
        let shown = entry.split_once("  - test:").map(|(_, shown)| shown);
        let is_shown = shown.is_some_and(|shown| {
            !tests_named_in(shown).is_empty() || !paths_named_in(shown).is_empty() || shown.contains("tests")
        });
        if !is_shown || shown.is_some_and(|shown| shown.contains('…')) {
            found.push(format!("no test: {}", entry.lines().next().unwrap_or_default()));
        }
    }
    assert_none(&found, "what SECURITY.md says and nothing shows");
}
