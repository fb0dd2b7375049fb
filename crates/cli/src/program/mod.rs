//! The program that `usbscan run` starts: where it is, and whether it can be given our libusb at all.

mod elf;
mod loader;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use elf::Elf;
pub use loader::LIBUSB;

/// The name of our library in the folder that cargo builds into.
const BUILT: &str = "libusbscan_libusb_dropin.so";
/// Where the system looks for programs if `PATH` is not set.
const USUAL_PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// A script's first line; the kernel reads no more of it.
const SCRIPT_LINE: u64 = 256;
/// A script whose interpreter is a script: the kernel follows so many.
const SCRIPT_DEPTH: usize = 4;

/// Why a program can't be started so that it uses the daemon.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    #[error("{}: no such program", .0.display())]
    NotFound(PathBuf),
    #[error("{}: {reason}", .0.display(), reason = .1)]
    NotExecutable(PathBuf, #[source] io::Error),
    #[error("{} is statically linked: it has a libusb of its own, if any, and can't be given another", .0.display())]
    Static(PathBuf),
    #[error("{} runs with more rights than you have (set-uid, set-gid or capabilities), so the system ignores \
             libraries that its user chooses", .0.display())]
    Privileged(PathBuf),
    #[error("{} is made for another processor or word size than usbscan, whose libusb it can't load", .0.display())]
    Foreign(PathBuf),
    #[error("{} uses libusb-0.1, which does not use libusb-1.0 on this machine but talks to the kernel by itself; \
             Debian's libusb-0.1-4 can be replaced by one that does", .0.display())]
    OldLibusb(PathBuf),
    #[error("usbscan's {LIBUSB} is not installed: it is not in {}", .0.display())]
    NoLibrary(PathBuf),
    /// The daemon of a virtual scanner has no socket.
    #[error("run needs usbscand; start it with --virtual to use a virtual scanner")]
    Virtual,
    /// Likewise.
    #[error("a backend of SANE's needs usbscand; start that with --virtual to use a virtual scanner")]
    VirtualHost,
    #[error("{} is not installed: it is not in {}", usbscan_scan::hosted::PROGRAM, .0.display())]
    NoHost(PathBuf),
}

/// Our libusb, as the loader can be told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Library {
    /// A folder in which it has libusb's name.
    Folder(PathBuf),
    /// A file with another name, whose SONAME is libusb's.
    File(PathBuf),
}

impl Library {
    /// Finds it: in `folder` if one is named, else in `../lib/usbscan` beside the folder of this program, else where cargo
    /// has built it beside this program.
    ///
    /// # Errors
    /// [`ProgramError::NoLibrary`].
    pub fn find(folder: Option<&Path>) -> Result<Library, ProgramError> {
        if let Some(folder) = folder {
            return Library::in_folder(folder).ok_or_else(|| ProgramError::NoLibrary(folder.to_owned()));
        }
        let own = std::env::current_exe().unwrap_or_default();
        let beside = own.parent().unwrap_or(Path::new("/usr/bin"));
        let installed = beside.parent().unwrap_or(Path::new("/usr")).join("lib/usbscan");
        let built = || Some(beside.join(BUILT)).filter(|file| file.exists()).map(Library::File);
        Library::in_folder(&installed).or_else(built).ok_or(ProgramError::NoLibrary(installed))
    }

    /// Its file.
    pub fn file(&self) -> PathBuf {
        match self {
            Library::Folder(folder) => folder.join(LIBUSB),
            Library::File(file) => file.clone(),
        }
    }

    fn in_folder(folder: &Path) -> Option<Library> {
        // The loader takes a relative path from wherever the program goes.
        let folder = folder.canonicalize().ok()?;
        folder.join(LIBUSB).exists().then_some(Library::Folder(folder))
    }
}

/// Finds the program that hosts a backend of SANE: in `folder` if one is named, else where [`Library::find`] looks.
///
/// # Errors
/// [`ProgramError::NoHost`].
pub fn sane_host(folder: Option<&Path>) -> Result<PathBuf, ProgramError> {
    let own = std::env::current_exe().unwrap_or_default();
    let beside = own.parent().unwrap_or(Path::new("/usr/bin"));
    let installed = beside.parent().unwrap_or(Path::new("/usr")).join("lib/usbscan");
    let folders = match folder {
        Some(folder) => vec![folder],
        None => vec![&*installed, beside],
    };
    let files = folders.iter().map(|folder| folder.join(usbscan_scan::hosted::PROGRAM));
    let found = files.into_iter().find(|file| file.exists()).and_then(|file| file.canonicalize().ok());
    found.ok_or_else(|| ProgramError::NoHost(folders[0].to_owned()))
}

/// A program that was found, and looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Its file.
    pub path: PathBuf,
    /// It looks for libusb in a folder of its own before it looks where it is told to.
    pub has_own_libusb: bool,
}

impl Program {
    /// Finds a program as a shell does, and looks whether it can be given a libusb.
    ///
    /// # Errors
    /// [`ProgramError`]: why not.
    pub fn find(name: &OsStr) -> Result<Program, ProgramError> {
        let path = which(name).ok_or_else(|| ProgramError::NotFound(name.into()))?;
        let has_own_libusb = inspect(&path, SCRIPT_DEPTH)?;
        Ok(Program { path, has_own_libusb })
    }
}

/// The file of a program, found as a shell finds it.
fn which(name: &OsStr) -> Option<PathBuf> {
    if name.is_empty() {
        return None;
    }
    if name.as_bytes().contains(&b'/') {
        return Some(PathBuf::from(name)).filter(|path| path.is_file());
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| OsString::from(USUAL_PATH));
    let folders = std::env::split_paths(&path).collect::<Vec<_>>();
    let files = folders.iter().map(|folder| folder.join(name));
    let is_executable = |file: &PathBuf| file.metadata().is_ok_and(|data| data.is_file() && data.mode() & 0o111 != 0);
    files.into_iter().find(is_executable)
}

/// Whether it can be helped; then, whether it has a libusb of its own that comes first.
fn inspect(path: &Path, depth: usize) -> Result<bool, ProgramError> {
    let unreadable = |error: io::Error| ProgramError::NotExecutable(path.to_owned(), error);
    let data = path.metadata().map_err(unreadable)?;
    if data.mode() & 0o111 == 0 {
        return Err(unreadable(io::ErrorKind::PermissionDenied.into()));
    }
    if is_privileged(path, &data) {
        return Err(ProgramError::Privileged(path.to_owned()));
    }
    match loader::read(path) {
        Some(Elf::Foreign) => Err(ProgramError::Foreign(path.to_owned())),
        Some(Elf::Static) => Err(ProgramError::Static(path.to_owned())),
        Some(Elf::Dynamic(dynamic)) if !dynamic.has_interpreter => Err(ProgramError::Static(path.to_owned())),
        Some(Elf::Dynamic(dynamic)) => {
            let variable = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
            let reach = loader::follow(path, &dynamic, &std::env::split_paths(&variable).collect::<Vec<_>>());
            match reach.old_libusb && !reach.libusb {
                true => Err(ProgramError::OldLibusb(path.to_owned())),
                false => Ok(reach.own_libusb),
            }
        }
        // A script, by its interpreter; and what can't be read may be executable all the same.
        Some(Elf::Other) => match interpreter(path) {
            Some(interpreter) if depth > 0 => inspect(&interpreter, depth - 1),
            _ => Ok(false),
        },
        None => Ok(false),
    }
}

/// Whether the kernel starts it in secure mode, in which the loader listens to nobody.
fn is_privileged(path: &Path, data: &std::fs::Metadata) -> bool {
    let user = rustix::process::geteuid();
    let changes_user = data.mode() & 0o4000 != 0 && data.uid() != user.as_raw();
    let changes_group = data.mode() & 0o2010 == 0o2010 && data.gid() != rustix::process::getegid().as_raw();
    // Root has all capabilities anyway.
    let mut room = [0; 64];
    let gains = !user.is_root() && rustix::fs::getxattr(path, "security.capability", &mut room).is_ok();
    changes_user || changes_group || gains
}

/// What a script's first line names.
fn interpreter(path: &Path) -> Option<PathBuf> {
    let mut line = Vec::new();
    File::open(path).ok()?.take(SCRIPT_LINE).read_to_end(&mut line).ok()?;
    let line = line.split(|byte| *byte == b'\n').next()?.strip_prefix(b"#!")?;
    let words = line.split(|byte| byte.is_ascii_whitespace());
    let word = words.into_iter().find(|word| !word.is_empty())?;
    Some(PathBuf::from(OsStr::from_bytes(word)))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file(folder: &Path, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn a_script_is_judged_by_its_interpreter() {
        let folder = tempfile::tempdir().unwrap();
        let script = file(folder.path(), "script", "#! /bin/sh -e\nexit 0\n", 0o755);
        assert_eq!(interpreter(&script), Some(PathBuf::from("/bin/sh")));
        assert!(!inspect(&script, SCRIPT_DEPTH).unwrap());
        let lost = file(folder.path(), "lost", "#!/nonexistent/python\n", 0o755);
        assert!(matches!(inspect(&lost, SCRIPT_DEPTH), Err(ProgramError::NotExecutable(..))));
    }

    #[test]
    fn a_script_that_interprets_itself_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("round");
        file(folder.path(), "round", &format!("#!{}\n", path.display()), 0o755);
        assert!(!inspect(&path, SCRIPT_DEPTH).unwrap());
    }

    #[test]
    fn a_file_that_nobody_may_execute_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let plain = file(folder.path(), "plain", "text", 0o644);
        let error = Program::find(plain.as_os_str()).unwrap_err();
        assert!(error.to_string().starts_with(plain.to_str().unwrap()), "{error}");
        assert!(matches!(Program::find(OsStr::new("no-such-program-anywhere")), Err(ProgramError::NotFound(_))));
        assert!(matches!(Program::find(OsStr::new("")), Err(ProgramError::NotFound(_))));
    }

    #[test]
    fn a_program_that_changes_its_user_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let program = file(folder.path(), "program", "#!/bin/sh\n", 0o4755);
        let mut data = program.metadata().unwrap();
        assert!(!is_privileged(&program, &data), "its user is the one who runs it");
        if std::os::unix::fs::chown(&program, Some(12345), None).is_ok() {
            // Changing the owner clears the bit.
            fs::set_permissions(&program, Permissions::from_mode(0o4755)).unwrap();
            data = program.metadata().unwrap();
            assert!(is_privileged(&program, &data));
        }
    }

    #[test]
    fn the_library_is_found_in_the_folder_that_is_named_or_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(Library::find(Some(folder.path())), Err(ProgramError::NoLibrary(_))));
        file(folder.path(), LIBUSB, "", 0o644);
        let found = Library::find(Some(folder.path())).unwrap();
        assert_eq!(found, Library::Folder(folder.path().canonicalize().unwrap()));
    }
}
