//! The output file. A regular file appears complete or not at all: it is written to an unnamed temporary file (O_TMPFILE)
//! where the file system supports that, so that not even SIGKILL leaves anything behind, otherwise to a temporary name
//! in the same folder, and renamed at the end. Pipes, terminals and devices are written directly.
//!
//! Errors of the path are found when it is opened, before anything is scanned.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;

use super::interrupt::Interrupts;

#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    #[error("can't write {}: {source}", path.display())]
    Create { path: PathBuf, source: io::Error },
    /// In the middle of it, or at its end: a full disk.
    #[error("can't write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{} is a directory", .0.display())]
    Folder(PathBuf),
    /// Out of file descriptors.
    #[error("can't write the page: {0}")]
    Writer(#[source] io::Error),
    /// Numbered files of an earlier batch.
    #[error("{} exists{}; use --overwrite to replace, or --start to continue after them", path.display(), and_more(*others))]
    Exists { path: PathBuf, others: usize },
    /// The file exists and can be written, but not replaced: it is a mount point, or another user's in a folder with the
    /// sticky bit.
    #[error("can't replace {}: {reason}", path.display())]
    NotReplaceable { path: PathBuf, reason: &'static str, source: io::Error },
    /// The page was written, but the final rename failed.
    #[error("can't rename to {}: {source}; the complete file is {}", path.display(), kept.display())]
    Finish { path: PathBuf, kept: PathBuf, source: io::Error },
    #[error("{}: more than one %d; use one, as in page-%03d.png", .0.display())]
    Numbers(PathBuf),
    #[error("standard output is closed; use -o FILE")]
    Closed,
    #[error("standard output is a terminal; use -o FILE (or -o - to write to the terminal)")]
    Terminal,
}

fn and_more(count: usize) -> String {
    match count {
        0 => String::new(),
        1 => ", and 1 more".to_owned(),
        count => format!(", and {count} more"),
    }
}

/// The temporary file to remove if the program ends early. Shared with the signal thread.
#[derive(Debug, Clone, Default)]
pub struct TempFileGuard(Arc<Mutex<Option<PathBuf>>>);

impl TempFileGuard {
    pub fn remove(&self) {
        if let Some(path) = self.0.lock().take() {
            let _ = std::fs::remove_file(path);
        }
    }

    fn set(&self, path: Option<PathBuf>) {
        *self.0.lock() = path;
    }
}

/// An open output. Dropped without [`Output::finish`], it leaves no file.
#[derive(Debug)]
pub struct Output {
    file: Target,
}

#[derive(Debug)]
enum Target {
    /// A regular file, renamed at the end.
    Replace { file: File, path: PathBuf, temp: TempName, temp_file: TempFileGuard },
    /// Standard output, a pipe, a terminal or a device.
    Direct(File),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum TempName {
    /// O_TMPFILE.
    Unnamed,
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
        Ok(Output { file: Target::Direct(file.into()) })
    }

    /// Opens a file. An existing one keeps its contents until [`Output::finish`].
    ///
    /// # Errors
    /// When the path can't be written.
    pub fn create(path: &Path, temp_file: &TempFileGuard) -> Result<Output, OutputError> {
        let fail = |source: Errno| OutputError::Create { path: path.to_owned(), source: source.into() };
        let file = match rustix::fs::stat(path) {
            Ok(found) => match FileType::from_raw_mode(found.st_mode) {
                FileType::Directory => return Err(OutputError::Folder(path.to_owned())),
                FileType::RegularFile => {
                    let path = real_name(path).map_err(fail)?;
                    check_replaceable(&path, &found)?;
                    replace(&path, temp_file, Some(&found))
                }
                _ => rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOCTTY, Mode::empty())
                    .map(|file| Target::Direct(file.into())),
            },
            Err(Errno::NOENT) => replace(&target_of_dangling_link(path).map_err(fail)?, temp_file, None),
            Err(errno) => Err(errno),
        };
        Ok(Output { file: file.map_err(fail)? })
    }

    /// A second descriptor to write to.
    ///
    /// # Errors
    /// When the process is out of file descriptors.
    pub fn writer(&self) -> Result<File, OutputError> {
        self.file().try_clone().map_err(OutputError::Writer)
    }

    /// The same for what may have to wait for a reader: a pipe, a terminal. A signal ends that waiting.
    ///
    /// # Errors
    /// As [`Output::writer`].
    pub fn interruptible(&self, interrupts: Option<Interrupts>) -> Result<Interruptible, OutputError> {
        let file = self.writer()?;
        let kind = rustix::fs::fstat(&file).map(|found| FileType::from_raw_mode(found.st_mode));
        let waits = matches!(kind, Ok(FileType::Fifo | FileType::Socket | FileType::CharacterDevice));
        Ok(Interruptible { file, interrupts: interrupts.filter(|_| waits), signalled: None, gave_up: false })
    }

    /// The length so far, of a regular file.
    pub fn length(&self) -> Option<u64> {
        self.file().metadata().ok().filter(|found| found.is_file()).map(|found| found.len())
    }

    /// Whether it is a regular file, which is seekable.
    pub fn is_regular(&self) -> bool {
        matches!(self.file, Target::Replace { .. })
    }

    /// Where the file is, links followed; `None`: it is no regular file.
    pub fn folder(&self) -> Option<PathBuf> {
        match &self.file {
            Target::Replace { path, .. } => Some(folder(path)),
            Target::Direct(_) => None,
        }
    }

    fn file(&self) -> &File {
        let (Target::Replace { file, .. } | Target::Direct(file)) = &self.file;
        file
    }

    /// Renames the file to its final name.
    ///
    /// # Errors
    /// When the rename fails; then an existing file is unchanged.
    pub fn finish(self) -> Result<(), OutputError> {
        let Target::Replace { file, path, temp, temp_file } = &self.file else { return Ok(()) };
        let not_linked = |source: Errno| OutputError::Create { path: path.clone(), source: source.into() };
        let temp = match temp {
            TempName::Named(temp) => temp.clone(),
            TempName::Unnamed => link_temp_name(file, path, temp_file).map_err(not_linked)?,
        };
        let renamed = rustix::fs::rename(&temp, path);
        // Renamed or not, the complete file stays.
        temp_file.set(None);
        renamed.map_err(|source| OutputError::Finish { path: path.clone(), kept: temp, source: source.into() })
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Target::Replace { temp_file, .. } = &self.file {
            temp_file.remove();
        }
    }
}

/// How long after a signal a reader may take nothing. One that reads gets what belongs to a page; whoever pressed Ctrl-C has
/// their prompt in 0.3 s, the scanner's part of that included.
const PATIENCE: Duration = Duration::from_millis(100);

/// How long after a signal a reader that takes a little now and then may keep this program.
const ALL_PATIENCE: Duration = Duration::from_secs(1);

/// Bytes that a pipe which takes anything takes without waiting: PIPE_BUF, on Linux.
const WITHOUT_WAITING: usize = 4096;

/// A writer that a signal ends when nobody reads what it writes.
#[derive(Debug)]
pub struct Interruptible {
    file: File,
    /// `None`: it never waits for long.
    interrupts: Option<Interrupts>,
    /// When it was first written to after a signal.
    signalled: Option<Instant>,
    gave_up: bool,
}

impl Write for Interruptible {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(interrupts) = &self.interrupts else { return self.file.write(bytes) };
        if interrupts.caught().is_some() {
            self.gave_up |= self.signalled.get_or_insert_with(Instant::now).elapsed() > ALL_PATIENCE;
        }
        self.gave_up = self.gave_up || !interrupts.writable(self.file.as_fd(), PATIENCE)?;
        if self.gave_up {
            return Err(io::Error::other("nobody reads it"));
        }
        self.file.write(&bytes[..bytes.len().min(WITHOUT_WAITING)])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Fails if standard output was closed at start. Rust's runtime then opens /dev/null in its place, for reading and
/// writing; `> /dev/null` opens it for writing only, and is no error.
///
/// # Errors
/// [`OutputError::Closed`].
pub fn check_stdout() -> Result<(), OutputError> {
    let stdout = rustix::stdio::stdout();
    let null = || rustix::fs::stat("/dev/null").map(|null| null.st_rdev);
    let is_replacement = |found: rustix::fs::Stat| {
        let device = FileType::from_raw_mode(found.st_mode) == FileType::CharacterDevice;
        device && null() == Ok(found.st_rdev) && rustix::fs::fcntl_getfl(stdout).is_ok_and(both_ways)
    };
    if rustix::fs::fstat(stdout).is_ok_and(is_replacement) { Err(OutputError::Closed) } else { Ok(()) }
}

fn both_ways(flags: OFlags) -> bool {
    flags & OFlags::RWMODE == OFlags::RDWR
}

/// Follows symbolic links, so that the link stays and its target is replaced.
fn real_name(path: &Path) -> Result<PathBuf, Errno> {
    std::fs::canonicalize(path).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

/// Finds out, as far as that is possible without trying, whether the final rename would fail.
fn check_replaceable(path: &Path, found: &rustix::fs::Stat) -> Result<(), OutputError> {
    let fail =
        |reason, errno: Errno| OutputError::NotReplaceable { path: path.to_owned(), reason, source: errno.into() };
    // A file that is a mount point: container runtimes mount single files.
    let status = rustix::fs::statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty());
    if status.is_ok_and(|status| status.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)) {
        return Err(fail("it is a mount point; name a file in another folder", Errno::BUSY));
    }
    let me = rustix::process::geteuid();
    let parent = rustix::fs::stat(folder(path)).map_err(|errno| fail("its folder can't be read", errno))?;
    let is_sticky = parent.st_mode & Mode::SVTX.as_raw_mode() != 0;
    if is_sticky && !me.is_root() && ![parent.st_uid, found.st_uid].contains(&me.as_raw()) {
        return Err(fail("it is another user's file, in a folder where only its owner may replace it", Errno::PERM));
    }
    Ok(())
}

/// Where a symbolic link points whose target does not exist yet; otherwise `path` itself.
fn target_of_dangling_link(path: &Path) -> Result<PathBuf, Errno> {
    let mut path = path.to_owned();
    // As many as the kernel follows.
    for _ in 0..40 {
        match std::fs::read_link(&path) {
            Ok(target) => path = folder(&path).join(target),
            Err(_) => return Ok(path),
        }
    }
    Err(Errno::LOOP)
}

fn replace(path: &Path, temp_file: &TempFileGuard, before: Option<&rustix::fs::Stat>) -> Result<Target, Errno> {
    if path.file_name().is_none() {
        return Err(Errno::ISDIR);
    }
    if before.is_some() {
        // A read-only file is not replaced, though the folder's permissions would allow the rename.
        rustix::fs::access(path, rustix::fs::Access::WRITE_OK)?;
    }
    let (file, temp) = match create_unnamed(&folder(path)) {
        Some(file) => (file, TempName::Unnamed),
        None => {
            let (file, name) = with_free_name(path, |name| {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                rustix::fs::open(name, flags, NEW_FILE).map(File::from)
            })?;
            temp_file.set(Some(name.clone()));
            (file, TempName::Named(name))
        }
    };
    if let Some(before) = before {
        // The output that would remove it is not made yet.
        keep_rights(&file, before).inspect_err(|_| temp_file.remove())?;
    }
    Ok(Target::Replace { file, path: path.to_owned(), temp, temp_file: temp_file.clone() })
}

/// Gives the new file the rights that the replaced one has, but none that a new file would not get here, and none to another
/// group. On file systems where all files have the same rights (FAT, some network shares) there is nothing to change, and none
/// can be changed.
fn keep_rights(file: &File, before: &rustix::fs::Stat) -> Result<(), Errno> {
    let new = rustix::fs::fstat(file)?;
    let group = rustix::fs::Gid::from_raw(before.st_gid);
    let has_group = new.st_gid == before.st_gid || rustix::fs::fchown(file, None, Some(group)).is_ok();
    let others = if has_group { 0o777 } else { 0o707 };
    let kept = new.st_mode & before.st_mode & others;
    // Otherwise it would have more.
    if kept == new.st_mode & 0o777 { Ok(()) } else { rustix::fs::fchmod(file, Mode::from_raw_mode(kept)) }
}

/// Minus the umask.
const NEW_FILE: Mode = Mode::from_raw_mode(0o666);

fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => ".".into(),
    }
}

/// O_TMPFILE is not supported everywhere (NFS, FAT). Other errors come up again when a named file is created.
fn create_unnamed(folder: &Path) -> Option<File> {
    let file = rustix::fs::open(folder, OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC, NEW_FILE).ok()?;
    // linkat needs /proc, which some containers lack.
    let reachable = rustix::fs::stat(proc_path(&file)).is_ok();
    reachable.then(|| file.into())
}

fn proc_path(file: &impl std::os::fd::AsRawFd) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

fn link_temp_name(file: &File, path: &Path, temp_file: &TempFileGuard) -> Result<PathBuf, Errno> {
    let source = proc_path(file);
    let link = |name: &Path| rustix::fs::linkat(CWD, source.as_str(), CWD, name, AtFlags::SYMLINK_FOLLOW);
    let ((), name) = with_free_name(path, link)?;
    temp_file.set(Some(name.clone()));
    Ok(name)
}

/// Tries temporary names in the folder of `path` until one is free.
fn with_free_name<T>(path: &Path, make: impl Fn(&Path) -> Result<T, Errno>) -> Result<(T, PathBuf), Errno> {
    let name = path.file_name().expect("checked when it was opened").to_string_lossy();
    // A name may have 255 bytes at most.
    let name: String = name.chars().take(50).collect();
    let mut number = 0;
    loop {
        let temp = folder(path).join(format!(".{name}.usbscan-{}-{number}", std::process::id()));
        match make(&temp) {
            Err(Errno::EXIST) if number < 1000 => number += 1,
            made => return made.map(|made| (made, temp)),
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
        let output = Output::create(path, &TempFileGuard::default()).expect("it opens");
        output.writer().expect("a second descriptor").write_all(text.as_bytes()).expect("it is written");
        output
    }

    #[test]
    fn a_file_appears_complete_or_not_at_all() {
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
        assert_eq!(names(folder.path()), ["page.png"], "and no temporary file");
    }

    #[test]
    fn rights_that_are_right_need_no_chmod_and_wider_ones_do() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let before = |mode| {
            fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).expect("its bits");
            rustix::fs::stat(file.path()).expect("a file")
        };
        // As on a file system without chmod: through such a descriptor there is none.
        let fixed: File =
            rustix::fs::open(file.path(), OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).expect("it opens").into();
        let (narrow, same) = (before(0o600), before(0o644));
        assert_eq!(keep_rights(&fixed, &same), Ok(()));
        assert_eq!(keep_rights(&fixed, &narrow), Err(Errno::BADF), "others could read what they could not");
        let wide = before(0o666);
        before(0o600);
        assert_eq!(keep_rights(&fixed, &wide), Ok(()), "a new file has fewer");
    }

    #[test]
    fn a_temporary_file_is_removed_when_the_program_ends() {
        let folder = tempfile::tempdir().expect("a folder");
        let temp_file = TempFileGuard::default();
        let temp = folder.path().join("temp");
        fs::write(&temp, "half").expect("a file");
        temp_file.set(Some(temp));
        temp_file.remove();
        temp_file.remove();
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn a_symbolic_link_stays_and_its_target_is_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, link) = (folder.path().join("page.png"), folder.path().join("link.png"));
        fs::write(&path, "old").expect("a file");
        symlink("page.png", &link).expect("a link");
        write(&link, "new").finish().expect("it is put in place");
        assert_eq!(fs::read_to_string(&path).expect("a file"), "new");
        assert!(fs::symlink_metadata(&link).expect("a link").is_symlink());
    }

    #[test]
    fn a_dangling_link_stays_and_its_target_is_created() {
        let folder = tempfile::tempdir().expect("a folder");
        let link = folder.path().join("link.png");
        symlink("page.png", &link).expect("a link");
        write(&link, "new").finish().expect("it is renamed");
        assert_eq!(fs::read_to_string(folder.path().join("page.png")).expect("a file"), "new");
        assert!(fs::symlink_metadata(&link).expect("a link").is_symlink());
        symlink("nowhere/page.png", folder.path().join("bad.png")).expect("a link");
        let error = Output::create(&folder.path().join("bad.png"), &TempFileGuard::default()).expect_err("no folder");
        assert!(matches!(error, OutputError::Create { .. }), "{error}");
    }

    #[test]
    fn a_complete_file_that_can_not_be_renamed_is_kept_and_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("page.png");
        let output = write(&path, "whole");
        // What was a free name is a folder by now, with something in it.
        fs::create_dir_all(path.join("busy")).expect("a folder");
        let error = output.finish().expect_err("the rename fails");
        let OutputError::Finish { kept, .. } = &error else { panic!("{error}") };
        assert!(error.to_string().contains(&kept.display().to_string()), "{error}");
        assert_eq!(fs::read_to_string(kept).expect("it is there"), "whole");
    }

    #[test]
    fn a_device_is_written_directly() {
        write(Path::new("/dev/null"), "gone").finish().expect("nothing to put in place");
    }

    #[test]
    fn an_invalid_path_is_found_when_it_is_opened() {
        let folder = tempfile::tempdir().expect("a folder");
        let open = |path: &Path| Output::create(path, &TempFileGuard::default()).map(drop);
        assert!(matches!(open(folder.path()), Err(OutputError::Folder(_))));
        assert!(matches!(open(&folder.path().join("no/page.png")), Err(OutputError::Create { .. })));
        let long = "x".repeat(255);
        write(&folder.path().join(&long), "a").finish().expect("255 bytes are a name");
        assert_eq!(names(folder.path()), [long]);
    }
}
