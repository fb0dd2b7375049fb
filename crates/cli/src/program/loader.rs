//! Follows a program's libraries as the loader does, to find out which libusb it meets. It sees what a program needs from
//! the start; what is loaded later by name (SANE's backends, plug-ins) it does not see.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::elf::{self, Dynamic, Elf};

/// The library's file name: its interface's version is in it.
pub const LIBUSB: &str = "libusb-1.0.so.0";
/// The interface before that. One kind of it is a layer over [`LIBUSB`]; the other talks to the kernel.
const OLD_LIBUSB: &str = "libusb-0.1.so.4";
/// Programs with the most libraries (desktop programs) have some two hundred.
const FILES_LIMIT: usize = 1000;

/// Which libusb a program's libraries lead to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reach {
    /// `libusb-1.0.so.0`.
    pub libusb: bool,
    /// `libusb-0.1.so.4`.
    pub old_libusb: bool,
    /// A folder with another `libusb-1.0.so.0` is searched before LD_LIBRARY_PATH.
    pub own_libusb: bool,
}

/// How the file is loaded. `None` where it can't be read or contradicts itself.
pub fn read(path: &Path) -> Option<Elf> {
    let file = File::open(path).ok()?;
    elf::read(|at, length| {
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, at).ok()?;
        Some(bytes)
    })
}

/// Follows the libraries of the program at `path`, of which `dynamic` was read. `library_path`: the folders of
/// LD_LIBRARY_PATH.
pub fn follow(path: &Path, dynamic: &Dynamic, library_path: &[PathBuf]) -> Reach {
    let mut reach = Reach::default();
    let of_program = expand(&dynamic.rpath, path);
    let mut seen: BTreeSet<OsString> = BTreeSet::new();
    let mut to_do = vec![(path.to_owned(), dynamic.clone())];
    while let Some((path, dynamic)) = to_do.pop() {
        // The program's folders hold for its libraries too.
        let early: Vec<PathBuf> = expand(&dynamic.rpath, &path).into_iter().chain(of_program.clone()).collect();
        let late = expand(&dynamic.runpath, &path);
        for name in dynamic.needed {
            reach.libusb |= name == LIBUSB;
            reach.old_libusb |= name == OLD_LIBUSB;
            reach.own_libusb |= name == LIBUSB && early.iter().any(|folder| folder.join(LIBUSB).exists());
            if seen.len() >= FILES_LIMIT || !seen.insert(name.clone()) {
                continue;
            }
            let folders = early.iter().chain(library_path).chain(&late).cloned().chain(system_folders());
            let found = folders.map(|folder| folder.join(&name)).find_map(|file| match read(&file)? {
                Elf::Dynamic(dynamic) => Some((file, dynamic)),
                _ => None,
            });
            to_do.extend(found);
        }
    }
    reach
}

/// Where the loader looks last, on Debian, Fedora and Arch. `ld.so.conf` may name more; what is there is not followed.
fn system_folders() -> impl Iterator<Item = PathBuf> {
    let multiarch = format!("{}-linux-gnu", std::env::consts::ARCH);
    let folders = [
        format!("/lib/{multiarch}"),
        format!("/usr/lib/{multiarch}"),
        "/lib64".to_owned(),
        "/usr/lib64".to_owned(),
        "/lib".to_owned(),
        "/usr/lib".to_owned(),
        "/usr/local/lib".to_owned(),
    ];
    folders.into_iter().map(PathBuf::from)
}

/// Folders of a file, in which `$ORIGIN` is the folder that it is in.
fn expand(folders: &[OsString], of: &Path) -> Vec<PathBuf> {
    let origin = of.canonicalize().ok().and_then(|path| path.parent().map(Path::to_owned)).unwrap_or_default();
    folders.iter().map(|folder| replace(folder, &["$ORIGIN", "${ORIGIN}"], origin.as_os_str())).collect()
}

fn replace(folder: &OsStr, names: &[&str], with: &OsStr) -> PathBuf {
    let bytes = folder.as_bytes();
    for name in names {
        if let Some(at) = bytes.windows(name.len()).position(|part| part == name.as_bytes()) {
            let whole = [&bytes[..at], with.as_bytes(), &bytes[at + name.len()..]].concat();
            return PathBuf::from(OsString::from_vec(whole));
        }
    }
    PathBuf::from(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_origin_of_a_file_is_its_folder() {
        let origin = OsStr::new("/opt/scanner/bin");
        let expanded = |folder: &str| replace(OsStr::new(folder), &["$ORIGIN", "${ORIGIN}"], origin);
        assert_eq!(expanded("$ORIGIN/../lib"), Path::new("/opt/scanner/bin/../lib"));
        assert_eq!(expanded("${ORIGIN}"), Path::new("/opt/scanner/bin"));
        assert_eq!(expanded("/usr/lib"), Path::new("/usr/lib"));
    }

    #[test]
    fn this_program_meets_no_libusb() {
        let path = std::env::current_exe().unwrap();
        let Some(Elf::Dynamic(dynamic)) = read(&path) else { panic!("it is a program") };
        assert_eq!(follow(&path, &dynamic, &[]), Reach::default());
    }
}
