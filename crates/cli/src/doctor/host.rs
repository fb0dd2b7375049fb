//! Reads this machine's files for `usbscan doctor`: below `/`, or below another root in tests. A file that can't be read
//! counts as missing; reporting what is missing is the checks' task. Writes nothing.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// All files that are read are far smaller.
const MAX_LENGTH: u64 = 1 << 20;

/// The root folder of the machine's files.
#[derive(Debug, Clone)]
pub struct Host {
    root: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights {
    pub mode: u32,
    pub group: u32,
    pub socket: bool,
}

impl Host {
    pub fn this() -> Host {
        Host { root: PathBuf::from("/") }
    }

    #[cfg(test)]
    pub fn at(root: &Path) -> Host {
        Host { root: root.to_owned() }
    }

    /// The absolute `path`, below the root.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// A file's text, trimmed.
    pub fn read(&self, path: impl AsRef<Path>) -> Option<String> {
        let path = self.path(path);
        if fs::metadata(&path).ok()?.len() > MAX_LENGTH {
            return None;
        }
        let bytes = fs::read(&path).ok()?;
        Some(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    /// The sorted names in a folder; empty if it can't be read.
    pub fn names(&self, folder: impl AsRef<Path>) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path(folder)) else { return Vec::new() };
        let mut names: Vec<String> =
            entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    /// The file name of a symbolic link's target.
    pub fn link_name(&self, path: impl AsRef<Path>) -> Option<String> {
        Some(self.link(path)?.file_name()?.to_str()?.to_owned())
    }

    /// A symbolic link's target.
    pub fn link(&self, path: impl AsRef<Path>) -> Option<PathBuf> {
        fs::read_link(self.path(path)).ok()
    }

    /// `None` if the file does not exist or its folder may not be searched.
    pub fn rights(&self, path: impl AsRef<Path>) -> Option<Rights> {
        let found = fs::metadata(self.path(path)).ok()?;
        Some(Rights { mode: found.mode() & 0o7777, group: found.gid(), socket: found.file_type().is_socket() })
    }

    /// The first of these files that exists.
    pub fn first_of(&self, paths: &[&str]) -> Option<String> {
        paths.iter().find(|path| self.path(path).exists()).map(|path| (*path).to_owned())
    }
}
