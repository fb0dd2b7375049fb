//! A bus whose opens and port resets stop at a latch until a test lets them go on: so a test holds the daemon in the middle of
//! one, and asserts no time.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;
use parking_lot::{Condvar, Mutex};
use usbscan_daemon::{Config, Running};
use usbscan_usb::{
    Bus, Completion, Device, DeviceInfo, Endpoint, EndpointAddress, Error, InterfaceNumber, Location, Watch,
};
use usbscan_virtual::VirtualBus;

use testkit::rig::Client;

/// Closed, it stops whoever comes to it.
#[derive(Debug, Clone, Default)]
pub struct Latch(Arc<(Mutex<State>, Condvar)>);

#[derive(Debug, Default)]
struct State {
    closed: bool,
    stopped: usize,
}

impl Latch {
    pub fn close(&self) {
        self.0.0.lock().closed = true;
    }

    pub fn open(&self) {
        self.0.0.lock().closed = false;
        self.0.1.notify_all();
    }

    /// Waits until somebody is stopped here.
    pub fn until_reached(&self) {
        let mut state = self.0.0.lock();
        while state.stopped == 0 {
            let timed_out = self.0.1.wait_for(&mut state, testkit::rig::DEADLINE).timed_out();
            assert!(!timed_out, "nobody came to the latch");
        }
    }

    fn pass(&self) {
        let mut state = self.0.0.lock();
        state.stopped += 1;
        self.0.1.notify_all();
        while state.closed {
            self.0.1.wait(&mut state);
        }
        state.stopped -= 1;
    }
}

struct LatchedBus {
    inner: VirtualBus,
    opens: Latch,
    resets: Latch,
}

impl Bus for LatchedBus {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn list(&self) -> Result<Vec<DeviceInfo>, Error> {
        self.inner.list()
    }

    fn descriptors(&self, location: &Location) -> Option<Vec<u8>> {
        self.inner.descriptors(location)
    }

    fn open(&self, location: &Location) -> Result<Box<dyn Device>, Error> {
        self.opens.pass();
        let inner = self.inner.open(location)?;
        Ok(Box::new(LatchedDevice { inner, resets: self.resets.clone() }))
    }

    fn watch(&self, notify: Sender<()>) -> Result<Box<dyn Watch>, Error> {
        self.inner.watch(notify)
    }
}

struct LatchedDevice {
    inner: Box<dyn Device>,
    resets: Latch,
}

impl Device for LatchedDevice {
    fn info(&self) -> &DeviceInfo {
        self.inner.info()
    }

    fn claim(&mut self, interface: InterfaceNumber) -> Result<(), Error> {
        self.inner.claim(interface)
    }

    fn release(&mut self, interface: InterfaceNumber) -> Result<(), Error> {
        self.inner.release(interface)
    }

    fn alternate(&self, interface: InterfaceNumber) -> u8 {
        self.inner.alternate(interface)
    }

    fn endpoint(
        &mut self,
        address: EndpointAddress,
        completions: Sender<Completion>,
    ) -> Result<Box<dyn Endpoint>, Error> {
        self.inner.endpoint(address, completions)
    }

    fn set_alternate(&mut self, interface: InterfaceNumber, alternate: u8) -> Result<(), Error> {
        self.inner.set_alternate(interface, alternate)
    }

    fn reset(&mut self) -> Result<(), Error> {
        self.resets.pass();
        self.inner.reset()
    }

    fn close(self: Box<Self>, patience: Duration) -> Result<(), Error> {
        self.inner.close(patience)
    }
}

/// A daemon with one loopback scanner, on a latched bus.
pub struct LatchedRig {
    pub daemon: Running,
    pub opens: Latch,
    pub resets: Latch,
}

impl LatchedRig {
    pub fn new() -> LatchedRig {
        LatchedRig::with(Config::default())
    }

    pub fn with(config: Config) -> LatchedRig {
        let inner = VirtualBus::new();
        inner.plug_spec("loopback").expect("a description of a virtual scanner");
        let (opens, resets) = (Latch::default(), Latch::default());
        let bus = LatchedBus { inner, opens: opens.clone(), resets: resets.clone() };
        let daemon = Running::start(config, vec![Arc::new(bus)]).expect("the daemon starts");
        LatchedRig { daemon, opens, resets }
    }

    pub fn client(&self) -> Client {
        Client::new(self.daemon.connect().expect("a connection"))
    }
}

impl Drop for LatchedRig {
    /// A test that has failed must not leave the daemon waiting.
    fn drop(&mut self) {
        self.opens.open();
        self.resets.open();
    }
}
