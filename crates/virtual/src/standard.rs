//! The standard requests of USB 2.0, section 9.4, answered on behalf of every model.

use usbscan_usb::{EndpointAddress, InterfaceNumber, Setup, SetupKind, SetupRecipient};

use crate::{Control, Descriptors};

/// What a standard request asks of the link, once read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StandardRequest {
    /// Answered from the descriptors alone.
    Answer(Control),
    /// CLEAR_FEATURE(ENDPOINT_HALT).
    ClearHalt(EndpointAddress),
    /// SET_FEATURE(ENDPOINT_HALT).
    SetHalt(EndpointAddress),
    /// GET_STATUS of an endpoint.
    EndpointStatus(EndpointAddress),
    /// SET_CONFIGURATION: all halts end, and all interfaces are in setting 0.
    Configure,
    SetInterface(InterfaceNumber, u8),
    GetInterface(InterfaceNumber),
    /// Class, vendor, or a standard request that only the device can know.
    Device,
}

const GET_STATUS: u8 = 0;
const CLEAR_FEATURE: u8 = 1;
const SET_FEATURE: u8 = 3;
const SET_ADDRESS: u8 = 5;
const GET_DESCRIPTOR: u8 = 6;
const GET_CONFIGURATION: u8 = 8;
const SET_CONFIGURATION: u8 = 9;
const GET_INTERFACE: u8 = 10;
const SET_INTERFACE: u8 = 11;

/// Understands a request; carries nothing out.
pub(crate) fn read(descriptors: &Descriptors, setup: Setup) -> StandardRequest {
    if setup.kind() != SetupKind::Standard {
        return StandardRequest::Device;
    }
    let endpoint = EndpointAddress(setup.index as u8);
    match (setup.request, setup.recipient()) {
        (GET_DESCRIPTOR, SetupRecipient::Device) => descriptor(descriptors, setup),
        (GET_STATUS, SetupRecipient::Endpoint) => StandardRequest::EndpointStatus(endpoint),
        (GET_STATUS, SetupRecipient::Device) => {
            let self_powered = descriptors.configuration.attributes >> 6 & 1;
            StandardRequest::Answer(Control::Done(vec![self_powered, 0]))
        }
        (GET_STATUS, SetupRecipient::Interface) => StandardRequest::Answer(Control::Done(vec![0, 0])),
        (CLEAR_FEATURE, SetupRecipient::Endpoint) if setup.value == 0 => StandardRequest::ClearHalt(endpoint),
        (SET_FEATURE, SetupRecipient::Endpoint) if setup.value == 0 => StandardRequest::SetHalt(endpoint),
        (SET_ADDRESS, SetupRecipient::Device) => StandardRequest::Answer(Control::Done(Vec::new())),
        (GET_CONFIGURATION, SetupRecipient::Device) => {
            StandardRequest::Answer(Control::Done(vec![descriptors.configuration.value]))
        }
        (SET_CONFIGURATION, SetupRecipient::Device) => match setup.value as u8 {
            0 => StandardRequest::Configure,
            value if value == descriptors.configuration.value => StandardRequest::Configure,
            _ => StandardRequest::Answer(Control::Stall),
        },
        (GET_INTERFACE, SetupRecipient::Interface) => StandardRequest::GetInterface(InterfaceNumber(setup.index as u8)),
        (SET_INTERFACE, SetupRecipient::Interface) => interface(descriptors, setup),
        _ => StandardRequest::Device,
    }
}

/// Descriptors of types that USB itself has not are the device's own.
fn descriptor(descriptors: &Descriptors, setup: Setup) -> StandardRequest {
    let [index, descriptor_type] = setup.value.to_le_bytes();
    let bytes = match descriptor_type {
        1 => Some(descriptors.device.to_bytes().to_vec()),
        2 if index == 0 => Some(descriptors.configuration.to_bytes()),
        3 => descriptors.string(index),
        0x20.. => return StandardRequest::Device,
        _ => None,
    };
    StandardRequest::Answer(bytes.map_or(Control::Stall, Control::Done))
}

/// Every interface of every model has its alternate settings in the configuration; only those can be chosen.
fn interface(descriptors: &Descriptors, setup: Setup) -> StandardRequest {
    let known = |i: &&usbscan_usb::InterfaceDescriptor| {
        u16::from(i.number.0) == setup.index && u16::from(i.alternate) == setup.value
    };
    match descriptors.configuration.interfaces.iter().find(known) {
        Some(interface) => StandardRequest::SetInterface(interface.number, interface.alternate),
        None => StandardRequest::Answer(Control::Stall),
    }
}
