//! A daemon that runs in this process: for the program usbscand, for `usbscan --virtual`, and for tests.

use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use usbscan_usb::Bus;

use crate::config::{Config, Configured};
use crate::dispatch::core::Core;
use crate::failure::UserId;
use crate::scanner::registry::{Registry, Scanners};
use crate::scanner::supervisor::Environment;
use crate::server::connections::Connections;
use crate::server::idle_exit::IdleExit;
use crate::session::list::Sessions;

/// A daemon. Dropping it stops it, within the time that its configuration gives.
#[derive(Debug)]
pub struct Running {
    core: Arc<Core>,
    server: Arc<Connections>,
    registry: Option<Registry>,
}

impl Running {
    /// Finds the scanners on these buses. Nobody can connect yet but through [`Running::connect`].
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn start(config: Config, buses: Vec<Arc<dyn Bus>>) -> io::Result<Running> {
        let sessions = Arc::new(Sessions::default());
        let scanners = Arc::new(Scanners::default());
        let configured = Configured::new(config);
        let environment = Environment { configured: configured.clone(), sessions: sessions.clone() };
        let registry = Registry::start(buses, environment, scanners.clone())?;
        let core = Core::new(configured, scanners, sessions);
        let server = Arc::new(Connections::new(core.clone()));
        Ok(Running { core, server, registry: Some(registry) })
    }

    /// Serves whoever connects to this socket, too.
    ///
    /// # Errors
    /// When the system has no thread or descriptor left.
    pub fn listen(&self, listener: UnixListener) -> io::Result<()> {
        self.server.listen(listener)
    }

    /// A connection within this process, served as any other.
    ///
    /// # Errors
    /// When the system has no thread or descriptor left.
    pub fn connect(&self) -> io::Result<UnixStream> {
        self.server.connect()
    }

    /// The same, for the rights of another user: of this number, or of one whom the kernel does not know.
    ///
    /// # Errors
    /// As [`Running::connect`].
    pub fn connect_as(&self, uid: Option<u32>) -> io::Result<UnixStream> {
        self.server.connect_as(UserId(uid))
    }

    /// How many scanners there are.
    pub fn scanners(&self) -> usize {
        self.core.registry.scanners().len()
    }

    /// Whether the registry gives a sign of life in time.
    pub fn alive(&self, patience: Duration) -> bool {
        self.registry.as_ref().is_some_and(|registry| registry.is_alive(patience))
    }

    /// Another configuration from now on: for connections that come, scanners that are opened or arrive, and the end.
    /// The limits of all connections together, and the socket, are those of the start.
    pub fn reconfigure(&self, config: Config) {
        self.core.configured.replace(config);
        if let Some(registry) = &self.registry {
            registry.rescan();
        }
    }

    /// Calls `call`, once, when nobody was connected for so long. From then on nobody is accepted any more: whoever connects
    /// waits in the queue of the socket, if somebody else holds that open too, for the next daemon. Drop what it gives back
    /// before stopping.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn when_unused(&self, after: Duration, call: impl FnOnce() + Send + 'static) -> io::Result<IdleExit> {
        let server = self.server.clone();
        IdleExit::watch(self.core.sessions.clone(), after, move || server.close_if_unused(), call)
    }

    /// The orderly end: nobody new, every request answered, every job aborted, every scanner released. `false` when
    /// something did not end within `patience`; it is in the log, and left to itself.
    pub fn stop(mut self, patience: Duration) -> bool {
        self.end(patience)
    }

    fn end(&mut self, patience: Duration) -> bool {
        let Some(registry) = self.registry.take() else { return true };
        let deadline = Instant::now() + patience;
        let sessions = self.server.stop(deadline);
        let scanners = registry.stop(deadline.max(Instant::now() + patience / 4));
        sessions && scanners
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let patience = self.core.configured.now().stop;
        self.end(patience);
    }
}
