//! This machine's files as `usbscan doctor` reads them: below `/`, or below a made-up root in tests. What can't be read
//! is absent, never an error: saying what is missing is what the doctor is for. Writes nothing.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Files longer than this are not read whole: everything looked at is far shorter.
const LONGEST: u64 = 1 << 20;

/// Where the machine's files are.
#[derive(Debug, Clone)]
pub struct Host {
    root: PathBuf,
}

/// A file's kind and rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights {
    /// Permission bits.
    pub mode: u32,
    /// Owner's group.
    pub group: u32,
    /// Whether it is a socket.
    pub socket: bool,
}

impl Host {
    /// This machine.
    pub fn this() -> Host {
        Host { root: PathBuf::from("/") }
    }

    /// A tree that stands for a machine.
    #[cfg(test)]
    pub fn at(root: &Path) -> Host {
        Host { root: root.to_owned() }
    }

    /// Where `path` (absolute) really is.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// A file's text without white space at its ends.
    pub fn read(&self, path: impl AsRef<Path>) -> Option<String> {
        let path = self.path(path);
        if fs::metadata(&path).ok()?.len() > LONGEST {
            return None;
        }
        let bytes = fs::read(&path).ok()?;
        Some(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    /// Names in a folder, in order; none where it can't be read.
    pub fn names(&self, folder: impl AsRef<Path>) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path(folder)) else { return Vec::new() };
        let mut names: Vec<String> =
            entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    /// The last part of what a link points to.
    pub fn link_name(&self, path: impl AsRef<Path>) -> Option<String> {
        Some(self.link(path)?.file_name()?.to_str()?.to_owned())
    }

    /// What a link points to.
    pub fn link(&self, path: impl AsRef<Path>) -> Option<PathBuf> {
        fs::read_link(self.path(path)).ok()
    }

    /// Kind and rights; `None` where there is no such file, or its folder may not be searched.
    pub fn rights(&self, path: impl AsRef<Path>) -> Option<Rights> {
        let found = fs::metadata(self.path(path)).ok()?;
        Some(Rights { mode: found.mode() & 0o7777, group: found.gid(), socket: found.file_type().is_socket() })
    }

    /// The first of these files that is there.
    pub fn first_of(&self, paths: &[&str]) -> Option<String> {
        paths.iter().find(|path| self.path(path).exists()).map(|path| (*path).to_owned())
    }
}
