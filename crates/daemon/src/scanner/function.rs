//! Which devices are scanners, by which of their interfaces, and what they speak. Functions of descriptors.

use std::fmt;

use usbscan_usb::{
    ConfigurationDescriptor, DeviceInfo, Direction, EndpointDescriptor, InterfaceDescriptor, InterfaceNumber, Speed,
    TransferType,
};
use usbscan_wire::{PipeDescription, printable};

use crate::config::models::{Model, Protocol};
use crate::pipe::orders::Role;

/// USB still image capture device (PIMA 15740); Microsoft's WIA scanners use it too.
const STILL_IMAGE: (u8, u8, u8) = (6, 1, 1);
/// IPP over USB, which carries eSCL.
const IPP_OVER_USB: (u8, u8, u8) = (7, 1, 4);
/// What some of HP's call the same.
const HP_IPP_OVER_USB: (u8, u8, u8) = (255, 9, 1);
/// HP's vendor id.
const HP: u16 = 0x03f0;
/// `bInterfaceClass` of an interface of the maker's own, and `bDeviceClass` of a device that is one as a whole.
const VENDOR_CLASS: u8 = 0xff;
/// `bDeviceClass` of a device whose interfaces say what they are.
const CLASS_BY_INTERFACE: u8 = 0;
/// `bInterfaceClass` of what SANE's backends take for a scanner: none, still image, 16, and the maker's own.
const CLASSES_OF_SANE: [u8; 4] = [0, 6, 16, VENDOR_CLASS];
/// The test device: pid.codes' first number, for experiments.
const LOOPBACK: (u16, u16) = (0x1209, 0x0001);

/// Endpoints that an interface can have: 15 each way (USB 2.0, section 9.6.6).
const MOST_ENDPOINTS: usize = 30;
/// Characters of a name that a device gives itself. A string descriptor may have 126 (USB 2.0, section 9.6.7), scanners
/// have some twenty; lists of many scanners must fit into one header.
const NAME_CHARACTERS: usize = 64;

/// The interface of a device that makes it a scanner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Function {
    /// `bInterfaceNumber`.
    pub interface: InterfaceNumber,
    /// The alternate setting in which it is one.
    pub alternate: u8,
    /// Whether the class has requests of its own for cancelling: a still image device.
    pub still_image: bool,
    /// What it speaks.
    pub speaks: Speaks,
}

/// What the scanner in an interface speaks, as far as anybody says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    /// As the model table says, or the class of driverless scanners.
    Protocol(Protocol),
    /// A still image device that no table has.
    StillImage,
    /// The test device.
    Loopback,
}

/// As `list` says it.
impl fmt::Display for Speaks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Speaks::Protocol(protocol) => protocol.fmt(f),
            Speaks::StillImage => f.write_str("still-image"),
            Speaks::Loopback => f.write_str("loopback"),
        }
    }
}

impl Function {
    /// Whether nothing but its class says that it is a scanner, which is that of cameras and phones too.
    pub fn may_be_a_camera(&self) -> bool {
        self.speaks == Speaks::StillImage
    }
}

/// What a device says of itself, with a bound on each part of it. Its names are cut, and characters that are for terminals
/// replaced, here and nowhere else: what is listed, logged and printed later is harmless.
pub(crate) fn clamp_descriptors(mut info: DeviceInfo) -> DeviceInfo {
    for interface in info.configuration.iter_mut().flat_map(|configuration| &mut configuration.interfaces) {
        interface.endpoints.truncate(MOST_ENDPOINTS);
    }
    for name in [&mut info.manufacturer, &mut info.product, &mut info.serial] {
        *name = name.take().map(|name| printable(&name, NAME_CHARACTERS)).filter(|name| !name.is_empty());
    }
    info
}

/// The ways to the scanner in a device, that which is preferred first: its own protocol, as the model table says; eSCL, as the
/// class says; a backend of SANE's, as the table says; the class of still image devices, for which others have drivers. Each on
/// an interface of its own, so that one may be free while another program has the next.
pub(crate) fn scanners(info: &DeviceInfo, model: Option<&Model>) -> Vec<Function> {
    let Some(configuration) = info.configuration.as_ref() else { return Vec::new() };
    let protocol = model.and_then(|model| model.protocol);
    let own = match protocol {
        Some(Protocol::Esci | Protocol::Esci2) => {
            vendor_interface(configuration).or_else(|| by_class(configuration, STILL_IMAGE))
        }
        // The class says that, too.
        Some(Protocol::Escl | Protocol::Sane(_)) | None => None,
    };
    let sane = match protocol {
        Some(Protocol::Sane(_)) => interface_of_sane(info.descriptor.class, configuration),
        _ => None,
    };
    let by_table = |interface| protocol.map(|protocol| (interface, Speaks::Protocol(protocol)));
    let (vendor, product) = (info.descriptor.vendor.0, info.descriptor.product.0);
    let escl = by_class(configuration, IPP_OVER_USB)
        .or_else(|| by_class(configuration, HP_IPP_OVER_USB).filter(|_| vendor == HP))
        .map(|interface| (interface, Speaks::Protocol(Protocol::Escl)));
    let alone = if (vendor, product) == LOOPBACK { Speaks::Loopback } else { Speaks::StillImage };
    let still_image = by_class(configuration, STILL_IMAGE).map(|interface| (interface, alone));
    let mut all: Vec<Function> = Vec::new();
    for (interface, speaks) in
        [own.and_then(by_table), escl, sane.and_then(by_table), still_image].into_iter().flatten()
    {
        if all.iter().all(|one| one.interface != interface.number) {
            all.push(Function {
                interface: interface.number,
                alternate: interface.alternate,
                still_image: interface.class_triple() == STILL_IMAGE,
                speaks,
            });
        }
    }
    all
}

/// The interface that SANE's backends take, all of which choose it alike: the first of a class in which scanners are, or the
/// first at all of a device that is the maker's own as a whole. They look at first settings alone.
fn interface_of_sane(class: u8, configuration: &ConfigurationDescriptor) -> Option<&InterfaceDescriptor> {
    configuration.interfaces.iter().filter(|interface| interface.alternate == 0).find(|interface| match class {
        VENDOR_CLASS => true,
        CLASS_BY_INTERFACE => CLASSES_OF_SANE.contains(&interface.class),
        _ => false,
    })
}

/// Another interface of the same device, for devices with several scanners in them.
pub(crate) fn other(info: &DeviceInfo, number: u8, functions: &[Function]) -> Option<Function> {
    if let Some(known) = functions.iter().find(|one| one.interface.0 == number) {
        return Some(*known);
    }
    let interfaces = &info.configuration.as_ref()?.interfaces;
    let interface = interfaces.iter().find(|i| i.number == InterfaceNumber(number))?;
    Some(Function {
        interface: interface.number,
        alternate: interface.alternate,
        still_image: interface.class_triple() == STILL_IMAGE,
        speaks: functions.first()?.speaks,
    })
}

fn by_class(configuration: &ConfigurationDescriptor, triple: (u8, u8, u8)) -> Option<&InterfaceDescriptor> {
    configuration.interfaces.iter().find(|interface| interface.class_triple() == triple)
}

fn vendor_interface(configuration: &ConfigurationDescriptor) -> Option<&InterfaceDescriptor> {
    let both = |i: &&InterfaceDescriptor| {
        let has = |direction| i.endpoint(TransferType::Bulk, direction).is_some();
        i.class == VENDOR_CLASS && has(Direction::In) && has(Direction::Out)
    };
    configuration.interfaces.iter().find(both)
}

/// The endpoints of a function, in the order of the descriptors: the array of `pipe-configuration`.
pub(crate) fn endpoints(info: &DeviceInfo, function: Function) -> &[EndpointDescriptor] {
    let interfaces = info.configuration.as_ref().map_or(&[][..], |configuration| &configuration.interfaces);
    let its = |i: &&InterfaceDescriptor| i.number == function.interface && i.alternate == function.alternate;
    interfaces.iter().find(its).map_or(&[], |interface| &interface.endpoints)
}

/// The settings of an interface.
pub(crate) fn settings(info: &DeviceInfo, interface: InterfaceNumber) -> impl Iterator<Item = &InterfaceDescriptor> {
    let all = info.configuration.iter().flat_map(|configuration| &configuration.interfaces);
    all.filter(move |setting| setting.number == interface)
}

/// What an endpoint of a claimed interface is used as: interrupts out are written like anything else.
pub(crate) fn role_when_claimed(endpoint: &EndpointDescriptor) -> Option<Role> {
    let out = endpoint.transfer_type == TransferType::Interrupt && endpoint.address.direction() == Direction::Out;
    if out { Some(Role::Write) } else { role(endpoint) }
}

/// What an endpoint is used as.
pub(crate) fn role(endpoint: &EndpointDescriptor) -> Option<Role> {
    Role::of(endpoint.transfer_type, endpoint.address.direction()).filter(|role| *role != Role::Control)
}

/// Which endpoint a session gets for a role: that with the given index, else the one with the highest number.
/// `Err` when the index is that of none, or of another kind.
pub(crate) fn choose(
    endpoints: &[EndpointDescriptor],
    wanted: Role,
    index: Option<u8>,
) -> Result<Option<EndpointDescriptor>, ()> {
    match index {
        Some(index) => {
            let found = endpoints.get(usize::from(index)).filter(|endpoint| role(endpoint) == Some(wanted));
            found.copied().map(Some).ok_or(())
        }
        None => {
            let truncate = endpoints.iter().filter(|endpoint| role(endpoint) == Some(wanted));
            Ok(truncate.max_by_key(|endpoint| endpoint.address.number()).copied())
        }
    }
}

/// An endpoint, as clients see it.
pub(crate) fn describe(index: usize, endpoint: &EndpointDescriptor, speed: Speed, bound: bool) -> PipeDescription {
    let pipe_type = match endpoint.transfer_type {
        TransferType::Control => "control",
        TransferType::Isochronous => "isochronous",
        TransferType::Bulk => "bulk",
        TransferType::Interrupt => "interrupt",
    };
    let interval_ms = if endpoint.transfer_type == TransferType::Interrupt { interval_ms(endpoint, speed) } else { 0 };
    PipeDescription {
        index: index as u8,
        pipe_type: pipe_type.to_owned(),
        endpoint: endpoint.address.0,
        direction: if endpoint.address.direction() == Direction::In { "in" } else { "out" }.to_owned(),
        max_packet_size: endpoint.max_packet_size,
        interval_ms,
        bound: role(endpoint).filter(|_| bound).map(|role| role.pipe().to_string()),
    }
}

/// `bInterval` counts milliseconds on slow links, and is an exponent of 125 µs on fast ones (USB 2.0, table 9-13).
fn interval_ms(endpoint: &EndpointDescriptor, speed: Speed) -> u32 {
    let raw = u32::from(endpoint.interval);
    match speed {
        Speed::High | Speed::Super | Speed::SuperPlus => (1 << raw.clamp(1, 16) >> 4).max(1),
        Speed::Unknown | Speed::Low | Speed::Full => raw,
    }
}

#[cfg(test)]
mod tests {
    use usbscan_usb::EndpointAddress;

    use super::*;

    fn endpoint(address: u8, transfer_type: TransferType, interval: u8) -> EndpointDescriptor {
        EndpointDescriptor { address: EndpointAddress(address), transfer_type, max_packet_size: 512, interval }
    }

    fn device(vendor: u16, interfaces: &[(u8, u8, (u8, u8, u8))]) -> DeviceInfo {
        let bus = usbscan_virtual::VirtualBus::new();
        bus.plug_spec("loopback").expect("a model");
        let mut info = usbscan_usb::Bus::list(&bus).expect("a list").remove(0);
        info.descriptor.vendor.0 = vendor;
        let pipes = [endpoint(0x81, TransferType::Bulk, 0), endpoint(0x02, TransferType::Bulk, 0)];
        let setting = |(number, alternate, (class, subclass, protocol)): &(u8, u8, (u8, u8, u8))| InterfaceDescriptor {
            number: InterfaceNumber(*number),
            alternate: *alternate,
            class: *class,
            subclass: *subclass,
            protocol: *protocol,
            string_index: 0,
            endpoints: pipes.to_vec(),
        };
        info.configuration.as_mut().expect("one").interfaces = interfaces.iter().map(setting).collect();
        info
    }

    /// What it speaks, its interface and its setting.
    fn ways(info: &DeviceInfo, model: Option<&Model>) -> Vec<String> {
        let text = |way: &Function| format!("{} {}.{}", way.speaks, way.interface.0, way.alternate);
        scanners(info, model).iter().map(text).collect()
    }

    #[test]
    fn a_device_has_a_way_to_its_scanner_on_each_interface_that_is_one() {
        let esci = crate::config::models::Table::built_in();
        let esci = esci.find(usbscan_usb::VendorId(0x04b8), usbscan_usb::ProductId(0x0151)).expect("a model");
        let ipp = (7, 1, 4);
        let all_in_one = device(0x04b8, &[(0, 0, (255, 255, 255)), (1, 0, (7, 1, 2)), (1, 1, ipp), (2, 0, ipp)]);
        assert_eq!(ways(&all_in_one, Some(esci)), ["esci 0.0", "escl 1.1"]);
        assert_eq!(ways(&all_in_one, None), ["escl 1.1"]);
        let both = device(0x1234, &[(0, 0, (6, 1, 1)), (1, 0, ipp)]);
        assert_eq!(ways(&both, None), ["escl 1.0", "still-image 0.0"]);
        assert_eq!(ways(&device(HP, &[(0, 0, HP_IPP_OVER_USB)]), None), ["escl 0.0"]);
        assert!(ways(&device(0x1234, &[(0, 0, HP_IPP_OVER_USB)]), None).is_empty());
    }

    #[test]
    fn a_model_that_only_sane_drives_is_a_scanner_on_the_interface_that_sane_takes_and_behind_escl() {
        let table = crate::config::models::Table::built_in();
        let pixma = table.find(usbscan_usb::VendorId(0x04a9), usbscan_usb::ProductId(0x1709)).expect("a model");
        let (ipp, own, printer) = ((7, 1, 4), (255, 0, 255), (7, 1, 2));
        let of = |interfaces: &[_]| ways(&device(0x04a9, interfaces), Some(pixma));
        assert_eq!(of(&[(0, 0, own), (1, 0, printer)]), ["sane:pixma 0.0"]);
        assert_eq!(of(&[(0, 0, printer), (1, 0, own), (2, 0, ipp)]), ["escl 2.0", "sane:pixma 1.0"]);
        assert_eq!(of(&[(0, 0, (6, 1, 1))]), ["sane:pixma 0.0"], "the table knows more than the class");
        // What is a printer alone is no scanner, whatever table its ids are in.
        assert!(of(&[(0, 0, printer)]).is_empty());
        assert!(of(&[(0, 0, printer), (0, 1, own)]).is_empty(), "SANE looks at first settings");
        let mut whole = device(0x04a9, &[(0, 0, (3, 0, 0))]);
        assert!(ways(&whole, Some(pixma)).is_empty());
        whole.descriptor.class = 0xff;
        assert_eq!(ways(&whole, Some(pixma)), ["sane:pixma 0.0"]);
    }

    #[test]
    fn without_an_index_the_highest_numbered_endpoint_is_taken() {
        let bulk = |address| endpoint(address, TransferType::Bulk, 0);
        let endpoints = [bulk(0x85), bulk(0x02), bulk(0x81), endpoint(0x83, TransferType::Interrupt, 4)];
        let chosen = |role, index| choose(&endpoints, role, index).map(|found| found.map(|e| e.address.0));
        assert_eq!(chosen(Role::Read, None), Ok(Some(0x85)));
        assert_eq!(chosen(Role::Read, Some(2)), Ok(Some(0x81)));
        assert_eq!(chosen(Role::Read, Some(1)), Err(()), "that one goes out");
        assert_eq!(chosen(Role::Read, Some(9)), Err(()));
        assert_eq!(choose(&endpoints[..1], Role::Write, None), Ok(None));
    }

    #[test]
    fn an_interval_is_told_in_milliseconds() {
        let every = |interval, speed| interval_ms(&endpoint(0x83, TransferType::Interrupt, interval), speed);
        assert_eq!(every(4, Speed::High), 1);
        assert_eq!(every(8, Speed::High), 16);
        assert_eq!(every(1, Speed::Super), 1);
        assert_eq!(every(10, Speed::Full), 10);
        assert_eq!(every(0, Speed::High), 1);
        assert_eq!(every(255, Speed::High), 4096);
    }
}
