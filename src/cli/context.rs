//! What every command needs: the daemon, standard output, and signals.

use std::io::{self, BufWriter, Write};
use std::os::unix::net::UnixStream;

use client::Session;
use serde::Serialize;

use super::args::Global;
use super::failure::Failure;
use super::interrupt::Interrupts;
use super::output::Leftover;

/// Connects to a daemon inside this process, which ends when this is dropped.
pub type Connect = Box<dyn Fn() -> io::Result<UnixStream>>;

/// Starts a daemon with these virtual scanners inside this process.
pub type StartVirtual = fn(&[String]) -> Result<Connect, Box<dyn std::error::Error + Send + Sync>>;

/// What every command needs.
pub struct Context<'a> {
    global: &'a Global,
    inside: Option<Connect>,
    /// What signals do.
    pub interrupts: Interrupts,
    /// The file to remove if one ends the program.
    pub leftover: Leftover,
}

impl<'a> Context<'a> {
    /// With the daemon started, if it is one inside.
    ///
    /// # Errors
    /// [`Failure::Virtual`].
    pub fn new(
        global: &'a Global,
        start_virtual: StartVirtual,
        interrupts: Interrupts,
        leftover: Leftover,
    ) -> Result<Context<'a>, Failure> {
        let inside = match global.virtual_scanners.as_slice() {
            [] => None,
            models => Some(start_virtual(models).map_err(Failure::Virtual)?),
        };
        Ok(Context { global, inside, interrupts, leftover })
    }

    /// A session with the daemon.
    ///
    /// # Errors
    /// Those of [`client::Session`].
    pub fn connect(&self) -> Result<Session, Failure> {
        Ok(match &self.inside {
            Some(connect) => Session::over(connect().map_err(client::Error::System)?)?,
            None => Session::connect(&self.global.socket)?,
        })
    }

    /// Whether output is for programs.
    pub fn json(&self) -> bool {
        self.global.json
    }

    /// Prints the result on standard output: `value` as JSON, or what `text` writes.
    ///
    /// # Errors
    /// [`Failure::Stdout`].
    pub fn print(
        &self,
        value: &impl Serialize,
        text: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let mut out = BufWriter::new(io::stdout().lock());
        let written = if self.json() {
            serde_json::to_writer_pretty(&mut out, value).map_err(io::Error::from).and_then(|()| writeln!(out))
        } else {
            text(&mut out)
        };
        written.and_then(|()| out.flush()).map_err(Failure::Stdout)
    }
}
