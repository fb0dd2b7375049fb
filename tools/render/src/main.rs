//! Makes the files that follow from the code, so that they can't say anything else: the man pages' lists of commands
//! and flags, shell completions, and the udev hardware database.
//!
//! `cargo run -p render` writes them; `cargo test -p render` tells which are not current. The rendered files are part of
//! the sources: whoever installs needs no Rust for them, and a change to a flag shows in the diff of its man page.

mod completions;
mod hwdb;
mod page;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Command;

/// A file, from the root of the sources, and what it must hold.
struct Rendered {
    path: String,
    text: String,
}

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().and_then(Path::parent).expect("tools/render is two folders below the root").to_owned()
}

/// The programs' command lines, each with its man page.
fn programs() -> Vec<(&'static str, Command)> {
    let daemon = usbscan::daemon::args::command(virtual_scanner::spec::help());
    let mut programs = vec![("usbscan.1", usbscan::cli::args::command()), ("usbscand.8", daemon)];
    programs.iter_mut().for_each(|(_, command)| command.build());
    programs
}

fn everything() -> io::Result<Vec<Rendered>> {
    let mut files = vec![Rendered { path: "udev/60-usbscan.hwdb".to_owned(), text: hwdb::render() }];
    for (page, command) in programs() {
        files.extend(completions::render(command.get_name(), &command));
        let template = fs::read_to_string(root().join(format!("man/{page}.in")))?;
        files.push(Rendered { path: format!("man/{page}"), text: page::render(&template, &command) });
    }
    Ok(files)
}

fn write(files: &[Rendered]) -> io::Result<()> {
    for file in files {
        let path = root().join(&file.path);
        fs::create_dir_all(path.parent().expect("a file is in a folder"))?;
        fs::write(path, &file.text)?;
        println!("{}", file.path);
    }
    Ok(())
}

fn main() -> ExitCode {
    match everything().and_then(|files| write(&files)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("render: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rendered_file_is_current() {
        let stale: Vec<_> = everything()
            .expect("the templates are there")
            .into_iter()
            .filter(|file| fs::read_to_string(root().join(&file.path)).ok().as_deref() != Some(&file.text))
            .map(|file| file.path)
            .collect();
        assert!(stale.is_empty(), "not current: {stale:?}; run: cargo run -p render");
    }
}
