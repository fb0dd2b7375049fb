//! Requests that the kernel makes hurt while transfers are in flight: then they are written down as broken rules.

use usbscan_usb::{EndpointAddress, InterfaceNumber};
use usbscan_virtual::Unplugged;

use super::{Answer, ClientId, Usbfs};
use crate::ioctl;

impl Usbfs {
    pub(super) fn clear_halt(&self, endpoint: EndpointAddress) -> Answer {
        if self.is_busy(|busy| busy == endpoint || busy.is_control()) {
            return self.broken(format!("the halt of endpoint {endpoint} was cleared with transfers in flight"));
        }
        let Some(port) = self.port() else { return Answer::Errno(libc::ENODEV) };
        done_or_gone(port.clear_halt(endpoint))
    }

    pub(super) fn set_interface(&self, client: ClientId, asked: ioctl::SetInterface) -> Answer {
        let interface = InterfaceNumber(asked.interface as u8);
        let endpoints = self.endpoints(interface);
        if self.is_busy(|busy| busy.is_control() || endpoints.contains(&busy)) {
            return self.broken(format!("a setting of interface {interface} was chosen with transfers in flight"));
        }
        {
            let mut books = self.books.lock();
            if books.claims.get(&interface) != Some(&client) {
                return Answer::Errno(libc::EINVAL);
            }
            books.alternates.insert(interface, asked.alternate as u8);
        }
        let Some(port) = self.port() else { return Answer::Errno(libc::ENODEV) };
        done_or_gone(port.set_alternate(interface, asked.alternate as u8))
    }

    pub(super) fn reset(&self) -> Answer {
        if self.is_busy(|_| true) {
            return self.broken("the device was reset with transfers in flight");
        }
        let Some(port) = self.port() else { return Answer::Errno(libc::ENODEV) };
        self.books.lock().alternates.clear();
        done_or_gone(port.reset())
    }
}

fn done_or_gone(outcome: Result<(), Unplugged>) -> Answer {
    match outcome {
        Ok(()) => Answer::Now(0),
        Err(Unplugged) => Answer::Errno(libc::ENODEV),
    }
}
