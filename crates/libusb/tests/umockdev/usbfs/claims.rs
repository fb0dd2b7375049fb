//! Who has which interface: kernel drivers, and files of the node.

use usbscan_usb::InterfaceNumber;

use super::{Answer, ClientId, Driver, Usbfs, read};
use crate::ioctl;

impl Usbfs {
    /// Puts a kernel driver on an interface. One that stays can't be detached.
    pub fn bind_driver(&self, interface: InterfaceNumber, name: &str, stays: bool) {
        let driver = Driver { name: name.to_owned(), attached: true, stays };
        self.books.lock().drivers.insert(interface, driver);
        self.show_driver(interface);
    }

    /// Whether the kernel driver is on its interface.
    pub fn has_driver(&self, interface: InterfaceNumber) -> bool {
        self.books.lock().drivers.get(&interface).is_some_and(|driver| driver.attached)
    }

    pub(super) fn get_driver(&self, argument: usize) -> Answer {
        let asked: u32 = read(argument);
        let Some(name) = self.driver_of(InterfaceNumber(asked as u8)) else { return Answer::Errno(libc::ENODATA) };
        let mut driver = [0; 256];
        driver[..name.len()].copy_from_slice(name.as_bytes());
        self.write(argument, ioctl::GetDriver { interface: asked, driver })
    }

    pub(super) fn driver_of(&self, interface: InterfaceNumber) -> Option<String> {
        let books = self.books.lock();
        if books.claims.contains_key(&interface) {
            return Some("usbfs".to_owned());
        }
        books.drivers.get(&interface).filter(|driver| driver.attached).map(|driver| driver.name.clone())
    }

    /// Keeps the `driver` link of an interface in sysfs as it is in the kernel.
    pub(super) fn show_driver(&self, interface: InterfaceNumber) {
        let name = self.folder.file_name().expect("a device has a name").to_string_lossy().into_owned();
        let value = self.descriptors.configuration.value;
        let link = self.folder.join(format!("{name}:{value}.{interface}/driver"));
        let _ = std::fs::remove_file(&link);
        if let Some(driver) = self.driver_of(interface) {
            let target = format!("../../../../../../bus/usb/drivers/{driver}");
            std::os::unix::fs::symlink(target, link).expect("the interface has a folder");
        }
    }

    pub(super) fn claim(&self, client: ClientId, interface: u32, detach: bool) -> Answer {
        let interface = InterfaceNumber(interface as u8);
        if self.endpoints(interface).is_empty() {
            return Answer::Errno(if detach { libc::EINVAL } else { libc::ENOENT });
        }
        {
            let mut books = self.books.lock();
            if books.claims.get(&interface).is_some_and(|holder| *holder != client) {
                return Answer::Errno(libc::EBUSY);
            }
            if let Some(driver) = books.drivers.get_mut(&interface).filter(|driver| driver.attached) {
                if !detach || driver.stays {
                    return Answer::Errno(libc::EBUSY);
                }
                driver.attached = false;
            }
            books.claims.insert(interface, client);
        }
        self.show_driver(interface);
        Answer::Now(0)
    }

    pub(super) fn release(&self, client: ClientId, interface: u32) -> Answer {
        let interface = InterfaceNumber(interface as u8);
        let endpoints = self.endpoints(interface);
        if self.is_busy(|endpoint| endpoints.contains(&endpoint)) {
            return self.broken(format!("interface {interface} was released with transfers in flight"));
        }
        {
            let mut books = self.books.lock();
            if books.claims.get(&interface) != Some(&client) {
                return Answer::Errno(libc::EINVAL);
            }
            books.claims.remove(&interface);
            books.alternates.remove(&interface);
        }
        self.show_driver(interface);
        Answer::Now(0)
    }

    pub(super) fn command(&self, command: &ioctl::Ioctl) -> Answer {
        if command.code != ioctl::CONNECT {
            return Answer::Errno(libc::ENOTTY);
        }
        let interface = InterfaceNumber(command.interface as u8);
        {
            let mut books = self.books.lock();
            if books.claims.contains_key(&interface) {
                return Answer::Errno(libc::EBUSY);
            }
            let Some(driver) = books.drivers.get_mut(&interface) else { return Answer::Now(0) };
            driver.attached = true;
        }
        self.show_driver(interface);
        Answer::Now(1)
    }
}
