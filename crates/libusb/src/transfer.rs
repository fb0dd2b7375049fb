//! One libusb transfer: idle, in flight, given back.
//!
//! ```text
//!   Transfer::allocate ──▶ submit ──▶ in flight ──▶ callback ──▶ freed by its last user
//!                            │ refused: no callback, everything is ours again
//! ```
//!
//! In flight, libusb and the kernel own the C struct and the buffer: no Rust reference to either exists. A `Vec` is taken
//! apart, so that there is none to make; of shared memory there never is one. Another process may write to that at any
//! moment: libusb and the kernel go by none of its bytes (docs/usb-engine.md, "A transfer's life"), so the worst that comes
//! of it are other bytes.
//!
//! One C struct serves one request: a late cancel can't hit the next one. The callback runs on the device's event thread;
//! it posts one completion and does nothing else: no libusb call but the free, nothing that blocks, no panic that leaves it.

use std::ffi::c_void;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::Arc;

use crossbeam_channel::Sender;
use libusb1_sys as ffi;
use usbscan_shm::Region;
use usbscan_usb::{Buffer, Completion, Direction, EndpointAddress};

use crate::ledger::{FlightKey, Use};
use crate::status;

/// libusb's own timeout: none. Deadlines are cancels, by whoever submitted.
const NO_TIMEOUT: u32 = 0;

/// The C struct of one transfer. Freed when dropped, so only something that outlives the callback may hold it:
/// the [`Flight`] does, and the ledger's borrows.
#[derive(Debug)]
pub(crate) struct Transfer {
    raw: NonNull<ffi::libusb_transfer>,
    kind: Kind,
    endpoint: EndpointAddress,
    number: u64,
}

// SAFETY: libusb locks each transfer for submit, cancel and completion, but for what submit writes first; the ledger
// lets no cancel begin before submit has returned. The fields we read and write ourselves are touched only before submit
// and in the callback, which are ordered by libusb.
unsafe impl Send for Transfer {}
// SAFETY: as above; through a shared reference there is only `cancel`.
unsafe impl Sync for Transfer {}

impl Transfer {
    /// Allocates; `None` when memory is used up.
    pub(crate) fn allocate(kind: Kind, endpoint: EndpointAddress, number: u64) -> Option<Transfer> {
        // SAFETY: no preconditions; 0 is the number of isochronous packets.
        let raw = NonNull::new(unsafe { ffi::libusb_alloc_transfer(0) })?;
        Some(Transfer { raw, kind, endpoint, number })
    }

    /// Where it goes.
    pub(crate) fn endpoint(&self) -> EndpointAddress {
        self.endpoint
    }

    /// Its place when all transfers of a device are cancelled: control first, because a hung request holds the
    /// kernel's lock of the device; then what the device is told, then what it says, events last.
    pub(crate) fn cancel_rank(&self) -> u8 {
        match (self.kind, self.endpoint.direction()) {
            (Kind::Control, _) => 0,
            (_, Direction::Out) => 1,
            (Kind::Bulk, Direction::In) => 2,
            (Kind::Interrupt, Direction::In) => 3,
        }
    }

    /// Larger for those submitted later.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Asks libusb for it back. May block for as long as the host controller takes.
    pub(crate) fn cancel(&self) -> i32 {
        // SAFETY: the struct is allocated for as long as `self` lives, and the borrow that leads here keeps the
        // device handle open; libusb itself tells a transfer in flight from one that is done.
        unsafe { ffi::libusb_cancel_transfer(self.raw.as_ptr()) }
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        // SAFETY: nobody else has the pointer, and it is not in flight: the flight held on to it until its
        // callback began, or was never accepted. libusb allows the free from within the callback.
        unsafe { ffi::libusb_free_transfer(self.raw.as_ptr()) }
    }
}

/// A buffer while the kernel has it. Dropped it leaks, which is always safe: the kernel may write to it yet.
#[derive(Debug)]
struct Parked {
    start: *mut u8,
    length: usize,
    hold: Hold,
}

/// What becomes a [`Buffer`] again.
#[derive(Debug)]
enum Hold {
    /// A `Vec` taken apart, of this capacity.
    Vec(usize),
    /// Shared memory, which this keeps mapped.
    Shared(ManuallyDrop<Region>),
}

impl Parked {
    fn new(buffer: Buffer) -> Parked {
        match buffer {
            Buffer::Vec(bytes) => {
                let mut bytes = ManuallyDrop::new(bytes);
                Parked { start: bytes.as_mut_ptr(), length: bytes.len(), hold: Hold::Vec(bytes.capacity()) }
            }
            Buffer::Shared(region) => {
                let (start, length) = (region.as_mut_ptr(), region.len());
                Parked { start, length, hold: Hold::Shared(ManuallyDrop::new(region)) }
            }
        }
    }

    /// Makes the buffer of it again that it was.
    ///
    /// # Safety
    /// The kernel has given the buffer back.
    unsafe fn into_buffer(self) -> Buffer {
        match self.hold {
            // SAFETY: the three parts are those of the Vec that `new` took apart, once; the caller says that no
            // one writes to it any more.
            Hold::Vec(capacity) => Buffer::Vec(unsafe { Vec::from_raw_parts(self.start, self.length, capacity) }),
            Hold::Shared(region) => Buffer::Shared(ManuallyDrop::into_inner(region)),
        }
    }
}

/// All that a transfer needs to come home; libusb carries it as `user_data`.
#[derive(Debug)]
struct Flight {
    key: FlightKey,
    completions: Sender<Completion>,
    buffer: Parked,
    transfer: Arc<Transfer>,
    usage: Use,
}

/// How a transfer is put to libusb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The buffer begins with a setup packet whose `wLength` is the length of the rest.
    Control,
    /// Bulk, either way.
    Bulk,
    /// Interrupt, either way.
    Interrupt,
}

/// A transfer about to start.
#[derive(Debug)]
pub(crate) struct Departure {
    /// Keeps the handle open until the callback is through.
    pub(crate) usage: Use,
    /// Who asks, and what they call it.
    pub(crate) key: FlightKey,
    /// How.
    pub(crate) kind: Kind,
    /// Where.
    pub(crate) endpoint: EndpointAddress,
    /// Where the completion goes. Unbounded, so that the callback never waits.
    pub(crate) completions: Sender<Completion>,
    /// At most `i32::MAX` bytes; for [`Kind::Control`] a vector, checked to be as long as its setup packet says.
    pub(crate) buffer: Buffer,
}

/// Why a transfer did not start; the buffer is untouched.
#[derive(Debug)]
pub(crate) struct NotStarted {
    pub(crate) why: Why,
    pub(crate) buffer: Buffer,
}

/// See [`NotStarted`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// One of that name is in flight.
    NameInUse,
    /// No memory for the C struct.
    NoMemory,
    /// libusb's code.
    Refused(i32),
}

/// Starts a transfer. Exactly one completion follows, or the buffer comes back at once.
pub(crate) fn submit(departure: Departure) -> Result<(), NotStarted> {
    let Departure { usage, key, kind, endpoint, completions, buffer } = departure;
    let ledger = usage.ledger().clone();
    let Some(transfer) = Transfer::allocate(kind, endpoint, ledger.next_flight()) else {
        return Err(NotStarted { why: Why::NoMemory, buffer });
    };
    let transfer = Arc::new(transfer);
    if !ledger.take_off(key, transfer.clone()) {
        return Err(NotStarted { why: Why::NameInUse, buffer });
    }
    let handle = usage.handle();
    let raw = transfer.raw.as_ptr();
    let buffer = Parked::new(buffer);
    let (start, length) = (buffer.start, buffer.length);
    let flight = Flight { key, completions, buffer, transfer, usage };
    let user_data = Box::into_raw(Box::new(flight));
    fill(raw, handle, kind, endpoint, start, length, user_data);
    // SAFETY: the struct is filled and not in flight; the flight's use keeps the handle open, its `Parked`
    // keeps the buffer where it is, mapped if it is shared, until the callback takes the flight back.
    let code = unsafe { ffi::libusb_submit_transfer(raw) };
    if code == 0 {
        // A close that began meanwhile asked for all but this one.
        if ledger.accepted(key) {
            if let Some(borrowed) = ledger.borrow(key) {
                borrowed.transfer().cancel();
            }
        }
        return Ok(());
    }
    // SAFETY: libusb refused, so there is no callback that would take this box back.
    let flight = unsafe { Box::from_raw(user_data) };
    ledger.land(key);
    // SAFETY: the transfer was not accepted, so the kernel never had the buffer.
    let buffer = unsafe { flight.buffer.into_buffer() };
    Err(NotStarted { why: Why::Refused(code), buffer })
}

/// Fills the C struct field by field: it holds a null function pointer until then, so no reference may be made.
fn fill(
    raw: *mut ffi::libusb_transfer,
    handle: *mut ffi::libusb_device_handle,
    kind: Kind,
    endpoint: EndpointAddress,
    start: *mut u8,
    length: usize,
    user_data: *mut Flight,
) {
    let (length, user_data) = (length as i32, user_data.cast::<c_void>());
    match kind {
        // SAFETY: `raw` is allocated and idle; the caller checked that the buffer holds its setup packet (which
        // this helper reads) and what `wLength` says.
        Kind::Control => unsafe {
            ffi::libusb_fill_control_transfer(raw, handle, start, ended, user_data, NO_TIMEOUT);
        },
        // SAFETY: `raw` is allocated and idle; only its fields are written.
        Kind::Bulk => unsafe {
            ffi::libusb_fill_bulk_transfer(raw, handle, endpoint.0, start, length, ended, user_data, NO_TIMEOUT);
        },
        // SAFETY: as for bulk.
        Kind::Interrupt => unsafe {
            ffi::libusb_fill_interrupt_transfer(raw, handle, endpoint.0, start, length, ended, user_data, NO_TIMEOUT);
        },
    }
}

/// libusb's callback: on the event thread, once per accepted transfer.
extern "system" fn ended(raw: *mut ffi::libusb_transfer) {
    if catch_unwind(AssertUnwindSafe(|| come_home(raw))).is_err() {
        // Above us is C, and what is left of the flight belongs to nobody: there is no way on.
        std::process::abort();
    }
}

fn come_home(raw: *mut ffi::libusb_transfer) {
    // SAFETY: libusb hands back the struct it was given, and is done writing to it.
    let user_data = unsafe { (*raw).user_data };
    // SAFETY: as above.
    let raw_status = unsafe { (*raw).status };
    // SAFETY: as above.
    let actual = unsafe { (*raw).actual_length };
    // SAFETY: `user_data` came from Box::into_raw in `submit`, and libusb calls back once per accepted submit,
    // so this box is taken back once.
    let flight = unsafe { Box::from_raw(user_data.cast::<Flight>()) };
    let Flight { key, completions, buffer, transfer, usage } = *flight;
    // Before the completion is posted: whoever sees it may use the name again.
    usage.ledger().land(key);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parked_buffer_is_the_same_memory_when_it_comes_back() {
        let mut buffer = Vec::with_capacity(100);
        buffer.extend_from_slice(b"page");
        let (start, capacity) = (buffer.as_ptr(), buffer.capacity());
        // SAFETY: no kernel had it.
        let back = unsafe { Parked::new(buffer.into()).into_buffer() }.into_vec();
        assert_eq!((back.as_ptr(), back.capacity(), &back[..]), (start, capacity, &b"page"[..]));
    }

    #[test]
    fn shared_memory_stays_where_it_is_and_mapped_while_it_is_parked() {
        let memory = usbscan_shm::Memory::new(8).expect("memory");
        let region = memory.region(2..6).expect("inside");
        let start = region.as_mut_ptr();
        let parked = Parked::new(region.into());
        drop(memory);
        assert_eq!((parked.start, parked.length), (start, 4));
        // SAFETY: what a kernel does: four bytes into memory that `parked` keeps mapped.
        unsafe { parked.start.copy_from_nonoverlapping(b"page".as_ptr(), 4) };
        // SAFETY: no kernel had it.
        assert_eq!(&*unsafe { parked.into_buffer() }.bytes(), b"page");
    }

    #[test]
    fn a_transfer_that_was_never_submitted_is_not_in_flight() {
        let transfer = Transfer::allocate(Kind::Bulk, EndpointAddress(0x81), 1).expect("memory");
        assert_eq!(status::cancel(transfer.cancel()), usbscan_usb::Cancel::NotInFlight);
    }

    #[test]
    fn control_is_cancelled_first_then_what_goes_out_then_what_comes_in() {
        let rank = |kind, address| Transfer::allocate(kind, EndpointAddress(address), 1).expect("memory").cancel_rank();
        let ranks =
            [rank(Kind::Control, 0), rank(Kind::Bulk, 0x02), rank(Kind::Bulk, 0x81), rank(Kind::Interrupt, 0x83)];
        assert!(ranks.is_sorted_by(|a, b| a < b), "{ranks:?}");
    }
}
