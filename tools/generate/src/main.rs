//! Makes the files that follow from the code, so that they can't say anything else.
//!
//! `cargo run -p generate` writes those that are part of the sources, the udev hardware database and the list of scanners;
//! `cargo test -p generate` tells which of them are not current. `cargo run -p generate -- FOLDER` writes what is made
//! when packaging, into a folder: the man pages with lists of commands and flags, and shell completions. It runs on the
//! machine that builds, whatever the package is for. Pages without a list are in man/ as they are.

mod completions;
mod hwdb;
mod page;
mod scanners;

use std::fs;
use std::io::{self, Write};
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
    here.parent().and_then(Path::parent).expect("tools/generate is two folders below the root").to_owned()
}

/// The programs' command lines, each with its man page.
fn programs() -> Vec<(&'static str, Command)> {
    let daemon = usbscan_daemon::args::command(usbscan_virtual::spec::help());
    let mut programs = vec![("usbscan.1", usbscan_cli::args::command()), ("usbscand.8", daemon)];
    programs.iter_mut().for_each(|(_, command)| command.build());
    programs
}

/// What is part of the sources.
fn for_the_sources() -> Vec<Rendered> {
    vec![
        Rendered { path: "udev/60-usbscan.hwdb".to_owned(), text: hwdb::render() },
        Rendered { path: "docs/scanners.md".to_owned(), text: scanners::render() },
    ]
}

/// What is made when packaging.
fn for_a_package() -> io::Result<Vec<Rendered>> {
    let mut files = Vec::new();
    for (page, command) in programs() {
        files.extend(completions::render(command.get_name(), &command));
        let template = fs::read_to_string(root().join(format!("man/{page}.in")))?;
        files.push(Rendered { path: format!("man/{page}"), text: page::render(&template, &command) });
    }
    Ok(files)
}

/// Each is written beside its name and renamed when it is whole.
fn write(root: &Path, files: &[Rendered], mut says: impl Write) -> io::Result<()> {
    for file in files {
        let path = root.join(&file.path);
        fs::create_dir_all(path.parent().expect("a file is in a folder"))?;
        let mut beside = path.clone().into_os_string();
        beside.push(".new");
        fs::write(&beside, &file.text)?;
        fs::rename(&beside, path)?;
    }
    // The reader may have closed the pipe; all files are written.
    let _ = files.iter().try_for_each(|file| writeln!(says, "{}", file.path));
    Ok(())
}

fn main() -> ExitCode {
    let written = match std::env::args_os().nth(1) {
        None => write(&root(), &for_the_sources(), io::stdout()),
        Some(folder) => for_a_package().and_then(|files| write(Path::new(&folder), &files, io::stdout())),
    };
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("generate: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As standard output is behind `| head -0`.
    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn all_files_are_written_though_nobody_reads_their_names() {
        let folder = std::env::temp_dir().join(format!("usbscan-generate-{}", std::process::id()));
        let file = |path: &str| Rendered { path: path.to_owned(), text: path.to_uppercase() };
        write(&folder, &[file("man/a"), file("b")], Closed).expect("it is written");
        let read = |path| fs::read_to_string(folder.join(path)).expect("it is there");
        assert_eq!((read("man/a"), read("b")), ("MAN/A".to_owned(), "B".to_owned()));
        assert_eq!(fs::read_dir(&folder).expect("a folder").count(), 2, "and nothing besides");
        fs::remove_dir_all(folder).expect("it is ours");
    }

    #[test]
    fn every_generated_file_of_the_sources_is_current() {
        let stale: Vec<_> = for_the_sources()
            .into_iter()
            .filter(|file| fs::read_to_string(root().join(&file.path)).ok().as_deref() != Some(&file.text))
            .map(|file| file.path)
            .collect();
        assert!(stale.is_empty(), "not current: {stale:?}; run: cargo run -p generate");
    }

    #[test]
    fn a_package_gets_a_page_and_completions_of_every_program_with_all_marks_filled_in() {
        let files = for_a_package().expect("the templates are there");
        for (page, command) in programs() {
            let name = command.get_name();
            let of_shells = [
                format!("completions/{name}.bash"),
                format!("completions/_{name}"),
                format!("completions/{name}.fish"),
            ];
            for path in of_shells.into_iter().chain([format!("man/{page}")]) {
                let file = files.iter().find(|file| file.path == path).unwrap_or_else(|| panic!("{path} is missing"));
                assert!(file.text.contains(name), "{path}");
                let is_mark = |line: &&str| line.len() > 2 && line.starts_with('@') && line.ends_with('@');
                assert_eq!(file.text.lines().find(is_mark), None, "{path}");
            }
        }
    }
}
