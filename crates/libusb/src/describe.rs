//! A device as the seam describes it, from what libusb and Linux have cached: no I/O on the wire.

use libusb1_sys as ffi;
use rusb::{Context, UsbContext};
use usbscan_usb::{
    ConfigurationDescriptor, DeviceDescriptor, DeviceInfo, EndpointAddress, EndpointDescriptor, InterfaceDescriptor,
    InterfaceNumber, Location, ProductId, Speed, TransferType, VendorId,
};

use crate::sysfs;

/// Where a device is.
pub(crate) fn location(device: &rusb::Device<Context>) -> Location {
    let ports = device.port_numbers().unwrap_or_default();
    Location { bus: device.bus_number(), address: device.address(), ports }
}

/// All that is known of a device.
pub(crate) fn info(device: &rusb::Device<Context>) -> Result<DeviceInfo, rusb::Error> {
    let location = location(device);
    Ok(DeviceInfo {
        speed: speed(device.speed()),
        descriptor: device_descriptor(device)?,
        configuration: configuration(device, &location),
        manufacturer: sysfs::text(&location, "manufacturer"),
        product: sysfs::text(&location, "product"),
        serial: sysfs::text(&location, "serial"),
        access: sysfs::access(&location),
        location,
    })
}

fn speed(speed: rusb::Speed) -> Speed {
    match speed {
        rusb::Speed::Low => Speed::Low,
        rusb::Speed::Full => Speed::Full,
        rusb::Speed::High => Speed::High,
        rusb::Speed::Super => Speed::Super,
        rusb::Speed::SuperPlus => Speed::SuperPlus,
        _ => Speed::Unknown,
    }
}

/// Through the C struct, because rusb makes decimal versions of `bcdUSB` and `bcdDevice`, which loses digits.
pub(crate) fn device_descriptor(device: &rusb::Device<Context>) -> Result<DeviceDescriptor, rusb::Error> {
    let mut raw = std::mem::MaybeUninit::<ffi::libusb_device_descriptor>::uninit();
    // SAFETY: libusb fills the whole struct from its cache; rusb's Device keeps its pointer valid.
    let code = unsafe { ffi::libusb_get_device_descriptor(device.as_raw(), raw.as_mut_ptr()) };
    if code != 0 {
        return Err(rusb::Error::Other);
    }
    // SAFETY: the call above answered success, so the struct is filled.
    let raw = unsafe { raw.assume_init() };
    Ok(DeviceDescriptor {
        usb_version: raw.bcdUSB,
        class: raw.bDeviceClass,
        subclass: raw.bDeviceSubClass,
        protocol: raw.bDeviceProtocol,
        max_packet_size_0: raw.bMaxPacketSize0,
        vendor: VendorId(raw.idVendor),
        product: ProductId(raw.idProduct),
        device_version: raw.bcdDevice,
        manufacturer_index: raw.iManufacturer,
        product_index: raw.iProduct,
        serial_index: raw.iSerialNumber,
        configurations: raw.bNumConfigurations,
    })
}

/// The configuration that the device is in; `None` when it is in none, or when its descriptors make no sense.
fn configuration(device: &rusb::Device<Context>, location: &Location) -> Option<ConfigurationDescriptor> {
    let raw = match device.active_config_descriptor() {
        Ok(raw) => raw,
        Err(rusb::Error::NotFound) => return None,
        Err(error) => {
            log::warn!("the configuration of {location} can't be read: {error}");
            return None;
        }
    };
    Some(ConfigurationDescriptor {
        value: raw.number(),
        attributes: 0x80 | u8::from(raw.self_powered()) << 6 | u8::from(raw.remote_wakeup()) << 5,
        max_power: (raw.max_power() / 2) as u8,
        interfaces: raw.interfaces().flat_map(|interface| interface.descriptors()).map(|i| setting(&i)).collect(),
    })
}

fn setting(raw: &rusb::InterfaceDescriptor<'_>) -> InterfaceDescriptor {
    InterfaceDescriptor {
        number: InterfaceNumber(raw.interface_number()),
        alternate: raw.setting_number(),
        class: raw.class_code(),
        subclass: raw.sub_class_code(),
        protocol: raw.protocol_code(),
        string_index: raw.description_string_index().unwrap_or(0),
        endpoints: raw.endpoint_descriptors().map(|e| endpoint(&e)).collect(),
    }
}

fn endpoint(raw: &rusb::EndpointDescriptor<'_>) -> EndpointDescriptor {
    EndpointDescriptor {
        address: EndpointAddress(raw.address()),
        transfer_type: match raw.transfer_type() {
            rusb::TransferType::Control => TransferType::Control,
            rusb::TransferType::Isochronous => TransferType::Isochronous,
            rusb::TransferType::Bulk => TransferType::Bulk,
            rusb::TransferType::Interrupt => TransferType::Interrupt,
        },
        // Bits 12-11 say how many packets fit in a microframe; the packet's size is below them.
        max_packet_size: raw.max_packet_size() & 0x07ff,
        interval: raw.interval(),
    }
}

/// A list of what one context sees.
pub(crate) fn devices(context: &Context) -> Result<Vec<rusb::Device<Context>>, rusb::Error> {
    Ok(context.devices()?.iter().collect())
}
