//! URBs: submitted, discarded, given back by the device, reaped.

use std::collections::VecDeque;

use parking_lot::Mutex;
use usbscan_usb::{Direction, EndpointAddress, Setup, TransferStatus};
use usbscan_virtual::{Completed, Urb, UrbId};

use super::{Answer, Books, ClientId, Done, MEMORY, Pending, Usbfs, read, write};
use crate::glib::{Object, Umockdev};
use crate::ioctl;
use crate::node::Node;

impl Usbfs {
    pub(super) fn submit(&self, client: ClientId, argument: usize) -> Answer {
        let Some(port) = self.port() else { return Answer::Errno(libc::ENODEV) };
        let urb: ioctl::Urb = read(argument);
        let control = urb.kind == 2;
        let endpoint = if control { EndpointAddress::CONTROL } else { EndpointAddress(urb.endpoint) };
        if urb.flags != 0 {
            return self.broken(format!("an URB with flags {:#x}", urb.flags));
        }
        let buffer = copy_in(&urb, endpoint);
        let id = {
            let mut books = self.books.lock();
            let owner = self.owner(&books, endpoint).and_then(|interface| books.claims.get(&interface));
            if !control && owner != Some(&client) {
                books.broken_rules.push(format!("a transfer on endpoint {endpoint} of an interface not claimed"));
                return Answer::Errno(libc::EINVAL);
            }
            if books.memory + buffer.len() > MEMORY {
                return Answer::Errno(libc::ENOMEM);
            }
            books.memory += buffer.len();
            books.last_id += 1;
            let id = UrbId(books.last_id);
            books.pending.insert(id, Pending { client, urb: argument, endpoint, discarder: None });
            id
        };
        port.submit(Urb { id, endpoint, buffer: buffer.into() });
        Answer::Now(0)
    }

    /// The kernel kills an URB and waits until the host controller has given it back.
    pub(super) fn discard(&self, client: ClientId, argument: usize) -> Answer {
        let Some(port) = self.port() else { return Answer::Errno(libc::ENODEV) };
        let id = {
            let mut books = self.books.lock();
            let found = books.pending.iter_mut().find(|(_, p)| p.client == client && p.urb == argument);
            let Some((id, pending)) = found else { return Answer::Errno(libc::EINVAL) };
            pending.discarder = Some(client);
            *id
        };
        port.cancel(id);
        Answer::Later
    }

    pub(super) fn reap(&self, client: ClientId, argument: usize) -> Answer {
        let mut books = self.books.lock();
        let Some(done) = books.done.get_mut(&client).and_then(VecDeque::pop_front) else {
            if books.gone {
                return Answer::Errno(libc::ENODEV);
            }
            if books.done.values().all(VecDeque::is_empty) {
                self.node.set_ready(false);
            }
            return Answer::Errno(libc::EAGAIN);
        };
        books.memory -= done.given.buffer.len();
        drop(books);
        copy_out(&done);
        self.write(argument, done.urb)
    }
}

/// On the port's thread: the device gives a transfer back.
pub(super) fn take_back(api: Umockdev, node: &Node, books: &Mutex<Books>, given: Completed) {
    let mut books = books.lock();
    let Some(pending) = books.pending.remove(&given.id) else { return };
    books.done.entry(pending.client).or_default().push_back(Done { urb: pending.urb, given });
    node.set_ready(true);
    drop(books);
    if let Some(client) = pending.discarder {
        api.complete(client as Object, 0, 0);
    }
}

/// usbfs copies what goes out when the URB is submitted.
fn copy_in(urb: &ioctl::Urb, endpoint: EndpointAddress) -> Vec<u8> {
    let length = urb.buffer_length as usize;
    if length == 0 || (endpoint.direction() == Direction::In && !endpoint.is_control()) {
        return vec![0; length];
    }
    let mut bytes = vec![0; length];
    // SAFETY: libusb's URB has a buffer of this length, and its thread waits in the ioctl. No reference is made of it: it may
    // be in memory to which somebody else writes.
    unsafe { urb.buffer.copy_to_nonoverlapping(bytes.as_mut_ptr(), length) };
    bytes
}

/// usbfs copies what came in when the URB is reaped.
fn copy_out(done: &Done) {
    let Completed { buffer, actual, status, endpoint, .. } = &done.given;
    let mut urb: ioctl::Urb = read(done.urb);
    urb.status = match status {
        TransferStatus::Completed => 0,
        TransferStatus::Cancelled => -libc::ENOENT,
        TransferStatus::Stall => -libc::EPIPE,
        TransferStatus::Overflow => -libc::EOVERFLOW,
        TransferStatus::Error => -libc::EPROTO,
        TransferStatus::NoDevice => -libc::ESHUTDOWN,
    };
    urb.actual_length = *actual as i32;
    let from = if endpoint.is_control() { Setup::BYTES } else { 0 };
    let came_in =
        if endpoint.is_control() { buffer.bytes()[0] & 0x80 != 0 } else { endpoint.direction() == Direction::In };
    if came_in && *actual > 0 {
        let bytes = buffer.bytes_in(from..from + actual);
        // SAFETY: the transfer is in flight for libusb until this ioctl returns, so its buffer is there, and it
        // is as long as `buffer`, which `from` is within.
        let room = unsafe { urb.buffer.add(from) };
        // SAFETY: as above; `bytes` is a part of `buffer`, and a copy of our own.
        unsafe { room.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    }
    write(done.urb, urb);
}
