//! What every command needs: the daemon, standard output, and signals.

use std::io::{self, BufWriter, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use usbscan_client::Session;

use super::args::Global;
use super::failure::Failure;
use super::interrupt::Interrupts;
use super::output::Leftover;
use super::progress::Bar;
use usbscan_daemon::action::Action;
use usbscan_daemon::{Config, Running};
use usbscan_virtual::VirtualBus;

/// Connects to a daemon inside this process, which ends when this is dropped.
pub type Connect = Box<dyn Fn() -> io::Result<UnixStream> + Send + Sync>;

type Anything = Box<dyn std::error::Error + Send + Sync>;

/// The way to the daemon, for any thread.
#[derive(Clone)]
pub enum Connector {
    /// At its socket.
    Socket(PathBuf),
    /// Inside this process.
    Inside(Arc<Connect>),
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Connector::Socket(path) => write!(f, "Socket({})", path.display()),
            Connector::Inside(_) => f.write_str("Inside"),
        }
    }
}

impl Connector {
    /// A session with the daemon.
    ///
    /// # Errors
    /// Those of [`usbscan_client::Session`].
    pub fn connect(&self) -> Result<Session, Failure> {
        Ok(match self {
            Connector::Inside(connect) => Session::over(connect().map_err(usbscan_client::Error::System)?)?,
            Connector::Socket(path) => Session::connect(path)?,
        })
    }
}

/// What every command needs.
pub struct Context<'a> {
    global: &'a Global,
    connector: Connector,
    /// What signals do.
    pub interrupts: Interrupts,
    /// The file to remove if one ends the program.
    pub leftover: Leftover,
    /// How it goes on, for people.
    pub bar: Bar,
}

impl<'a> Context<'a> {
    /// With the daemon started, if it is one inside.
    ///
    /// # Errors
    /// [`Failure::Virtual`].
    pub fn new(
        global: &'a Global,
        interrupts: Interrupts,
        leftover: Leftover,
        bar: Bar,
    ) -> Result<Context<'a>, Failure> {
        let connector = match global.virtual_scanners.as_slice() {
            [] => Connector::Socket(global.socket.clone()),
            models => Connector::Inside(Arc::new(start_virtual(models).map_err(Failure::Virtual)?)),
        };
        Ok(Context { global, connector, interrupts, leftover, bar })
    }

    /// A session with the daemon.
    ///
    /// # Errors
    /// Those of [`usbscan_client::Session`].
    pub fn connect(&self) -> Result<Session, Failure> {
        self.connector.connect()
    }

    /// The actions of this configuration, or of the usual one.
    ///
    /// # Errors
    /// [`Failure::Config`].
    pub fn actions(&self, config: Option<&Path>) -> Result<Vec<Action>, Failure> {
        Ok(Config::read(config).map_err(|error| Failure::Config(error.into()))?.actions)
    }

    /// The way to the daemon, for threads that connect themselves.
    pub fn connector(&self) -> Connector {
        self.connector.clone()
    }

    /// Whether output is for programs.
    pub fn json(&self) -> bool {
        self.global.json
    }

    /// Prints a result of several on standard output, as JSON on one line.
    ///
    /// # Errors
    /// [`Failure::Stdout`].
    pub fn print_line(&self, value: &impl Serialize) -> Result<(), Failure> {
        let mut out = BufWriter::new(io::stdout().lock());
        let written = serde_json::to_writer(&mut out, value).map_err(io::Error::from).and_then(|()| writeln!(out));
        written.and_then(|()| out.flush()).map_err(Failure::Stdout)
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

/// With what a daemon has by default; no configuration of this machine's is read.
fn start_virtual(models: &[String]) -> Result<Connect, Anything> {
    let bus = VirtualBus::new();
    for model in models {
        bus.plug_spec(model)?;
    }
    let daemon = Running::start(Config::default(), vec![Arc::new(bus)])?;
    Ok(Box::new(move || daemon.connect()))
}
