//! The three synchronous transfers.

use std::ffi::{c_int, c_uchar, c_uint};

use usbscan_wire::{Command, ControlDirection, RequestKind, RequestRecipient};

use super::share;
use crate::abi;
use crate::blocked;
use crate::handle::Handle;
use crate::transfer::{CallerBuffer, Kind, Transfer, TransferTarget};

/// Bit 7 of an endpoint's address, and of `bmRequestType`: device to host.
const DIRECTION_IN: u8 = 0x80;
/// As much as Linux moves with one control transfer.
const MOST_CONTROL: u16 = 4096;

/// A call of a program, as it came. Nothing to drop.
#[derive(Debug, Clone, Copy)]
struct CallArguments {
    handle: *mut Handle,
    data: *mut c_uchar,
    length: c_int,
    timeout: c_uint,
}

/// # Safety
/// `asked` is what a program passes to libusb_bulk_transfer.
unsafe fn start_pipe(asked: CallArguments, endpoint: u8) -> Result<Transfer, c_int> {
    // SAFETY: as libusb.h demands.
    let handle = unsafe { share(asked.handle) }.ok_or(abi::ERROR_INVALID_PARAM)?;
    let length = usize::try_from(asked.length).map_err(|_| abi::ERROR_INVALID_PARAM)?;
    // SAFETY: as libusb.h demands.
    let buffer = unsafe { CallerBuffer::new(asked.data, length) };
    let found = handle.endpoint(endpoint)?;
    let kind = match (endpoint & DIRECTION_IN != 0, found.transfer_type) {
        (false, _) => Kind::Write,
        (true, abi::TRANSFER_TYPE_INTERRUPT) => Kind::Event,
        (true, _) => Kind::Read,
    };
    let packet = usize::from(found.max_packet_size & 0x7ff).max(1);
    let connection = handle.with_session(|_, session, _| Ok(session.connection().clone()))?;
    let job = TransferTarget::Pipe { endpoint, kind, packet };
    Transfer::start(connection, job, buffer, asked.timeout)
}

/// # Safety
/// See libusb.h.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn libusb_bulk_transfer(
    handle: *mut Handle,
    endpoint: c_uchar,
    data: *mut c_uchar,
    length: c_int,
    transferred: *mut c_int,
    timeout: c_uint,
) -> c_int {
    let asked = CallArguments { handle, data, length, timeout };
    let start = || {
        // SAFETY: as libusb.h demands.
        unsafe { start_pipe(asked, endpoint) }
    };
    // SAFETY: as libusb.h demands; this frame has nothing to drop.
    unsafe { blocked::run(start, transferred, false) }
}

/// # Safety
/// See libusb.h. The endpoint says what kind of transfer it is.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn libusb_interrupt_transfer(
    handle: *mut Handle,
    endpoint: c_uchar,
    data: *mut c_uchar,
    length: c_int,
    transferred: *mut c_int,
    timeout: c_uint,
) -> c_int {
    let asked = CallArguments { handle, data, length, timeout };
    let start = || {
        // SAFETY: as libusb.h demands.
        unsafe { start_pipe(asked, endpoint) }
    };
    // SAFETY: as libusb.h demands; this frame has nothing to drop.
    unsafe { blocked::run(start, transferred, false) }
}

/// A control request, as USB has it. Nothing to drop.
#[derive(Debug, Clone, Copy)]
struct Setup {
    request_type: u8,
    request: u8,
    value: u16,
    index: u16,
    length: u16,
}

/// # Safety
/// `asked` is what a program passes to libusb_control_transfer.
unsafe fn start_control(asked: CallArguments, setup: Setup) -> Result<Transfer, c_int> {
    // SAFETY: as libusb.h demands.
    let handle = unsafe { share(asked.handle) }.ok_or(abi::ERROR_INVALID_PARAM)?;
    if setup.length > MOST_CONTROL {
        return Err(abi::ERROR_INVALID_PARAM);
    }
    // What changes the host's picture of the device has commands of its own.
    let done = match (setup.request_type, setup.request) {
        (0x00, 0x09) => Some(handle.set_configuration(setup.value.into())),
        (0x01, 0x0b) => Some(handle.set_alternate(setup.index as u8, setup.value as u8)),
        (0x02, 0x01) if setup.value == 0 => Some(handle.clear_halt(setup.index as u8)),
        _ => None,
    };
    if let Some(done) = done {
        // A count of zero bytes is a success, which as a code it is too.
        return Err(done.map_or_else(|code| code, |()| abi::SUCCESS));
    }
    let direction = if setup.request_type & DIRECTION_IN != 0 { ControlDirection::In } else { ControlDirection::Out };
    let command = Command::UsbRequest {
        request: setup.request,
        value: setup.value,
        index: setup.index,
        direction,
        length: if direction == ControlDirection::In { setup.length } else { 0 },
        kind: match setup.request_type >> 5 & 3 {
            0 => RequestKind::Standard,
            1 => RequestKind::Class,
            2 => RequestKind::Vendor,
            _ => return Err(abi::ERROR_INVALID_PARAM),
        },
        recipient: match setup.request_type & 0x1f {
            0 => RequestRecipient::Device,
            1 => RequestRecipient::Interface,
            2 => RequestRecipient::Endpoint,
            _ => return Err(abi::ERROR_NOT_SUPPORTED),
        },
        timeout: None,
    };
    // SAFETY: as libusb.h demands.
    let buffer = unsafe { CallerBuffer::new(asked.data, usize::from(setup.length)) };
    let connection = handle.with_session(|_, session, _| Ok(session.connection().clone()))?;
    Transfer::start(connection, TransferTarget::Control(command), buffer, asked.timeout)
}

/// # Safety
/// See libusb.h.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn libusb_control_transfer(
    handle: *mut Handle,
    request_type: u8,
    request: u8,
    value: u16,
    index: u16,
    data: *mut c_uchar,
    length: u16,
    timeout: c_uint,
) -> c_int {
    let setup = Setup { request_type, request, value, index, length };
    let asked = CallArguments { handle, data, length: c_int::from(length), timeout };
    let start = || {
        // SAFETY: as libusb.h demands.
        unsafe { start_control(asked, setup) }
    };
    // SAFETY: as libusb.h demands; this frame has nothing to drop.
    unsafe { blocked::run(start, std::ptr::null_mut(), true) }
}
