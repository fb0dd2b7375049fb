//! Submitting a transfer, and its completion.
//!
//! ```text
//!   Transfer::allocate ──▶ submit ──▶ in flight ──▶ callback ──▶ freed by its last user
//!                            │ refused: no callback, everything is ours again
//! ```
//!
//! In flight, libusb and the kernel own the C struct and the buffer: no Rust reference to either exists.
//!
//! One C struct serves one request: a late cancel can't hit the next one. The callback runs on the device's event thread;
//! it posts one completion and does nothing else: no libusb call but the free, nothing that blocks, no panic that leaves it.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crossbeam_channel::Sender;
use libusb1_sys as ffi;
use usbscan_usb::{Buffer, Completion, EndpointAddress};

use crate::in_flight_buffer::InFlightBuffer;
use crate::open_handle::{HandleUse, TransferKey};
use crate::status;
use crate::transfer::{Transfer, TransferKind};

/// libusb's own timeout: none. Deadlines are cancels by the submitter.
const NO_TIMEOUT: u32 = 0;

/// What the callback needs; libusb carries it as `user_data`.
#[derive(Debug)]
struct InFlight {
    key: TransferKey,
    completions: Sender<Completion>,
    buffer: InFlightBuffer,
    transfer: Arc<Transfer>,
    usage: HandleUse,
}

/// A transfer about to start.
#[derive(Debug)]
pub(crate) struct Submission {
    /// Keeps the handle open until the callback is through.
    pub(crate) usage: HandleUse,
    /// Who asks, and what they call it.
    pub(crate) key: TransferKey,
    /// How.
    pub(crate) kind: TransferKind,
    /// Where.
    pub(crate) endpoint: EndpointAddress,
    /// Where the completion goes. Unbounded, so that the callback never waits.
    pub(crate) completions: Sender<Completion>,
    /// At most `i32::MAX` bytes; for [`TransferKind::Control`] a vector, checked to be as long as its setup packet says.
    pub(crate) buffer: Buffer,
}

/// SubmitError a transfer did not start; the buffer is untouched.
#[derive(Debug)]
pub(crate) struct NotStarted {
    pub(crate) error: SubmitError,
    pub(crate) buffer: Buffer,
}

/// See [`NotStarted`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SubmitError {
    /// One of that name is in flight.
    NameInUse,
    /// No memory for the C struct.
    NoMemory,
    /// libusb's code.
    Refused(i32),
}

/// Starts a transfer. Exactly one completion follows, or the buffer comes back at once.
pub(crate) fn submit(submission: Submission) -> Result<(), NotStarted> {
    let Submission { usage, key, kind, endpoint, completions, buffer } = submission;
    let open_handle = usage.open_handle().clone();
    let Some(transfer) = Transfer::allocate(kind, endpoint, open_handle.next_number()) else {
        return Err(NotStarted { error: SubmitError::NoMemory, buffer });
    };
    let transfer = Arc::new(transfer);
    if !open_handle.insert(key, transfer.clone()) {
        return Err(NotStarted { error: SubmitError::NameInUse, buffer });
    }
    let handle = usage.handle();
    let raw = transfer.as_ptr();
    let buffer = InFlightBuffer::new(buffer);
    let (start, length) = (buffer.start, buffer.length);
    let in_flight = InFlight { key, completions, buffer, transfer, usage };
    let user_data = Box::into_raw(Box::new(in_flight));
    fill(raw, handle, kind, endpoint, start, length, user_data);
    // SAFETY: the struct is filled and not in flight; its `HandleUse` keeps the handle open, its `InFlightBuffer`
    // keeps the buffer where it is, mapped if it is shared, until the callback takes it back.
    let code = unsafe { ffi::libusb_submit_transfer(raw) };
    if code == 0 {
        // A close that began meanwhile asked for all but this one.
        if open_handle.accepted(key) {
            if let Some(target) = open_handle.get_for_cancel(key) {
                target.transfer().cancel();
            }
        }
        return Ok(());
    }
    // SAFETY: libusb refused, so there is no callback that would take this box back.
    let in_flight = unsafe { Box::from_raw(user_data) };
    open_handle.remove(key);
    // SAFETY: the transfer was not accepted, so the kernel never had the buffer.
    let buffer = unsafe { in_flight.buffer.into_buffer() };
    Err(NotStarted { error: SubmitError::Refused(code), buffer })
}

/// Fills the C struct field by field: it holds a null function pointer until then, so no reference may be made.
fn fill(
    raw: *mut ffi::libusb_transfer,
    handle: *mut ffi::libusb_device_handle,
    kind: TransferKind,
    endpoint: EndpointAddress,
    start: *mut u8,
    length: usize,
    user_data: *mut InFlight,
) {
    let (length, user_data) = (length as i32, user_data.cast::<c_void>());
    match kind {
        // SAFETY: `raw` is allocated and idle; the caller checked that the buffer holds its setup packet (which
        // this helper reads) and what `wLength` says.
        TransferKind::Control => unsafe {
            ffi::libusb_fill_control_transfer(raw, handle, start, callback, user_data, NO_TIMEOUT);
        },
        // SAFETY: `raw` is allocated and idle; only its fields are written.
        TransferKind::Bulk => unsafe {
            ffi::libusb_fill_bulk_transfer(raw, handle, endpoint.0, start, length, callback, user_data, NO_TIMEOUT);
        },
        // SAFETY: as for bulk.
        TransferKind::Interrupt => unsafe {
            ffi::libusb_fill_interrupt_transfer(
                raw, handle, endpoint.0, start, length, callback, user_data, NO_TIMEOUT,
            );
        },
    }
}

/// libusb's callback: on the event thread, once per accepted transfer.
extern "system" fn callback(raw: *mut ffi::libusb_transfer) {
    if catch_unwind(AssertUnwindSafe(|| complete(raw))).is_err() {
        // Above us is C, and what is left of the transfer belongs to nobody: there is no way on.
        std::process::abort();
    }
}

fn complete(raw: *mut ffi::libusb_transfer) {
    // SAFETY: libusb hands back the struct it was given, and is done writing to it.
    let user_data = unsafe { (*raw).user_data };
    // SAFETY: as above.
    let raw_status = unsafe { (*raw).status };
    // SAFETY: as above.
    let actual = unsafe { (*raw).actual_length };
    // SAFETY: `user_data` came from Box::into_raw in `submit`, and libusb calls back once per accepted submit,
    // so this box is taken back once.
    let in_flight = unsafe { Box::from_raw(user_data.cast::<InFlight>()) };
    let InFlight { key, completions, buffer, transfer, usage } = *in_flight;
    // Before the completion is posted: its receiver may use the token again.
    usage.open_handle().remove(key);
    // The struct is freed here, or by who is just cancelling it; in any case before the use ends.
    drop(transfer);
    // SAFETY: the callback is the sign that the kernel has given the buffer back.
    let buffer = unsafe { buffer.into_buffer() };
    let actual = usize::try_from(actual).unwrap_or(0);
    let (_, token) = key;
    let completion = Completion { token, buffer, actual, status: status::transfer(raw_status) };
    // Nobody may be listening any more: then it ends here, as the seam says of a dropped endpoint.
    let _ = completions.send(completion);
    drop(usage);
}
