//! A daemon with scanners, and the backend in front of it: where Debian's scanimage is at home.

use std::process::Command;

use crate::backend::Backend;
use crate::program::{Ended, Program};
use crate::rig::Rig;

/// A daemon with scanners, and the backend in front of it.
pub struct Bench {
    /// The daemon and its scanners.
    pub rig: Rig,
    backend: Backend,
}

impl Bench {
    /// With these scanners, ready to be used.
    pub fn new(scanners: &[&str]) -> Bench {
        Bench { rig: Rig::with_scanners(scanners), backend: Backend::new() }
    }

    /// A file in the folder where the programs run.
    pub fn path(&self, name: &str) -> std::path::PathBuf {
        self.backend.path(name)
    }

    /// The backend, for more programs than scanimage.
    pub fn backend(&self) -> &Backend {
        &self.backend
    }

    /// A program that finds this backend and this daemon.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = self.backend.command(program);
        command.env("USBSCAN_SOCKET", self.rig.socket());
        command
    }

    /// Debian's scanimage, with this backend alone.
    pub fn scanimage(&self, arguments: &[&str]) -> Command {
        let mut command = self.command("scanimage");
        command.args(arguments);
        command
    }

    /// Runs it to its end.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        Program::start(&mut self.scanimage(arguments)).end()
    }

    /// Runs it to its end, which has to be a good one.
    pub fn done(&self, arguments: &[&str]) -> String {
        let ended = self.run(arguments);
        assert_eq!(ended.code, Some(0), "scanimage {}: {}", arguments.join(" "), ended.stderr);
        ended.stdout
    }
}
