//! umockdev's test bed: a root hub, and devices that come and go. One for the whole process.

use std::ffi::c_void;
use std::fmt::Write;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use usbscan_usb::{ConfigurationDescriptor, Location, Speed};
use usbscan_virtual::{Descriptors, Model};

use crate::glib::{Object, Umockdev};
use crate::usbfs::{Usbfs, handle_ioctl};

const HUB: &str = "/devices/pci0000:00/0000:00:14.0/usb1";

/// The test bed.
pub struct Testbed {
    api: Umockdev,
    object: Object,
    root: PathBuf,
    last_address: std::cell::Cell<u8>,
}

/// A device in it.
pub struct Plugged {
    pub location: Location,
    pub usbfs: Arc<Usbfs>,
    syspath: String,
    node: String,
}

impl Testbed {
    /// Makes it, with a root hub: without one libusb thinks that something is wrong.
    pub fn new(api: Umockdev) -> Testbed {
        let object = api.new_testbed();
        let root = PathBuf::from(api.root(object));
        let testbed = Testbed { api, object, root, last_address: std::cell::Cell::new(1) };
        api.add(object, &description(HUB, &hub(), 1, "480"));
        testbed
    }

    /// Plugs a device into port `port`.
    pub fn plug(&self, port: u8, model: Box<dyn Model>) -> Plugged {
        // As Linux does: 1 is the hub, and an address comes back only after 126 others.
        let address = self.last_address.get() % 125 + 2;
        self.last_address.set(address);
        self.plug_as(port, address, model)
    }

    /// Plugs a device in under an address of the caller's choice.
    pub fn plug_as(&self, port: u8, address: u8, model: Box<dyn Model>) -> Plugged {
        let descriptors = model.descriptors().clone();
        let name = format!("1-{port}");
        let (path, node) = (format!("{HUB}/{name}"), format!("/dev/bus/usb/001/{address:03}"));
        let usbfs = Arc::new(Usbfs::plug(self.api, &name, model, self.root.join(format!("sys{path}"))));
        // The handler comes before the device, and the interfaces' folders before its arrival is told.
        let data = Arc::into_raw(usbfs.clone()).cast_mut().cast::<c_void>();
        self.api.attach(self.object, &node, handle_ioctl, data);
        let real_node = self.root.join(&node[1..]);
        fs::create_dir_all(real_node.parent().expect("a node has a folder")).expect("the test bed is ours");
        symlink(usbfs.node().path(), &real_node).expect("the address is new");
        self.api.add(self.object, &without_node(&description(&path, &descriptors, address, "480")));
        for interface in &descriptors.configuration.interfaces {
            let folder = format!("{path}/{name}:{}.{}", descriptors.configuration.value, interface.number);
            if interface.alternate == 0 {
                self.api.add(self.object, &interface_description(&folder));
            }
        }
        Plugged {
            location: Location { bus: 1, address, ports: vec![port] },
            usbfs,
            syspath: format!("/sys{path}"),
            node,
        }
    }

    /// Takes a device's node away; the answer makes it again, as udev does when it gets round to it.
    pub fn hide_node(&self, plugged: &Plugged) -> impl FnOnce() + Send + 'static {
        let (node, usbfs) = (self.root.join(&plugged.node[1..]), plugged.usbfs.clone());
        fs::remove_file(&node).expect("the node is a link");
        move || symlink(usbfs.node().path(), node).expect("it was taken away")
    }

    /// Unplugs it. Like Linux, takes it off the bus before it says so.
    pub fn unplug(&self, plugged: Plugged) {
        plugged.usbfs.unplug();
        let name = Path::new(&plugged.syspath).file_name().expect("a name").to_string_lossy().into_owned();
        let listed = self.root.join("sys/bus/usb/devices");
        for entry in fs::read_dir(&listed).expect("the hub is listed").flatten() {
            let entry_name = entry.file_name().to_string_lossy().into_owned();
            if entry_name == name || entry_name.starts_with(&format!("{name}:")) {
                fs::remove_file(entry.path()).expect("it is a link");
            }
        }
        fs::remove_file(self.root.join(&plugged.node[1..])).expect("the node is a link");
        self.api.detach(self.object, &plugged.node);
        self.api.uevent(self.object, &plugged.syspath, "remove");
        self.api.remove(self.object, &plugged.syspath);
    }
}

fn hub() -> Descriptors {
    let device = usbscan_usb::DeviceDescriptor {
        usb_version: 0x0200,
        class: 9,
        subclass: 0,
        protocol: 1,
        max_packet_size_0: 64,
        vendor: usbscan_usb::VendorId(0x1d6b),
        product: usbscan_usb::ProductId(2),
        device_version: 0x0600,
        manufacturer_index: 0,
        product_index: 0,
        serial_index: 0,
        configurations: 1,
    };
    let configuration = ConfigurationDescriptor { value: 1, attributes: 0xe0, max_power: 0, interfaces: Vec::new() };
    Descriptors {
        speed: Speed::High,
        device,
        configuration,
        manufacturer: "Linux".to_owned(),
        product: "Hub".to_owned(),
        serial: None,
    }
}

/// A device as umockdev reads it: path, node, udev's properties, attributes.
fn description(path: &str, descriptors: &Descriptors, address: u8, speed: &str) -> String {
    let device = &descriptors.device;
    let mut text = format!("P: {path}\nN: bus/usb/001/{address:03}\n");
    text += "E: SUBSYSTEM=usb\nE: DEVTYPE=usb_device\nE: BUSNUM=001\n";
    let _ = writeln!(text, "E: DEVNUM={address:03}\nE: DEVNAME=/dev/bus/usb/001/{address:03}");
    let _ = writeln!(text, "A: busnum=1\\n\nA: devnum={address}\\n\nA: speed={speed}\\n");
    let _ = writeln!(text, "A: idVendor={}\\n\nA: idProduct={}\\n", device.vendor, device.product);
    let _ = writeln!(text, "A: bConfigurationValue={}\\n", descriptors.configuration.value);
    let _ = writeln!(text, "A: manufacturer={}\\n\nA: product={}\\n", descriptors.manufacturer, descriptors.product);
    if let Some(serial) = &descriptors.serial {
        let _ = writeln!(text, "A: serial={serial}\\n");
    }
    text += "H: descriptors=";
    for byte in device.to_bytes().into_iter().chain(descriptors.configuration.to_bytes()) {
        let _ = write!(text, "{byte:02X}");
    }
    text.push('\n');
    text
}

/// The node is ours, not umockdev's.
fn without_node(description: &str) -> String {
    description.lines().filter(|line| !line.starts_with("N: ")).map(|line| format!("{line}\n")).collect()
}

fn interface_description(path: &str) -> String {
    format!("P: {path}\nE: SUBSYSTEM=usb\nE: DEVTYPE=usb_interface\nA: bAlternateSetting= 0\\n\n")
}
