//! A scanner that falls silent, on a bus whose port resets the test holds in its hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use usbscan_daemon::{Config, Running};
use usbscan_usb::{
    Bus, Completion, Device, DeviceInfo, Endpoint, EndpointAddress, Error, ErrorKind, InterfaceNumber, Location, Setup,
    Watch,
};
use usbscan_virtual::{Control, Descriptors, In, Loopback, Model, Out, VirtualBus};

use testkit::rig::Client;

/// What a port reset does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reset {
    /// The device is there as it was.
    Stays,
    /// It comes back at another address.
    Moves,
    /// It leaves, and does not come back.
    Leaves,
}

/// What a test and the scanner have in common.
#[derive(Debug)]
pub struct Hand {
    /// It takes bytes, and says nothing.
    pub silent: AtomicBool,
    /// A reset ends that.
    pub revives: AtomicBool,
    /// Port resets that were begun.
    pub resets: AtomicUsize,
    /// While it has a receiver, a reset begins by telling it, and goes on when something comes back.
    latch: (Sender<Sender<()>>, Receiver<Sender<()>>),
    pub latched: AtomicBool,
}

impl Hand {
    fn new() -> Arc<Hand> {
        Arc::new(Hand {
            silent: AtomicBool::new(false),
            revives: AtomicBool::new(true),
            resets: AtomicUsize::new(0),
            latch: unbounded(),
            latched: AtomicBool::new(false),
        })
    }

    /// The reset that is held now. It goes on when something is sent, or when this is dropped.
    pub fn held_reset(&self) -> Sender<()> {
        self.latch.1.recv_timeout(testkit::rig::DEADLINE).expect("a reset begins")
    }

    pub fn resets(&self) -> usize {
        self.resets.load(Ordering::SeqCst)
    }

    pub fn fall_silent(&self) {
        self.silent.store(true, Ordering::SeqCst);
    }
}

/// A loopback device that may fall silent.
struct Silent {
    loopback: Loopback,
    descriptors: Descriptors,
    hand: Arc<Hand>,
}

impl Model for Silent {
    fn descriptors(&self) -> &Descriptors {
        &self.descriptors
    }

    fn control(&mut self, now: Instant, setup: Setup, data: &[u8]) -> Control {
        self.loopback.control(now, setup, data)
    }

    fn bulk_out(&mut self, now: Instant, endpoint: EndpointAddress, packet: &[u8]) -> Out {
        self.loopback.bulk_out(now, endpoint, packet)
    }

    fn bulk_in(&mut self, now: Instant, endpoint: EndpointAddress, room: &mut [u8]) -> In {
        match self.hand.silent.load(Ordering::SeqCst) {
            true => In::Nak,
            false => self.loopback.bulk_in(now, endpoint, room),
        }
    }

    fn interrupt_in(&mut self, now: Instant, endpoint: EndpointAddress, room: &mut [u8]) -> In {
        self.loopback.interrupt_in(now, endpoint, room)
    }

    fn clear_halt(&mut self, endpoint: EndpointAddress) {
        self.loopback.clear_halt(endpoint);
    }

    fn reset(&mut self) {
        if self.hand.revives.load(Ordering::SeqCst) {
            self.hand.silent.store(false, Ordering::SeqCst);
        }
        self.loopback.reset();
    }
}

/// The bus in this process, with resets that the test holds.
#[derive(Clone)]
struct HeldBus {
    bus: VirtualBus,
    hand: Arc<Hand>,
    reset: Reset,
    descriptors: fn(&mut Descriptors),
}

impl HeldBus {
    fn model(&self) -> Box<dyn Model> {
        let loopback = Loopback::new();
        let mut descriptors = loopback.descriptors().clone();
        (self.descriptors)(&mut descriptors);
        Box::new(Silent { loopback, descriptors, hand: self.hand.clone() })
    }
}

impl Bus for HeldBus {
    fn name(&self) -> &str {
        self.bus.name()
    }

    fn list(&self) -> Result<Vec<DeviceInfo>, Error> {
        self.bus.list()
    }

    fn descriptors(&self, location: &Location) -> Option<Vec<u8>> {
        self.bus.descriptors(location)
    }

    fn open(&self, location: &Location) -> Result<Box<dyn Device>, Error> {
        Ok(Box::new(HeldDevice { device: self.bus.open(location)?, bus: self.clone() }))
    }

    fn watch(&self, notify: Sender<()>) -> Result<Box<dyn Watch>, Error> {
        self.bus.watch(notify)
    }
}

struct HeldDevice {
    device: Box<dyn Device>,
    bus: HeldBus,
}

impl Device for HeldDevice {
    fn info(&self) -> &DeviceInfo {
        self.device.info()
    }

    fn claim(&mut self, interface: InterfaceNumber) -> Result<(), Error> {
        self.device.claim(interface)
    }

    fn release(&mut self, interface: InterfaceNumber) -> Result<(), Error> {
        self.device.release(interface)
    }

    fn alternate(&self, interface: InterfaceNumber) -> u8 {
        self.device.alternate(interface)
    }

    fn endpoint(&mut self, at: EndpointAddress, to: Sender<Completion>) -> Result<Box<dyn Endpoint>, Error> {
        self.device.endpoint(at, to)
    }

    fn set_alternate(&mut self, interface: InterfaceNumber, alternate: u8) -> Result<(), Error> {
        self.device.set_alternate(interface, alternate)
    }

    fn reset(&mut self) -> Result<(), Error> {
        let hand = &self.bus.hand;
        hand.resets.fetch_add(1, Ordering::SeqCst);
        if hand.latched.load(Ordering::SeqCst) {
            let (go_on, may) = unbounded();
            hand.latch.0.send(go_on).expect("the test has the other end");
            // Dropped, it goes on as well.
            let _ = may.recv();
        }
        let location = self.device.info().location.clone();
        let gone = || Error::new(ErrorKind::NoDevice, "reset the port");
        match self.bus.reset {
            Reset::Stays => self.device.reset(),
            Reset::Moves => {
                self.device.reset()?;
                self.bus.bus.plug_at(location.ports[0], self.bus.model());
                Err(gone())
            }
            Reset::Leaves => {
                self.bus.bus.unplug(&location);
                Err(gone())
            }
        }
    }

    fn close(self: Box<Self>, patience: Duration) -> Result<(), Error> {
        self.device.close(patience)
    }
}

/// A daemon with one scanner of this kind.
pub struct Bench {
    pub hand: Arc<Hand>,
    pub daemon: Running,
    pub bus: VirtualBus,
    held: HeldBus,
}

impl Bench {
    pub fn new(reset: Reset) -> Bench {
        Bench::with(reset, Config::default(), |_| ())
    }

    pub fn with(reset: Reset, config: Config, descriptors: fn(&mut Descriptors)) -> Bench {
        let (bus, hand) = (VirtualBus::new(), Hand::new());
        let held = HeldBus { bus: bus.clone(), hand: hand.clone(), reset, descriptors };
        bus.plug_at(1, held.model());
        let daemon = Running::start(config, vec![Arc::new(held.clone())]).expect("the daemon starts");
        Bench { hand, daemon, bus, held }
    }

    pub fn client(&self) -> Client {
        Client::new(self.daemon.connect().expect("a connection"))
    }

    pub fn open(&self) -> Client {
        let mut client = self.client();
        client.open("usbscan0");
        client
    }

    /// Switches it off and on.
    pub fn replug(&self) {
        self.bus.plug_at(1, self.held.model());
    }
}
