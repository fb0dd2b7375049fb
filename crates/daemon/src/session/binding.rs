//! What a session has open: a scanner, an interface of it and one pipe of each role, and the interfaces that it has claimed
//! besides.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use usbscan_usb::{EndpointAddress, InterfaceNumber};
use usbscan_wire::Faults;

use crate::pipe::orders::{PipeHandle, Role};

/// Names a scanner within this daemon. Never used twice: the same device plugged in again is another scanner. Sessions know
/// scanners by it, since scanners know sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ScannerId(pub u64);

/// What this session has open.
#[derive(Debug, Clone)]
pub(crate) struct Binding {
    /// The scanner: its number, by which the registry finds it.
    pub scanner: ScannerId,
    /// The scanner's name, for messages.
    pub device: Arc<str>,
    /// Which of the scanner's claims its pipes are of. After another one they are of no use.
    pub claim: u64,
    /// Told when a request of the session on the scanner has ended.
    pub lock_awaited: Arc<LockAwaited>,
    pub interface: InterfaceNumber,
    pub control: PipeHandle,
    /// One pipe of each other role, where the interface has one.
    pub event: Option<PipeHandle>,
    pub read: Option<PipeHandle>,
    pub write: Option<PipeHandle>,
    /// The interfaces that it has claimed, with the pipes of the setting that each is in.
    pub claims: BTreeMap<InterfaceNumber, Vec<PipeHandle>>,
    /// What a fault does to its requests' pipes.
    pub faults: Faults,
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

    /// The pipe of an endpoint of an interface that it has.
    pub fn pipe_at(&self, endpoint: EndpointAddress) -> Option<&PipeHandle> {
        self.pipes().find(|pipe| pipe.address == endpoint)
    }

    /// Whether it has this interface.
    pub fn has(&self, interface: InterfaceNumber) -> bool {
        self.interface == interface || self.claims.contains_key(&interface)
    }

    /// The pipes that `open` bound, control first.
    pub fn bound_pipes(&self) -> impl Iterator<Item = &PipeHandle> {
        [Role::Control, Role::Write, Role::Read, Role::Event].into_iter().filter_map(|role| self.pipe(role))
    }

    /// All its pipes, control first: the order in which they are cancelled.
    pub fn pipes(&self) -> impl Iterator<Item = &PipeHandle> {
        let is_bound = |pipe: &&PipeHandle| self.bound_pipes().any(|bound| bound.address == pipe.address);
        self.bound_pipes().chain(self.claims.values().flatten().filter(move |pipe| !is_bound(pipe)))
    }
}

/// How a scanner is told that a request has ended, while a session waits for its lock. A function, since sessions know scanners
/// by their numbers only.
pub(crate) struct LockAwaited {
    is_set: AtomicBool,
    tell: Box<dyn Fn() + Send + Sync>,
}

impl std::fmt::Debug for LockAwaited {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LockAwaited").field("is_set", &self.is_set).finish_non_exhaustive()
    }
}

impl LockAwaited {
    /// `tell` must not wait.
    pub fn new(tell: impl Fn() + Send + Sync + 'static) -> Arc<LockAwaited> {
        Arc::new(LockAwaited { is_set: AtomicBool::new(false), tell: Box::new(tell) })
    }

    /// Whether a session waits. Set under the scanner's state, which is also what admits requests.
    pub fn set(&self, is_set: bool) {
        self.is_set.store(is_set, Ordering::SeqCst);
    }

    /// A request has ended.
    pub fn request_ended(&self) {
        if self.is_set.load(Ordering::SeqCst) {
            (self.tell)();
        }
    }
}
