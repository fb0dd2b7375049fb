//! The layouts of our structs and the values of our constants are those of the installed libusb.h: the C compiler says so.

use std::fmt::Write;
use std::mem::{offset_of, size_of};
use std::process::Command;

use usbscan_libusb_dropin::abi;

/// Asserts the size of a struct, and the offset and size of each named member.
macro_rules! layout {
    ($text:ident, $c:literal, $rust:ty, $($member:ident),*) => {
        writeln!($text, "_Static_assert(sizeof({}) == {}, {:?});", $c, size_of::<$rust>(), $c).unwrap();
        $(
            let at = offset_of!($rust, $member);
            let name = stringify!($member).trim_start_matches("r#");
            writeln!($text, "_Static_assert(offsetof({}, {name}) == {at}, \"{name}\");", $c).unwrap();
        )*
    };
}

macro_rules! constants {
    ($text:ident, $($rust:ident = $c:ident),* $(,)?) => {
        $(writeln!($text, "_Static_assert((long)({}) == {}L, \"{}\");", stringify!($c), i64::from(abi::$rust), stringify!($c)).unwrap();)*
    };
}

fn claims() -> String {
    let mut text = "#include <stddef.h>\n#include <libusb.h>\n".to_owned();
    layout!(
        text,
        "struct libusb_device_descriptor",
        abi::DeviceDescriptor,
        bLength,
        bDescriptorType,
        bcdUSB,
        bDeviceClass,
        bDeviceSubClass,
        bDeviceProtocol,
        bMaxPacketSize0,
        idVendor,
        idProduct,
        bcdDevice,
        iManufacturer,
        iProduct,
        iSerialNumber,
        bNumConfigurations
    );
    layout!(
        text,
        "struct libusb_endpoint_descriptor",
        abi::EndpointDescriptor,
        bLength,
        bDescriptorType,
        bEndpointAddress,
        bmAttributes,
        wMaxPacketSize,
        bInterval,
        bRefresh,
        bSynchAddress,
        extra,
        extra_length
    );
    layout!(
        text,
        "struct libusb_interface_descriptor",
        abi::InterfaceDescriptor,
        bLength,
        bDescriptorType,
        bInterfaceNumber,
        bAlternateSetting,
        bNumEndpoints,
        bInterfaceClass,
        bInterfaceSubClass,
        bInterfaceProtocol,
        iInterface,
        endpoint,
        extra,
        extra_length
    );
    layout!(text, "struct libusb_interface", abi::Interface, altsetting, num_altsetting);
    layout!(
        text,
        "struct libusb_config_descriptor",
        abi::ConfigDescriptor,
        bLength,
        bDescriptorType,
        wTotalLength,
        bNumInterfaces,
        bConfigurationValue,
        iConfiguration,
        bmAttributes,
        MaxPower,
        interface,
        extra,
        extra_length
    );
    layout!(text, "struct libusb_version", abi::Version, major, minor, micro, nano, rc, describe);
    layout!(text, "struct libusb_pollfd", abi::Pollfd, fd, events);
    constants!(
        text,
        SUCCESS = LIBUSB_SUCCESS,
        ERROR_IO = LIBUSB_ERROR_IO,
        ERROR_INVALID_PARAM = LIBUSB_ERROR_INVALID_PARAM,
        ERROR_ACCESS = LIBUSB_ERROR_ACCESS,
        ERROR_NO_DEVICE = LIBUSB_ERROR_NO_DEVICE,
        ERROR_NOT_FOUND = LIBUSB_ERROR_NOT_FOUND,
        ERROR_BUSY = LIBUSB_ERROR_BUSY,
        ERROR_TIMEOUT = LIBUSB_ERROR_TIMEOUT,
        ERROR_OVERFLOW = LIBUSB_ERROR_OVERFLOW,
        ERROR_PIPE = LIBUSB_ERROR_PIPE,
        ERROR_INTERRUPTED = LIBUSB_ERROR_INTERRUPTED,
        ERROR_NO_MEM = LIBUSB_ERROR_NO_MEM,
        ERROR_NOT_SUPPORTED = LIBUSB_ERROR_NOT_SUPPORTED,
        ERROR_OTHER = LIBUSB_ERROR_OTHER,
        DT_DEVICE = LIBUSB_DT_DEVICE,
        DT_CONFIG = LIBUSB_DT_CONFIG,
        DT_STRING = LIBUSB_DT_STRING,
        DT_INTERFACE = LIBUSB_DT_INTERFACE,
        DT_ENDPOINT = LIBUSB_DT_ENDPOINT,
        TRANSFER_TYPE_INTERRUPT = LIBUSB_TRANSFER_TYPE_INTERRUPT,
        CAP_HAS_CAPABILITY = LIBUSB_CAP_HAS_CAPABILITY,
        CAP_HAS_HOTPLUG = LIBUSB_CAP_HAS_HOTPLUG,
        CAP_SUPPORTS_DETACH_KERNEL_DRIVER = LIBUSB_CAP_SUPPORTS_DETACH_KERNEL_DRIVER,
        OPTION_LOG_LEVEL = LIBUSB_OPTION_LOG_LEVEL,
        OPTION_NO_DEVICE_DISCOVERY = LIBUSB_OPTION_WEAK_AUTHORITY,
        HOTPLUG_EVENT_DEVICE_ARRIVED = LIBUSB_HOTPLUG_EVENT_DEVICE_ARRIVED,
        HOTPLUG_EVENT_DEVICE_LEFT = LIBUSB_HOTPLUG_EVENT_DEVICE_LEFT,
        HOTPLUG_ENUMERATE = LIBUSB_HOTPLUG_ENUMERATE,
        HOTPLUG_MATCH_ANY = LIBUSB_HOTPLUG_MATCH_ANY,
    );
    // Newer headers only.
    writeln!(text, "#if LIBUSB_API_VERSION >= 0x0100010A").unwrap();
    layout!(text, "struct libusb_init_option", abi::InitOption, option, value);
    constants!(text, OPTION_LOG_CB = LIBUSB_OPTION_LOG_CB);
    writeln!(text, "#endif").unwrap();
    text
}

#[test]
fn structs_and_constants_are_those_of_the_installed_header() {
    let flags = Command::new("pkg-config").args(["--cflags", "libusb-1.0"]).output();
    let Some(flags) = flags.ok().filter(|ran| ran.status.success()) else {
        eprintln!("LEFT OUT: Debian's libusb-1.0-0-dev is not installed");
        return;
    };
    let flags = String::from_utf8(flags.stdout).expect("text");
    let folder = tempfile::tempdir().expect("a folder");
    let source = folder.path().join("layout.c");
    std::fs::write(&source, claims()).expect("a file");
    let mut cc = Command::new("cc");
    cc.args(["-std=c11", "-fsyntax-only"]).args(flags.split_whitespace()).arg(&source);
    let compiled = cc.output().expect("a C compiler");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
}
