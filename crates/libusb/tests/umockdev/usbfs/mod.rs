//! usbfs for one virtual device: decodes the ioctls that libusb makes and carries them out on the device's port.
//!
//! It also keeps an eye on libusb's user: a step that the kernel would punish (a pipe reset under a transfer, a
//! handle closed with transfers in flight, SET_CONFIGURATION) is written down, and the rig fails on it.
//!
//! The ioctls arrive on umockdev's thread, what the device gives back on the port's. umockdev emulates for other
//! processes; this device's clients are in this one, so their memory is read and written as it is.

mod claims;
mod quiet;
mod transfers;

use std::collections::{HashMap, VecDeque};
use std::ffi::{c_int, c_void};
use std::mem::size_of;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use usbscan_usb::{EndpointAddress, InterfaceNumber};
use usbscan_virtual::{Completed, Descriptors, Event, Model, Port, UrbId};

use crate::glib::{Object, Umockdev};
use crate::ioctl;
use crate::node::Node;

/// What xHCI offers: all but BULK_CONTINUATION.
const CAPABILITIES: u32 = 0x1fd;
/// `usbfs_memory_mb`, by default.
const MEMORY: usize = 16 << 20;

/// What an ioctl comes to.
enum Answer {
    Now(i32),
    Errno(c_int),
    /// Completed later, by the port's thread.
    Later,
}

/// One open file of the node.
type ClientId = usize;

/// A transfer that the device has.
struct Pending {
    client: ClientId,
    urb: usize,
    endpoint: EndpointAddress,
    discarder: Option<ClientId>,
}

/// A transfer that waits to be reaped.
struct Done {
    urb: usize,
    given: Completed,
}

/// A kernel driver on an interface.
struct Driver {
    name: String,
    attached: bool,
    stays: bool,
}

#[derive(Default)]
struct Books {
    gone: bool,
    clients: Vec<ClientId>,
    last_id: u64,
    memory: usize,
    pending: HashMap<UrbId, Pending>,
    done: HashMap<ClientId, VecDeque<Done>>,
    claims: HashMap<InterfaceNumber, ClientId>,
    alternates: HashMap<InterfaceNumber, u8>,
    drivers: HashMap<InterfaceNumber, Driver>,
    ioctls: HashMap<u32, u32>,
    broken_rules: Vec<String>,
}

/// The usbfs side of a plugged device.
pub struct Usbfs {
    api: Umockdev,
    descriptors: Descriptors,
    node: Arc<Node>,
    port: Mutex<Option<Arc<Port>>>,
    books: Arc<Mutex<Books>>,
    /// The device's folder in the test bed's sysfs.
    folder: PathBuf,
}

impl Usbfs {
    pub fn plug(api: Umockdev, name: &str, model: Box<dyn Model>, folder: PathBuf) -> Usbfs {
        let (node, books) = (Arc::new(Node::new()), Arc::new(Mutex::new(Books::default())));
        let descriptors = model.descriptors().clone();
        let (its_node, its_books) = (node.clone(), books.clone());
        let port = Port::plug(name, model, move |event| {
            if let Event::Completed(given) = event {
                transfers::take_back(api, &its_node, &its_books, given);
            }
        });
        Usbfs { api, descriptors, node, port: Mutex::new(Some(Arc::new(port))), books, folder }
    }

    pub fn node(&self) -> &Node {
        &self.node
    }

    /// How often this ioctl was made.
    pub fn count(&self, request: u32) -> u32 {
        self.books.lock().ioctls.get(&request).copied().unwrap_or(0)
    }

    /// What libusb's user did that the kernel would punish.
    pub fn broken_rules(&self) -> Vec<String> {
        self.books.lock().broken_rules.clone()
    }

    /// What was pending comes back, and everything else fails from now on.
    pub fn unplug(&self) {
        let port = self.port.lock().take();
        if let Some(port) = &port {
            port.unplug();
        }
        drop(port);
        self.books.lock().gone = true;
        self.node.hang_up();
    }

    fn port(&self) -> Option<Arc<Port>> {
        self.port.lock().clone()
    }

    fn carry_out(&self, client: ClientId, request: u32, argument: usize) -> Answer {
        if self.books.lock().gone && request != ioctl::REAP_URB_NO_DELAY {
            return Answer::Errno(libc::ENODEV);
        }
        match request {
            ioctl::GET_CAPABILITIES => self.write(argument, CAPABILITIES),
            // High speed, as enum usb_device_speed has it.
            ioctl::GET_SPEED => Answer::Now(3),
            ioctl::GET_DRIVER => self.get_driver(argument),
            ioctl::CLAIM_INTERFACE => self.claim(client, read(argument), false),
            ioctl::DISCONNECT_CLAIM => self.claim(client, read(argument), true),
            ioctl::RELEASE_INTERFACE => self.release(client, read(argument)),
            ioctl::IOCTL => self.command(&read(argument)),
            ioctl::SUBMIT_URB => self.submit(client, argument),
            ioctl::DISCARD_URB => self.discard(client, argument),
            ioctl::REAP_URB_NO_DELAY => self.reap(client, argument),
            ioctl::CLEAR_HALT => self.clear_halt(EndpointAddress(read::<u32>(argument) as u8)),
            ioctl::SET_INTERFACE => self.set_interface(client, read(argument)),
            ioctl::RESET => self.reset(),
            ioctl::SET_CONFIGURATION => self.broken("SET_CONFIGURATION was sent"),
            _ => Answer::Errno(libc::ENOTTY),
        }
    }

    fn broken(&self, rule: impl Into<String>) -> Answer {
        self.books.lock().broken_rules.push(rule.into());
        Answer::Errno(libc::EINVAL)
    }

    fn write<T>(&self, argument: usize, value: T) -> Answer {
        write(argument, value);
        Answer::Now(0)
    }

    fn endpoints(&self, interface: InterfaceNumber) -> Vec<EndpointAddress> {
        let settings = self.descriptors.configuration.interfaces.iter().filter(|i| i.number == interface);
        settings.flat_map(|setting| &setting.endpoints).map(|endpoint| endpoint.address).collect()
    }

    /// The interface that has this endpoint in its present setting.
    fn owner(&self, books: &Books, endpoint: EndpointAddress) -> Option<InterfaceNumber> {
        let settings = self.descriptors.configuration.interfaces.iter();
        let present = settings.filter(|i| i.alternate == books.alternates.get(&i.number).copied().unwrap_or(0));
        present.filter(|i| i.endpoints.iter().any(|e| e.address == endpoint)).map(|i| i.number).next()
    }

    fn is_busy(&self, endpoint: impl Fn(EndpointAddress) -> bool) -> bool {
        self.books.lock().pending.values().any(|pending| endpoint(pending.endpoint))
    }

    fn meet(&self, client: ClientId, on_data: *mut c_void) {
        let mut books = self.books.lock();
        if !books.clients.contains(&client) {
            books.clients.push(client);
            self.api.on_disconnect(client as Object, disconnected, on_data);
        }
    }

    /// A file was closed: the kernel kills its URBs and takes its claims.
    fn forget(&self, client: ClientId) {
        let mut books = self.books.lock();
        let left: Vec<UrbId> = books.pending.iter().filter(|(_, p)| p.client == client).map(|(id, _)| *id).collect();
        if !left.is_empty() {
            books.broken_rules.push(format!("the device was closed with {} transfers in flight", left.len()));
        }
        books.claims.retain(|_, holder| *holder != client);
        let dropped = books.done.remove(&client).unwrap_or_default();
        books.memory -= dropped.iter().map(|done| done.given.buffer.len()).sum::<usize>();
        drop(books);
        if let Some(port) = self.port() {
            left.into_iter().for_each(|id| port.cancel(id));
        }
    }
}

/// umockdev's handler; `data` is an `Arc<Usbfs>` that was given up for good.
pub extern "C" fn handle_ioctl(_base: Object, client: Object, data: *mut c_void) -> c_int {
    // SAFETY: the rig passed a pointer that it leaked.
    let usbfs = unsafe { &*data.cast::<Usbfs>() };
    let (request, argument) = usbfs.api.request(client);
    usbfs.meet(client as ClientId, data);
    *usbfs.books.lock().ioctls.entry(request).or_default() += 1;
    match usbfs.carry_out(client as ClientId, request, argument) {
        Answer::Now(value) => usbfs.api.complete(client, value.into(), 0),
        Answer::Errno(errno) => usbfs.api.complete(client, -1, errno),
        Answer::Later => {}
    }
    1
}

extern "C" fn disconnected(client: Object, _property: *mut c_void, data: *mut c_void) {
    // SAFETY: as in `handle_ioctl`.
    let usbfs = unsafe { &*data.cast::<Usbfs>() };
    if !usbfs.api.is_connected(client) {
        usbfs.forget(client as ClientId);
    }
}

fn read<T: Copy>(address: usize) -> T {
    // SAFETY: an ioctl's argument points to the structure that the request is defined with, and the caller waits.
    unsafe { (address as *const T).read_unaligned() }
}

fn write<T>(address: usize, value: T) {
    debug_assert!(size_of::<T>() > 0);
    // SAFETY: as for `read`.
    unsafe { (address as *mut T).write_unaligned(value) }
}
