//! A daemon with scanners, our libusb in a folder, and a configuration of SANE with the backends that a test wants.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::page::{Page, PixelFormat};
use crate::picture::Pnm;
use crate::program::{Ended, Program};
use crate::rig::{self, Rig};

/// See the head of this file.
pub struct Desk {
    /// The daemon and its scanners.
    pub rig: Rig,
    folder: TempDir,
}

impl Desk {
    /// With these scanners, and these of SANE's backends.
    pub fn new(scanners: &[&str], backends: &[&str]) -> Desk {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path("lib")).expect("a folder");
        std::os::unix::fs::symlink(built("libusbscan_libusb_dropin.so"), path("lib/libusb-1.0.so.0")).expect("a link");
        std::os::unix::fs::symlink(rig::program("usbscan-sane-host").get_program(), path("lib/usbscan-sane-host"))
            .expect("a link");
        std::fs::create_dir(path("backends")).expect("a folder");
        std::os::unix::fs::symlink(built("libsane_usbscan.so"), path("backends/libsane-usbscan.so.1")).expect("a link");
        std::fs::create_dir(path("sane.d")).expect("a folder");
        std::fs::write(path("sane.d/dll.conf"), backends.join("\n") + "\n").expect("a file");
        Desk { rig: Rig::with_scanners(scanners), folder }
    }

    /// A file in the folder where the programs run.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Under `usbscan run`.
    pub fn run(&self, program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Command {
        let mut command = self.rig.usbscan(&["run", "--libusb"]);
        command.arg(self.path("lib")).arg("--").arg(program).args(arguments);
        self.prepare(&mut command);
        command
    }

    /// Without a parent that looks after it, for tests that kill it.
    pub fn alone(&self, program: impl AsRef<std::ffi::OsStr>, arguments: &[&str], socket: &Path) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).env("LD_LIBRARY_PATH", self.path("lib")).env("USBSCAN_SOCKET", socket);
        self.prepare(&mut command);
        command
    }

    /// With this desk's configuration of SANE, in its folder.
    pub fn prepare(&self, command: &mut Command) {
        // With a colon: what the test's own configuration does not have, the machine's has.
        let mut configuration = self.path("sane.d").into_os_string();
        configuration.push(":");
        command.env("SANE_CONFIG_DIR", configuration).env_remove("LIBUSB_DEBUG").current_dir(self.folder.path());
    }

    /// Runs a program under `usbscan run` to its end.
    pub fn ended(&self, program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Ended {
        Program::start(&mut self.run(program, arguments)).end()
    }

    /// Runs a program under `usbscan run`, which has to succeed, and gives back what it printed.
    pub fn done(&self, program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> String {
        let ended = self.ended(program, arguments);
        assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.stderr);
        ended.stdout
    }

    /// Compiles a C program of this folder of tests; more arguments for gcc.
    pub fn compile(&self, name: &str, more: &[&str]) -> PathBuf {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dropin").join(name).with_extension("c");
        let program = self.path(name);
        let mut gcc = Command::new("gcc");
        gcc.args(["-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-g", "-o"]).arg(&program).arg(source);
        let compiled = Program::start(gcc.args(more)).end();
        assert_eq!(compiled.code, Some(0), "gcc: {}", compiled.stderr);
        program
    }
}

/// A shared library of ours: from `USBSCAN_PROGRAMS` if that is set, else from beside the tests, where cargo puts the
/// libraries that they depend on.
pub fn built(name: &str) -> PathBuf {
    let tests = std::env::current_exe().expect("this program has a path");
    let beside = || tests.parent().expect("a folder").to_owned();
    let library = std::env::var_os("USBSCAN_PROGRAMS").map_or_else(beside, PathBuf::from).join(name);
    assert!(library.exists(), "cargo built no {}", library.display());
    library
}

/// Where cargo built our programs.
pub fn usbscan() -> Command {
    rig::program("usbscan")
}

impl Pnm {
    /// The page that it shows, of bytes or bits.
    pub fn to_page(&self) -> Page {
        let (width, height) = (self.size.0 as u32, self.size.1 as u32);
        if self.kind == "P4" {
            return Page::from_pnm(&[format!("P4\n{width} {height}\n").as_bytes(), &self.samples].concat());
        }
        let kind = match (&*self.kind, self.most) {
            ("P5", 255) => PixelFormat::Gray8,
            ("P6", 255) => PixelFormat::Color8,
            other => panic!("no page of bytes is {other:?}"),
        };
        let samples = self.samples.iter().map(|sample| (*sample).into()).collect();
        Page { kind, width, height, density: None, samples }
    }
}
