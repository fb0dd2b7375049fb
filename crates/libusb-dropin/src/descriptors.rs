//! A device's descriptors as Linux keeps them (the device's, then every configuration), and the trees of structs that
//! libusb makes of a configuration. No length in them is trusted.

use std::ffi::c_int;
use std::ptr;

use crate::abi::{self, ConfigDescriptor, DeviceDescriptor, EndpointDescriptor, Interface, InterfaceDescriptor};

/// Bytes of a device descriptor.
const DEVICE_BYTES: usize = 18;
/// Bytes of a configuration's own descriptor.
const CONFIG_BYTES: usize = 9;
/// Bytes of an interface descriptor.
const INTERFACE_BYTES: usize = 9;
/// Bytes of an endpoint descriptor; audio devices append two.
const ENDPOINT_BYTES: usize = 7;
const AUDIO_ENDPOINT_BYTES: usize = 9;

fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

/// The device descriptor; `None` where the bytes are none.
pub(crate) fn device(raw: &[u8]) -> Option<DeviceDescriptor> {
    let b = raw.get(..DEVICE_BYTES)?;
    (b[0] as usize >= DEVICE_BYTES && b[1] == abi::DT_DEVICE).then(|| DeviceDescriptor {
        bLength: b[0],
        bDescriptorType: b[1],
        bcdUSB: word(b, 2),
        bDeviceClass: b[4],
        bDeviceSubClass: b[5],
        bDeviceProtocol: b[6],
        bMaxPacketSize0: b[7],
        idVendor: word(b, 8),
        idProduct: word(b, 10),
        bcdDevice: word(b, 12),
        iManufacturer: b[14],
        iProduct: b[15],
        iSerialNumber: b[16],
        bNumConfigurations: b[17],
    })
}

/// The bytes of each configuration, in order.
pub(crate) fn configurations(raw: &[u8]) -> Vec<&[u8]> {
    let mut rest = raw.get(DEVICE_BYTES..).unwrap_or(&[]);
    let mut found = Vec::new();
    while rest.len() >= CONFIG_BYTES && rest[1] == abi::DT_CONFIG {
        let total = usize::from(word(rest, 2));
        if total < CONFIG_BYTES || total > rest.len() {
            break;
        }
        let (this, next) = rest.split_at(total);
        found.push(this);
        rest = next;
    }
    found
}

/// `bConfigurationValue` of a configuration from [`configurations`].
pub(crate) fn value(configuration: &[u8]) -> u8 {
    configuration[5]
}

/// A descriptor and what follows it up to the next of its parents' kind.
#[derive(Debug, Clone, Default)]
struct EndpointPart {
    bytes: Vec<u8>,
    extra: Vec<u8>,
}

#[derive(Debug, Clone, Default)]
struct SettingPart {
    bytes: Vec<u8>,
    endpoints: Vec<EndpointPart>,
    extra: Vec<u8>,
}

/// A configuration in parts: what stands where, with the descriptors that libusb does not know as `extra` of what they follow.
#[derive(Debug, Clone, Default)]
pub(crate) struct Configuration {
    head: Vec<u8>,
    settings: Vec<SettingPart>,
    extra: Vec<u8>,
}

impl Configuration {
    /// Takes a configuration from [`configurations`] apart. Descriptors behind one whose length can't be are left out, as
    /// libusb leaves them out.
    pub fn parse(raw: &[u8]) -> Configuration {
        let head_length = usize::from(raw[0]).clamp(CONFIG_BYTES, raw.len());
        let mut configuration = Configuration { head: raw[..CONFIG_BYTES].to_vec(), ..Configuration::default() };
        let mut rest = &raw[head_length..];
        while rest.len() >= 2 {
            let (length, kind) = (usize::from(rest[0]), rest[1]);
            if length < 2 || length > rest.len() {
                break;
            }
            let (this, next) = rest.split_at(length);
            configuration.add(kind, this);
            rest = next;
        }
        configuration
    }

    fn add(&mut self, kind: u8, this: &[u8]) {
        match kind {
            abi::DT_INTERFACE if this.len() >= INTERFACE_BYTES => {
                self.settings.push(SettingPart { bytes: this.to_vec(), ..SettingPart::default() });
            }
            abi::DT_ENDPOINT if this.len() >= ENDPOINT_BYTES && !self.settings.is_empty() => {
                let setting = self.settings.last_mut().expect("there is one");
                setting.endpoints.push(EndpointPart { bytes: this.to_vec(), ..EndpointPart::default() });
            }
            _ => self.extra().extend_from_slice(this),
        }
    }

    /// Where a descriptor goes that is none of the four kinds.
    fn extra(&mut self) -> &mut Vec<u8> {
        let Some(setting) = self.settings.last_mut() else { return &mut self.extra };
        match setting.endpoints.last_mut() {
            Some(endpoint) => &mut endpoint.extra,
            None => &mut setting.extra,
        }
    }

    /// The settings of each interface, in order of first appearance.
    fn by_interface(&self) -> Vec<Vec<&SettingPart>> {
        let mut groups: Vec<Vec<&SettingPart>> = Vec::new();
        for setting in &self.settings {
            let same = |group: &&mut Vec<&SettingPart>| group[0].bytes[2] == setting.bytes[2];
            match groups.iter_mut().find(same) {
                Some(group) => group.push(setting),
                None => groups.push(vec![setting]),
            }
        }
        groups
    }

    /// The descriptor bytes of an endpoint; of the setting `alternate` of `interface` where both are named, else of the first
    /// that has it.
    pub fn endpoint(&self, address: u8, of: Option<(u8, u8)>) -> Option<Endpoint> {
        let wanted =
            |setting: &&SettingPart| of.is_none_or(|(number, alternate)| setting.bytes[2..4] == [number, alternate]);
        let mut endpoints = self.settings.iter().filter(wanted).flat_map(|setting| &setting.endpoints);
        let found = endpoints.find(|endpoint| endpoint.bytes[2] == address)?;
        Some(Endpoint { transfer_type: found.bytes[3] & 3, max_packet_size: word(&found.bytes, 4) })
    }

    /// Whether an interface has such a setting.
    pub fn has_setting(&self, number: u8, alternate: u8) -> bool {
        self.settings.iter().any(|setting| setting.bytes[2..4] == [number, alternate])
    }

    /// Whether there is such an interface.
    pub fn has_interface(&self, number: u8) -> bool {
        self.settings.iter().any(|setting| setting.bytes[2] == number)
    }
}

/// What a transfer must know of its endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Bits 1-0 of `bmAttributes`.
    pub transfer_type: u8,
    /// `wMaxPacketSize`, raw.
    pub max_packet_size: u16,
}

/// A configuration as C sees it. `config` comes first, so its address is the tree's, by which it is freed. The vectors behind
/// the pointers are not touched while it lives.
#[derive(Debug)]
#[repr(C)]
struct Tree {
    config: ConfigDescriptor,
    parts: Configuration,
    interfaces: Vec<Interface>,
    settings: Vec<Vec<InterfaceDescriptor>>,
    endpoints: Vec<Vec<EndpointDescriptor>>,
}

/// A pointer to extra descriptors, null where there are none.
fn extra(bytes: &[u8]) -> (*const u8, c_int) {
    if bytes.is_empty() { (ptr::null(), 0) } else { (bytes.as_ptr(), bytes.len() as c_int) }
}

fn endpoint_of(part: &EndpointPart) -> EndpointDescriptor {
    let b = &part.bytes;
    let audio = b.len() >= AUDIO_ENDPOINT_BYTES;
    let (extra, extra_length) = extra(&part.extra);
    EndpointDescriptor {
        bLength: b[0],
        bDescriptorType: b[1],
        bEndpointAddress: b[2],
        bmAttributes: b[3],
        wMaxPacketSize: word(b, 4),
        bInterval: b[6],
        bRefresh: if audio { b[7] } else { 0 },
        bSynchAddress: if audio { b[8] } else { 0 },
        extra,
        extra_length,
    }
}

fn setting_of(part: &SettingPart, endpoints: &[EndpointDescriptor]) -> InterfaceDescriptor {
    let b = &part.bytes;
    let (extra, extra_length) = extra(&part.extra);
    InterfaceDescriptor {
        bLength: b[0],
        bDescriptorType: b[1],
        bInterfaceNumber: b[2],
        bAlternateSetting: b[3],
        bNumEndpoints: endpoints.len() as u8,
        bInterfaceClass: b[5],
        bInterfaceSubClass: b[6],
        bInterfaceProtocol: b[7],
        iInterface: b[8],
        endpoint: if endpoints.is_empty() { ptr::null() } else { endpoints.as_ptr() },
        extra,
        extra_length,
    }
}

/// Makes the tree that a C program is given. It goes back to [`free`], once.
pub(crate) fn tree(raw: &[u8]) -> *mut ConfigDescriptor {
    let parts = Configuration::parse(raw);
    let mut tree = Box::new(Tree {
        config: ConfigDescriptor {
            bLength: parts.head[0],
            bDescriptorType: parts.head[1],
            wTotalLength: word(&parts.head, 2),
            bNumInterfaces: 0,
            bConfigurationValue: parts.head[5],
            iConfiguration: parts.head[6],
            bmAttributes: parts.head[7],
            MaxPower: parts.head[8],
            interface: ptr::null(),
            extra: ptr::null(),
            extra_length: 0,
        },
        parts,
        interfaces: Vec::new(),
        settings: Vec::new(),
        endpoints: Vec::new(),
    });
    // Pointers are taken only of vectors that are in their place and full.
    let tree_ref = &mut *tree;
    for group in tree_ref.parts.by_interface() {
        let mut settings = Vec::new();
        for setting in group {
            tree_ref.endpoints.push(setting.endpoints.iter().map(endpoint_of).collect());
            settings.push(setting_of(setting, tree_ref.endpoints.last().expect("just pushed")));
        }
        tree_ref.settings.push(settings);
        let settings = tree_ref.settings.last().expect("just pushed");
        tree_ref.interfaces.push(Interface { altsetting: settings.as_ptr(), num_altsetting: settings.len() as c_int });
    }
    tree_ref.config.bNumInterfaces = tree_ref.interfaces.len() as u8;
    if !tree_ref.interfaces.is_empty() {
        tree_ref.config.interface = tree_ref.interfaces.as_ptr();
    }
    (tree_ref.config.extra, tree_ref.config.extra_length) = extra(&tree_ref.parts.extra);
    Box::into_raw(tree).cast()
}

/// Frees a tree.
///
/// # Safety
/// `config` is null, or came from [`tree`] and was not freed before.
pub(crate) unsafe fn free(config: *mut ConfigDescriptor) {
    if !config.is_null() {
        // SAFETY: it is the address of a `Tree` that was boxed there, as the caller promises.
        drop(unsafe { Box::from_raw(config.cast::<Tree>()) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A made-up device with two interfaces, the first with two settings, and class descriptors in all three places.
    fn sample() -> Vec<u8> {
        let mut raw = vec![18, 1, 0x00, 0x02, 0, 0, 0, 64, 0xb8, 0x04, 0x51, 0x01, 0x00, 0x01, 1, 2, 3, 1];
        let body: &[&[u8]] = &[
            &[8, 11, 0, 2, 7, 1, 4, 0],
            &[9, 4, 0, 0, 1, 255, 255, 255, 0],
            &[3, 0x24, 0xaa],
            &[7, 5, 0x81, 2, 0x00, 0x02, 0],
            &[4, 0x25, 1, 2],
            &[9, 4, 0, 1, 0, 7, 1, 4, 0],
            &[9, 4, 1, 0, 1, 8, 6, 80, 0],
            &[9, 5, 0x83, 3, 0x08, 0x00, 16, 5, 6],
        ];
        let total = 9 + body.iter().map(|d| d.len()).sum::<usize>();
        raw.extend([9, 2, total as u8, 0, 2, 1, 4, 0xc0, 1]);
        body.iter().for_each(|descriptor| raw.extend_from_slice(descriptor));
        raw
    }

    #[test]
    fn a_device_descriptor_is_read_and_a_shorter_one_is_not() {
        let raw = sample();
        let device = device(&raw).unwrap();
        assert_eq!((device.idVendor, device.idProduct, device.iSerialNumber), (0x04b8, 0x0151, 3));
        assert!(super::device(&raw[..17]).is_none());
        assert!(super::device(&raw[18..]).is_none());
    }

    #[test]
    fn the_tree_has_every_interface_setting_endpoint_and_extra() {
        let raw = sample();
        let tree = tree(configurations(&raw)[0]);
        // SAFETY: it was just made.
        let config = unsafe { &*tree };
        assert_eq!((config.bNumInterfaces, config.bConfigurationValue, config.extra_length), (2, 1, 8));
        // SAFETY: it says that there are two.
        let interfaces = unsafe { std::slice::from_raw_parts(config.interface, 2) };
        assert_eq!(interfaces.iter().map(|i| i.num_altsetting).collect::<Vec<_>>(), [2, 1]);
        // SAFETY: it says that there are two.
        let settings = unsafe { std::slice::from_raw_parts(interfaces[0].altsetting, 2) };
        assert_eq!((settings[0].bNumEndpoints, settings[1].bNumEndpoints), (1, 0));
        assert!(settings[1].endpoint.is_null());
        // SAFETY: it has three bytes of extra descriptors.
        assert_eq!(unsafe { std::slice::from_raw_parts(settings[0].extra, 3) }, [3, 0x24, 0xaa]);
        // SAFETY: it has one endpoint.
        let bulk = unsafe { &*settings[0].endpoint };
        assert_eq!((bulk.bEndpointAddress, bulk.wMaxPacketSize, bulk.extra_length), (0x81, 512, 4));
        // SAFETY: the second interface has one setting with one endpoint.
        let second = unsafe { &*interfaces[1].altsetting };
        // SAFETY: likewise.
        let interrupt = unsafe { &*second.endpoint };
        assert_eq!((interrupt.bRefresh, interrupt.bSynchAddress), (5, 6));
        // SAFETY: it is freed once.
        unsafe { free(tree) };
    }

    #[test]
    fn an_endpoint_is_found_by_its_address_and_its_setting() {
        let raw = sample();
        let parts = Configuration::parse(configurations(&raw)[0]);
        let bulk = Endpoint { transfer_type: 2, max_packet_size: 512 };
        assert_eq!(parts.endpoint(0x81, None), Some(bulk));
        assert_eq!(parts.endpoint(0x81, Some((0, 1))), None);
        assert_eq!(parts.endpoint(0x83, Some((1, 0))).map(|e| e.transfer_type), Some(3));
        assert!(parts.has_interface(1) && !parts.has_interface(2));
    }

    #[test]
    fn bytes_cut_anywhere_and_changed_anywhere_make_a_tree_that_can_be_freed() {
        let raw = sample();
        for end in 0..=raw.len() {
            for at in 0..end {
                for byte in [0, 1, 4, 5, 255] {
                    let mut cut = raw[..end].to_vec();
                    cut[at] = byte;
                    device(&cut);
                    for configuration in configurations(&cut) {
                        // SAFETY: it was just made.
                        unsafe { free(tree(configuration)) };
                    }
                }
            }
        }
    }
}
