//! A folder with the backend as libsane1 looks for it, and programs that use it.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::program::Program;

/// Where the backend lies, under the name by which libsane1 loads it.
pub struct Backend {
    folder: TempDir,
}

impl Backend {
    /// The one that cargo built with these tests, and a configuration that names it and no other.
    pub fn new() -> Backend {
        let folder = tempfile::tempdir().expect("a folder");
        let library = built_library();
        std::os::unix::fs::symlink(&library, folder.path().join("libsane-usbscan.so.1")).expect("a link");
        std::fs::write(folder.path().join("dll.conf"), "usbscan\n").expect("a file");
        Backend { folder }
    }

    /// A file in its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A program that finds this backend, and no daemon but the one at `socket` in this folder.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env("LD_LIBRARY_PATH", self.folder.path())
            .env("SANE_CONFIG_DIR", self.folder.path())
            .env("USBSCAN_SOCKET", self.path("socket"))
            .env_remove("SANE_DEBUG_USBSCAN")
            .current_dir(self.folder.path());
        command
    }

    /// Compiles a C program of this folder of tests against Debian's header and this backend.
    pub fn compile(&self, name: &str) -> PathBuf {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sane").join(name).with_extension("c");
        let program = self.path(name);
        let mut gcc = Command::new("gcc");
        gcc.args(["-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-g", "-o"]).arg(&program).arg(source);
        // Set-uid programs look nowhere else.
        gcc.arg(format!("-Wl,-rpath,{}", self.folder.path().display()));
        gcc.arg("-L").arg(self.folder.path()).args(["-l:libsane-usbscan.so.1", "-lpthread"]);
        let compiled = Program::start(&mut gcc).end();
        assert_eq!(compiled.code, Some(0), "gcc: {}", compiled.stderr);
        program
    }
}

/// From `USBSCAN_PROGRAMS` if that is set, else from beside the tests, where cargo puts the libraries that they depend on.
fn built_library() -> PathBuf {
    let tests = std::env::current_exe().expect("this program has a path");
    let beside = || tests.parent().expect("a folder").to_owned();
    let library = std::env::var_os("USBSCAN_PROGRAMS").map_or_else(beside, PathBuf::from).join("libsane_usbscan.so");
    assert!(library.exists(), "cargo built no {}", library.display());
    library
}
