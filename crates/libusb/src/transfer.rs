//! The C struct of one libusb transfer: allocated, cancelled, freed.

use std::ptr::NonNull;

use libusb1_sys as ffi;
use usbscan_usb::{Direction, EndpointAddress};

/// How a transfer is put to libusb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TransferKind {
    /// The buffer begins with a setup packet whose `wLength` is the length of the rest.
    Control,
    /// Bulk, either way.
    Bulk,
    /// Interrupt, either way.
    Interrupt,
}

/// The C struct of one transfer. Freed when dropped, so only something that outlives the callback may hold it:
/// the record of the transfer in flight does, and the [`crate::open_handle::CancelRef`]s.
#[derive(Debug)]
pub(crate) struct Transfer {
    raw: NonNull<ffi::libusb_transfer>,
    kind: TransferKind,
    endpoint: EndpointAddress,
    number: u64,
}

// SAFETY: libusb locks each transfer for submit, cancel and completion, but for what submit writes first; the open handle
// ([`crate::open_handle::OpenHandle`]) lets no cancel begin before submit has returned. The fields we read and write ourselves are touched only before submit
// and in the callback, which are ordered by libusb.
unsafe impl Send for Transfer {}
// SAFETY: as above; through a shared reference there is only `cancel`.
unsafe impl Sync for Transfer {}

impl Transfer {
    /// Allocates; `None` when memory is used up.
    pub(crate) fn allocate(kind: TransferKind, endpoint: EndpointAddress, number: u64) -> Option<Transfer> {
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
            (TransferKind::Control, _) => 0,
            (_, Direction::Out) => 1,
            (TransferKind::Bulk, Direction::In) => 2,
            (TransferKind::Interrupt, Direction::In) => 3,
        }
    }

    /// The C struct, for the submit.
    pub(crate) fn as_ptr(&self) -> *mut ffi::libusb_transfer {
        self.raw.as_ptr()
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
        // SAFETY: nobody else has the pointer, and it is not in flight: the record in flight held on to it until its
        // callback began, or was never accepted. libusb allows the free from within the callback.
        unsafe { ffi::libusb_free_transfer(self.raw.as_ptr()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status;

    #[test]
    fn a_transfer_that_was_never_submitted_is_not_in_flight() {
        let transfer = Transfer::allocate(TransferKind::Bulk, EndpointAddress(0x81), 1).expect("memory");
        assert_eq!(status::cancel(transfer.cancel()), usbscan_usb::Cancel::NotInFlight);
    }

    #[test]
    fn control_is_cancelled_first_then_what_goes_out_then_what_comes_in() {
        let rank = |kind, address| Transfer::allocate(kind, EndpointAddress(address), 1).expect("memory").cancel_rank();
        let ranks = [
            rank(TransferKind::Control, 0),
            rank(TransferKind::Bulk, 0x02),
            rank(TransferKind::Bulk, 0x81),
            rank(TransferKind::Interrupt, 0x83),
        ];
        assert!(ranks.is_sorted_by(|a, b| a < b), "{ranks:?}");
    }
}
