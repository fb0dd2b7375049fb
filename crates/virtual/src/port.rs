//! The socket a virtual device is plugged into: one thread that owns its [`Link`].
//!
//! Everyone else sends it commands; it alone calls the model and gives transfers back, through a sink
//! that runs on this thread with no lock held. It waits in one place, for a command or for the moment
//! the device asked for, and never wakes up while nothing happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use usbscan_usb::{EndpointAddress, InterfaceNumber};

use crate::{Descriptors, Event, Link, LinkProgress, Model, Urb, UrbId};

enum PortCommand {
    Submit(Urb),
    Cancel(UrbId),
    ClearHalt(EndpointAddress, Sender<()>),
    SetAlternate(InterfaceNumber, u8, Sender<()>),
    Reset(Sender<()>),
    Unplug,
}

/// The device is gone, so the call did nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the virtual device is unplugged")]
pub struct Unplugged;

/// A plugged device. Dropping it unplugs the device, gives back what is pending, and joins its thread.
#[derive(Debug)]
pub struct Port {
    descriptors: Descriptors,
    gone: Arc<AtomicBool>,
    commands: Option<Sender<PortCommand>>,
    thread: Option<JoinHandle<()>>,
}

impl Port {
    /// Plugs `model` in. `sink` gets every event, on the port's thread, which is named `virtual NAME`;
    /// it must not wait for the port ([`Port::clear_halt`], [`Port::reset`]).
    ///
    /// # Panics
    /// When the system can't start a thread, as [`std::thread::spawn`] does.
    pub fn plug(name: &str, model: Box<dyn Model>, sink: impl FnMut(Event) + Send + 'static) -> Port {
        let link = Link::new(model);
        let descriptors = link.descriptors().clone();
        let gone = Arc::new(AtomicBool::new(false));
        let (commands, inbox) = unbounded();
        let actor = Actor { link, gone: gone.clone(), sink };
        let thread = thread::Builder::new()
            .name(format!("virtual {name}"))
            .spawn(move || actor.run(&inbox))
            .expect("the system can start a thread");
        Port { descriptors, gone, commands: Some(commands), thread: Some(thread) }
    }

    pub fn descriptors(&self) -> &Descriptors {
        &self.descriptors
    }

    /// Whether the device has been unplugged, or has fallen off the bus.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Hands a transfer over. It comes back through the sink, exactly once, even after an unplug.
    pub fn submit(&self, urb: Urb) {
        self.send(PortCommand::Submit(urb));
    }

    /// Asks for a transfer back. Does not wait; without such a transfer it does nothing.
    pub fn cancel(&self, id: UrbId) {
        self.send(PortCommand::Cancel(id));
    }

    /// Clears a halt, and waits for that.
    pub fn clear_halt(&self, endpoint: EndpointAddress) -> Result<(), Unplugged> {
        self.ask(|done| PortCommand::ClearHalt(endpoint, done))
    }

    /// Chooses an alternate setting, and waits for that: what was pending on the interface's endpoints has come back.
    pub fn set_alternate(&self, interface: InterfaceNumber, alternate: u8) -> Result<(), Unplugged> {
        self.ask(|done| PortCommand::SetAlternate(interface, alternate, done))
    }

    /// Resets the bus, and waits for that: what was pending has come back. Also when the device leaves in it.
    pub fn reset(&self) -> Result<(), Unplugged> {
        self.ask(PortCommand::Reset)
    }

    /// Unplugs the device. Does not wait; [`Event::Unplugged`] follows.
    pub fn unplug(&self) {
        self.send(PortCommand::Unplug);
    }

    fn send(&self, command: PortCommand) {
        let sent = self.commands.as_ref().map(|commands| commands.send(command));
        debug_assert!(matches!(sent, Some(Ok(()))), "the port's thread outlives the port");
    }

    fn ask(&self, command: impl FnOnce(Sender<()>) -> PortCommand) -> Result<(), Unplugged> {
        if self.is_gone() {
            return Err(Unplugged);
        }
        let (done, wait) = bounded(1);
        self.send(command(done));
        wait.recv().map_err(|_| Unplugged)?;
        if self.is_gone() { Err(Unplugged) } else { Ok(()) }
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.send(PortCommand::Unplug);
        self.commands = None;
        let Some(thread) = self.thread.take() else { return };
        // The last owner may be the sink itself, which runs on the thread.
        if thread.thread().id() != thread::current().id() && thread.join().is_err() {
            log::error!("the thread of a virtual device panicked");
        }
    }
}

struct Actor<S> {
    link: Link,
    gone: Arc<AtomicBool>,
    sink: S,
}

impl<S: FnMut(Event)> Actor<S> {
    /// Runs until the [`Port`] is dropped. Lives on after an unplug, so that a transfer submitted at
    /// that very moment still comes back.
    fn run(mut self, inbox: &Receiver<PortCommand>) {
        let mut turn = LinkProgress::Wait(None);
        loop {
            let command = match turn {
                LinkProgress::More => inbox.try_recv().ok(),
                LinkProgress::Wait(None) => match inbox.recv() {
                    Ok(command) => Some(command),
                    Err(_) => return,
                },
                LinkProgress::Wait(Some(until)) => match inbox.recv_deadline(until) {
                    Ok(command) => Some(command),
                    Err(RecvTimeoutError::Timeout) => None,
                    Err(RecvTimeoutError::Disconnected) => return,
                },
            };
            let mut acknowledge = None;
            if let Some(command) = command {
                acknowledge = self.carry_out(command);
            }
            turn = self.link.step(Instant::now());
            self.tell();
            if let Some(done) = acknowledge {
                // The caller may have stopped waiting.
                let _ = done.send(());
            }
        }
    }

    fn carry_out(&mut self, command: PortCommand) -> Option<Sender<()>> {
        match command {
            PortCommand::Submit(urb) => self.link.submit(urb),
            PortCommand::Cancel(id) => self.link.cancel(Instant::now(), id),
            PortCommand::Unplug => self.link.unplug(),
            PortCommand::ClearHalt(endpoint, done) => {
                self.link.clear_halt(endpoint);
                return Some(done);
            }
            PortCommand::SetAlternate(interface, alternate, done) => {
                self.link.set_alternate(interface, alternate);
                return Some(done);
            }
            PortCommand::Reset(done) => {
                self.link.reset();
                return Some(done);
            }
        }
        None
    }

    fn tell(&mut self) {
        if !self.link.is_plugged() {
            self.gone.store(true, Ordering::Release);
        }
        while let Some(event) = self.link.event() {
            (self.sink)(event);
        }
    }
}
