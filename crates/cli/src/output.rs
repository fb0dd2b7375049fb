//! The file that a page goes to. A plain file appears under its name whole or not at all: it is written without a name
//! where the file system can do that (so that not even SIGKILL leaves anything), else beside its name, and put in place
//! at the end. What is no plain file (a terminal, a pipe, a device) is written as the bytes come.
//!
//! All that can go wrong with the name is found when it is opened: before anything is scanned.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

/// Why a page can't be written.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// Its folder is not there, or may not be written to.
    #[error("{} can't be written: {source}", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The name is a folder's.
    #[error("{} is a folder; -o needs the name of a file", .0.display())]
    Folder(PathBuf),
    /// There is no second descriptor for it.
    #[error("write a page: {0}")]
    Writer(#[source] io::Error),
    /// It was written and can't be put in place.
    #[error("{} can't be put in place: {source}", path.display())]
    Finish {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The name has two numbers in it.
    #[error("{} has more than one number in it; a file a page needs one, as in page-%03d.png", .0.display())]
    Numbers(PathBuf),
    /// Whoever started the program left it none.
    #[error("standard output is closed; say where to write with -o FILE")]
    Closed,
    /// A picture on a terminal helps nobody.
    #[error("standard output is a terminal; say where the page goes with -o FILE (or -o - to insist)")]
    Terminal,
}

/// A file beside its name, to be removed if the program ends early. Shared with the thread that hears of signals.
#[derive(Debug, Clone, Default)]
pub struct Leftover(Arc<Mutex<Option<PathBuf>>>);

impl Leftover {
    /// Removes it, if it is there.
    pub fn remove(&self) {
        if let Some(path) = self.0.lock().take() {
            // Whoever removed it before us did our work.
            let _ = std::fs::remove_file(path);
        }
    }

    fn set(&self, path: Option<PathBuf>) {
        *self.0.lock() = path;
    }
}

/// Where the bytes of a page go. Dropped unfinished it leaves nothing.
#[derive(Debug)]
pub struct Output {
    file: Target,
}

#[derive(Debug)]
enum Target {
    /// A plain file to be put in place.
    Replace { file: File, path: PathBuf, beside: Beside, leftover: Leftover },
    /// Standard output, a pipe, a device.
    Through(File),
}

/// How the file is kept until it is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Beside {
    Nameless,
    Named(PathBuf),
}

impl Output {
    /// Standard output.
    ///
    /// # Errors
    /// When the program has none.
    pub fn stdout() -> Result<Output, OutputError> {
        check_stdout()?;
        let file = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)
            .map_err(|errno| OutputError::Create { path: "standard output".into(), source: errno.into() })?;
        Ok(Output { file: Target::Through(file.into()) })
    }

    /// The file of this name, which keeps what it holds until [`Output::finish`].
    ///
    /// # Errors
    /// When it could not be written in the end.
    pub fn create(path: &Path, leftover: &Leftover) -> Result<Output, OutputError> {
        let fail = |source: Errno| OutputError::Create { path: path.to_owned(), source: source.into() };
        let file = match rustix::fs::stat(path) {
            Ok(found) => match FileType::from_raw_mode(found.st_mode) {
                FileType::Directory => return Err(OutputError::Folder(path.to_owned())),
                FileType::RegularFile => replace(&real_name(path).map_err(fail)?, leftover, Some(&found)),
                _ => rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOCTTY, Mode::empty())
                    .map(|file| Target::Through(file.into())),
            },
            Err(Errno::NOENT) => replace(path, leftover, None),
            Err(errno) => Err(errno),
        };
        Ok(Output { file: file.map_err(fail)? })
    }

    /// What writes to it.
    ///
    /// # Errors
    /// When the process has no descriptors left.
    pub fn writer(&self) -> Result<File, OutputError> {
        self.file().try_clone().map_err(OutputError::Writer)
    }

    /// Bytes that it has, where it is a plain file.
    pub fn length(&self) -> Option<u64> {
        self.file().metadata().ok().filter(|found| found.is_file()).map(|found| found.len())
    }

    /// Whether it is a plain file, empty yet, of which every byte can be replaced until it is put in place.
    pub fn is_plain(&self) -> bool {
        matches!(self.file, Target::Replace { .. })
    }

    fn file(&self) -> &File {
        let (Target::Replace { file, .. } | Target::Through(file)) = &self.file;
        file
    }

    /// Puts the file in place under its name.
    ///
    /// # Errors
    /// When the system refuses; then the name keeps what it had.
    pub fn finish(self) -> Result<(), OutputError> {
        let Target::Replace { file, path, beside, leftover } = &self.file else { return Ok(()) };
        let fail = |source: Errno| OutputError::Finish { path: path.clone(), source: source.into() };
        let beside = match beside {
            Beside::Named(beside) => beside.clone(),
            Beside::Nameless => name_it(file, path, leftover).map_err(fail)?,
        };
        rustix::fs::rename(&beside, path).map_err(fail)?;
        leftover.set(None);
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Target::Replace { leftover, .. } = &self.file {
            leftover.remove();
        }
    }
}

/// Whether the program has a standard output. Rust's runtime opens /dev/null in the place of one that is closed, for reading
/// and writing, which `> /dev/null` does not: there a page that nobody wants is no error.
///
/// # Errors
/// [`OutputError::Closed`].
pub fn check_stdout() -> Result<(), OutputError> {
    let stdout = rustix::stdio::stdout();
    let null = || rustix::fs::stat("/dev/null").map(|null| null.st_rdev);
    let stands_in = |found: rustix::fs::Stat| {
        let device = FileType::from_raw_mode(found.st_mode) == FileType::CharacterDevice;
        device && null() == Ok(found.st_rdev) && rustix::fs::fcntl_getfl(stdout).is_ok_and(both_ways)
    };
    if rustix::fs::fstat(stdout).is_ok_and(stands_in) { Err(OutputError::Closed) } else { Ok(()) }
}

fn both_ways(flags: OFlags) -> bool {
    flags & OFlags::RWMODE == OFlags::RDWR
}

/// What a link leads to, so that the link stays and its target is replaced.
fn real_name(path: &Path) -> Result<PathBuf, Errno> {
    std::fs::canonicalize(path).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

fn replace(path: &Path, leftover: &Leftover, before: Option<&rustix::fs::Stat>) -> Result<Target, Errno> {
    if path.file_name().is_none() {
        return Err(Errno::ISDIR);
    }
    if before.is_some() {
        // What may not be written is not replaced either, though its folder would allow that.
        rustix::fs::access(path, rustix::fs::Access::WRITE_OK)?;
    }
    let (file, beside) = match nameless(&folder(path)) {
        Some(file) => (file, Beside::Nameless),
        None => {
            let (file, name) = first_free(path, |name| {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                rustix::fs::open(name, flags, NEW_FILE).map(File::from)
            })?;
            leftover.set(Some(name.clone()));
            (file, Beside::Named(name))
        }
    };
    if let Some(before) = before {
        // Best effort: the page matters more than the bits of the file before it.
        let _ = rustix::fs::fchmod(&file, Mode::from_raw_mode(before.st_mode & 0o777));
    }
    Ok(Target::Replace { file, path: path.to_owned(), beside, leftover: leftover.clone() })
}

/// Read and write for all, less what the umask takes away.
const NEW_FILE: Mode = Mode::from_raw_mode(0o666);

fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => ".".into(),
    }
}

/// Not every file system can (NFS, FAT); any error is found again when a named file is tried.
fn nameless(folder: &Path) -> Option<File> {
    let file = rustix::fs::open(folder, OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC, NEW_FILE).ok()?;
    // It gets its name through /proc, which some containers lack.
    let reachable = rustix::fs::stat(through_proc(&file)).is_ok();
    reachable.then(|| file.into())
}

fn through_proc(file: &impl std::os::fd::AsRawFd) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

fn name_it(file: &File, path: &Path, leftover: &Leftover) -> Result<PathBuf, Errno> {
    let source = through_proc(file);
    let link = |name: &Path| rustix::fs::linkat(CWD, source.as_str(), CWD, name, AtFlags::SYMLINK_FOLLOW);
    let ((), name) = first_free(path, link)?;
    leftover.set(Some(name.clone()));
    Ok(name)
}

/// Tries names beside `path` until one is free.
fn first_free<T>(path: &Path, make: impl Fn(&Path) -> Result<T, Errno>) -> Result<(T, PathBuf), Errno> {
    let name = path.file_name().expect("checked when it was opened").to_string_lossy();
    // A name may have 255 bytes at most.
    let name: String = name.chars().take(50).collect();
    let mut number = 0;
    loop {
        let beside = folder(path).join(format!(".{name}.usbscan-{}-{number}", std::process::id()));
        match make(&beside) {
            Err(Errno::EXIST) if number < 1000 => number += 1,
            made => return made.map(|made| (made, beside)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").file_name());
        let mut names: Vec<String> = entries.map(|name| name.to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn write(path: &Path, text: &str) -> Output {
        let output = Output::create(path, &Leftover::default()).expect("it opens");
        output.writer().expect("a second descriptor").write_all(text.as_bytes()).expect("it is written");
        output
    }

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("page.png");
        fs::write(&path, "old").expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("its bits");
        drop(write(&path, "half"));
        assert_eq!(fs::read_to_string(&path).expect("a file"), "old");
        let output = write(&path, "whole");
        assert_eq!(fs::read_to_string(&path).expect("a file"), "old");
        assert_eq!(output.length(), Some(5));
        output.finish().expect("it is put in place");
        assert_eq!(fs::read_to_string(&path).expect("a file"), "whole");
        assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o640);
        assert_eq!(names(folder.path()), ["page.png"], "and nothing beside it");
    }

    #[test]
    fn a_name_beside_it_is_removed_by_whoever_hears_of_the_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let leftover = Leftover::default();
        let beside = folder.path().join("beside");
        fs::write(&beside, "half").expect("a file");
        leftover.set(Some(beside));
        leftover.remove();
        leftover.remove();
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn a_link_stays_and_what_it_leads_to_is_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, link) = (folder.path().join("page.png"), folder.path().join("link.png"));
        fs::write(&path, "old").expect("a file");
        symlink("page.png", &link).expect("a link");
        write(&link, "new").finish().expect("it is put in place");
        assert_eq!(fs::read_to_string(&path).expect("a file"), "new");
        assert!(fs::symlink_metadata(&link).expect("a link").is_symlink());
    }

    #[test]
    fn what_is_no_plain_file_is_written_through() {
        write(Path::new("/dev/null"), "gone").finish().expect("nothing to put in place");
    }

    #[test]
    fn a_bad_name_is_found_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let open = |path: &Path| Output::create(path, &Leftover::default()).map(drop);
        assert!(matches!(open(folder.path()), Err(OutputError::Folder(_))));
        assert!(matches!(open(&folder.path().join("no/page.png")), Err(OutputError::Create { .. })));
        let long = "x".repeat(255);
        write(&folder.path().join(&long), "a").finish().expect("255 bytes are a name");
        assert_eq!(names(folder.path()), [long]);
    }
}
