//! Every input that is kept for the fuzzer, through its target: what was found once stays mended, on machines without
//! libFuzzer too. The targets are the fuzzer's own files, since its workspace is none that others can depend on.

#[path = "../fuzz/src/targets/mod.rs"]
mod targets;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn inside(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

#[test]
fn every_input_that_is_kept_goes_through_its_target() {
    for (name, target) in targets::TARGETS {
        let inputs = inside(&corpus().join(name));
        assert!(!inputs.is_empty(), "{name} has no inputs");
        for input in inputs {
            println!("{}", input.display());
            target(&fs::read(&input).expect("an input"));
        }
    }
}

#[test]
fn every_folder_of_inputs_is_a_targets() {
    let folders = inside(&corpus());
    let folders: BTreeSet<_> = folders.iter().filter_map(|folder| folder.file_name()?.to_str()).collect();
    assert_eq!(folders, targets::TARGETS.iter().map(|target| target.0).collect());
}
