//! What every command uses: the connection to the daemon, standard output, signals.

use std::io::{self, BufWriter, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use usbscan_client::Session;

use super::args::Global;
use super::doctor::{self, Report};
use super::failure::Failure;
use super::interrupt::Interrupts;
use super::output::TempFileGuard;
use super::progress::Bar;
use usbscan_daemon::action::Action;
use usbscan_daemon::{Config, Running};
use usbscan_virtual::VirtualBus;

/// Connects to a daemon in this process. The daemon stops when this is dropped.
pub type Connect = Box<dyn Fn() -> io::Result<UnixStream> + Send + Sync>;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Connects to the daemon, from any thread.
#[derive(Clone)]
pub enum Connector {
    Socket(PathBuf),
    InProcess(Arc<Connect>),
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Connector::Socket(path) => write!(f, "Socket({})", path.display()),
            Connector::InProcess(_) => f.write_str("InProcess"),
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
            Connector::InProcess(connect) => Session::on_socket(connect().map_err(usbscan_client::Error::System)?)?,
            Connector::Socket(path) => Session::connect(path)?,
        })
    }
}

pub struct Context<'a> {
    global: &'a Global,
    connector: Connector,
    pub interrupts: Interrupts,
    /// Removed if a signal ends the program.
    pub temp_file: TempFileGuard,
    pub bar: Bar,
}

impl<'a> Context<'a> {
    /// Starts the daemon in this process, if `--virtual` was given.
    ///
    /// # Errors
    /// [`Failure::Virtual`].
    pub fn new(
        global: &'a Global,
        interrupts: Interrupts,
        temp_file: TempFileGuard,
        bar: Bar,
    ) -> Result<Context<'a>, Failure> {
        let connector = match global.virtual_scanners.as_slice() {
            [] => Connector::Socket(global.socket.clone()),
            models => Connector::InProcess(Arc::new(start_virtual(models).map_err(Failure::Virtual)?)),
        };
        Ok(Context { global, connector, interrupts, temp_file, bar })
    }

    /// The report of `usbscan doctor`.
    pub fn doctor(&self) -> Report {
        doctor::run(&self.global.socket)
    }

    /// A session with the daemon.
    ///
    /// # Errors
    /// Those of [`usbscan_client::Session`].
    pub fn connect(&self) -> Result<Session, Failure> {
        self.connector.connect()
    }

    /// The `[[action]]` tables of this configuration file, or of the default one.
    ///
    /// # Errors
    /// [`Failure::Config`].
    pub fn actions(&self, config: Option<&Path>) -> Result<Vec<Action>, Failure> {
        Ok(Config::read(config).map_err(|error| Failure::Config(error.into()))?.actions)
    }

    /// Where the daemon listens; none where it is in this process.
    pub fn socket(&self) -> Option<&Path> {
        matches!(self.connector, Connector::Socket(_)).then_some(&*self.global.socket)
    }

    pub fn connector(&self) -> Connector {
        self.connector.clone()
    }

    pub fn json(&self) -> bool {
        self.global.json
    }

    /// Prints one of several results as JSON on one line (JSON Lines).
    ///
    /// # Errors
    /// [`Failure::Stdout`].
    pub fn print_line(&self, value: &impl Serialize) -> Result<(), Failure> {
        let mut out = BufWriter::new(io::stdout().lock());
        let written = serde_json::to_writer(&mut out, value).map_err(io::Error::from).and_then(|()| writeln!(out));
        written.and_then(|()| out.flush()).map_err(Failure::Stdout)
    }

    /// Prints the result on standard output: `value` with `--json`, otherwise what `text` writes.
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

/// Uses the daemon's defaults; the machine's configuration file is not read.
fn start_virtual(models: &[String]) -> Result<Connect, BoxError> {
    let bus = VirtualBus::new();
    for model in models {
        bus.plug_spec(model)?;
    }
    let daemon = Running::start(Config::default(), vec![Arc::new(bus)])?;
    Ok(Box::new(move || daemon.connect()))
}
