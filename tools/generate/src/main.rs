//! Makes the files that follow from the code, so that they can't say anything else: the man pages' lists of commands
//! and flags, shell completions, the udev hardware database, and the list of scanners in docs/.
//!
//! `cargo run -p generate` writes them; `cargo test -p generate` tells which are not current. The rendered files are part of
//! the sources: whoever installs needs no Rust for them, and a change to a flag shows in the diff of its man page.

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

fn everything() -> io::Result<Vec<Rendered>> {
    let mut files = vec![
        Rendered { path: "udev/60-usbscan.hwdb".to_owned(), text: hwdb::render() },
        Rendered { path: "docs/scanners.md".to_owned(), text: scanners::render() },
    ];
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
    // Whoever reads this may have read enough; all is written.
    let _ = files.iter().try_for_each(|file| writeln!(says, "{}", file.path));
    Ok(())
}

fn main() -> ExitCode {
    match everything().and_then(|files| write(&root(), &files, io::stdout())) {
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
    fn every_rendered_file_is_current() {
        let stale: Vec<_> = everything()
            .expect("the templates are there")
            .into_iter()
            .filter(|file| fs::read_to_string(root().join(&file.path)).ok().as_deref() != Some(&file.text))
            .map(|file| file.path)
            .collect();
        assert!(stale.is_empty(), "not current: {stale:?}; run: cargo run -p generate");
    }
}
