//! What usbfs can do with this device's host controller. libusb asks the same and tells nobody.

use std::fs::OpenOptions;
use std::os::fd::AsRawFd;

use usbscan_usb::Location;

use crate::sysfs;

/// `USBDEVFS_GET_CAPABILITIES`, `_IOR('U', 26, __u32)` (linux/usbdevice_fs.h).
const GET_CAPABILITIES: u32 = 0x8004_551a;

/// A short packet ends the URBs behind it that belong to the same transfer.
const BULK_CONTINUATION: u32 = 0x02;
/// An URB may be longer than 16 KiB.
const NO_PACKET_SIZE_LIMIT: u32 = 0x04;
/// A long URB needs no memory in one piece.
const BULK_SCATTER_GATHER: u32 = 0x08;

/// What libusb cuts transfers into, where it must.
pub(crate) const PIECE: usize = 16 * 1024;

/// How a bulk transfer is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bulk {
    /// As one URB, of any length.
    Whole,
    /// In pieces of 16 KiB; a short packet ends them all. A cancel may catch some of them only.
    Continued,
    /// In pieces that know nothing of each other: behind a short packet the next piece takes surplus data.
    Loose,
}

impl Bulk {
    fn from_bits(bits: u32) -> Bulk {
        // The order is that of libusb's submit_bulk_transfer.
        match bits {
            _ if bits & BULK_SCATTER_GATHER != 0 => Bulk::Whole,
            _ if bits & BULK_CONTINUATION != 0 => Bulk::Continued,
            _ if bits & NO_PACKET_SIZE_LIMIT != 0 => Bulk::Whole,
            _ => Bulk::Loose,
        }
    }

    /// The longest transfer that keeps short packets apart.
    pub(crate) fn limit(self) -> usize {
        if self == Bulk::Loose { PIECE } else { i32::MAX as usize }
    }
}

/// Asks usbfs, and warns where transfers will be cut. An answer that can't be had counts as what libusb
/// takes then: pieces with continuation.
pub(crate) fn of(location: &Location) -> Bulk {
    let Some(bits) = ask(location) else { return Bulk::Continued };
    let bulk = Bulk::from_bits(bits);
    match bulk {
        Bulk::Whole => log::debug!("usbfs capabilities of {location}: {bits:#x}"),
        Bulk::Continued => log::warn!(
            "the host controller of {location} takes no long transfers (usbfs capabilities {bits:#x}): \
             they are cut into 16 KiB, and a cancel may catch a part only"
        ),
        Bulk::Loose => log::warn!(
            "the host controller of {location} can't keep long transfers together (usbfs capabilities \
             {bits:#x}): no transfer may be longer than 16 KiB"
        ),
    }
    bulk
}

/// Through a descriptor of our own: libusb has just opened the same node, so rights and power are there.
fn ask(location: &Location) -> Option<u32> {
    let node = OpenOptions::new().read(true).write(true).open(sysfs::node(location)).ok()?;
    let mut bits = 0_u32;
    // SAFETY: this request writes one u32 to its argument; `bits` is one and outlives the call.
    let answer = unsafe { libc::ioctl(node.as_raw_fd(), GET_CAPABILITIES as _, &raw mut bits) };
    (answer == 0).then_some(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_controllers_of_today_take_a_transfer_whole() {
        assert_eq!(Bulk::from_bits(0x1fd), Bulk::Whole, "xHCI");
        assert_eq!(Bulk::from_bits(0x1ff), Bulk::Whole, "dummy_hcd");
        assert_eq!(Bulk::from_bits(NO_PACKET_SIZE_LIMIT), Bulk::Whole, "in one piece of memory");
    }

    #[test]
    fn a_controller_without_scatter_gather_gets_pieces_that_continue() {
        assert_eq!(Bulk::from_bits(0x07), Bulk::Continued);
    }

    #[test]
    fn a_kernel_that_can_do_neither_limits_a_transfer_to_one_piece() {
        assert_eq!(Bulk::from_bits(0x01).limit(), PIECE);
        assert_eq!(Bulk::from_bits(0x1fd).limit(), i32::MAX as usize);
    }
}
