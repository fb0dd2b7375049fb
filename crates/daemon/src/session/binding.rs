//! What a session has open: a scanner, an interface of it, and one pipe of each role.

use std::sync::Arc;

use usbscan_usb::InterfaceNumber;

use crate::pipe::orders::{PipeHandle, Role};

/// Names a scanner within this daemon. Never used twice: the same device plugged in again is another scanner. Sessions know
/// scanners by it, since scanners know sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ScannerId(pub u64);

/// What this session has open.
#[derive(Debug)]
pub(crate) struct Binding {
    /// The scanner: its number, by which the registry finds it.
    pub scanner: ScannerId,
    /// The scanner's name, for messages.
    pub device: Arc<str>,
    pub interface: InterfaceNumber,
    pub control: PipeHandle,
    /// One pipe of each other role, where the interface has one.
    pub event: Option<PipeHandle>,
    pub read: Option<PipeHandle>,
    pub write: Option<PipeHandle>,
}

impl Binding {
    /// The pipe of a role.
    pub fn pipe(&self, role: Role) -> Option<&PipeHandle> {
        match role {
            Role::Control => Some(&self.control),
            Role::Write => self.write.as_ref(),
            Role::Read => self.read.as_ref(),
            Role::Event => self.event.as_ref(),
        }
    }

    /// All its pipes, control first: the order in which they are cancelled.
    pub fn pipes(&self) -> impl Iterator<Item = &PipeHandle> {
        [Role::Control, Role::Write, Role::Read, Role::Event].into_iter().filter_map(|role| self.pipe(role))
    }
}
