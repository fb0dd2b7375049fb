//! Translates udev's messages into the kernel's, for a libusb that listens to the kernel.
//!
//! umockdev speaks for udev. The libusb that rusb bundles listens to the kernel where it was built without
//! libudev, and drops what does not come from there. Both say the same things in the same words; only the head
//! differs. This executable's `recvmsg` stands before umockdev's, and so before libc's.

use std::ffi::c_int;
use std::sync::OnceLock;

type RecvMsg = unsafe extern "C" fn(c_int, *mut libc::msghdr, c_int) -> isize;

/// `NL_GROUP_KERNEL` and `UDEV_MONITOR_UDEV`.
const KERNEL: u32 = 1;
const UDEV: u32 = 2;

/// libusb's netlink backend reads into this many bytes; libudev, which must get its messages unchanged, into more.
const BUFFER_OF_LIBUSB: usize = 2048;

/// Length of `struct udev_monitor_netlink_header`: prefix, magic, header size, properties' offset and length, ...
const HEAD: usize = 40;

fn next() -> RecvMsg {
    static NEXT: OnceLock<RecvMsg> = OnceLock::new();
    *NEXT.get_or_init(|| {
        // SAFETY: dlsym reads a string that ends with NUL.
        let found = unsafe { libc::dlsym(libc::RTLD_NEXT, c"recvmsg".as_ptr()) };
        assert!(!found.is_null(), "libc has recvmsg");
        // SAFETY: it is the C function of this signature.
        unsafe { std::mem::transmute::<*mut libc::c_void, RecvMsg>(found) }
    })
}

/// The C function of that name, for this executable.
///
/// # Safety
/// As for recvmsg(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn recvmsg(socket: c_int, message: *mut libc::msghdr, flags: c_int) -> isize {
    // SAFETY: the caller keeps recvmsg's rules.
    let length = unsafe { next()(socket, message, flags) };
    if length < HEAD as isize {
        return length;
    }
    // SAFETY: a call that succeeded had a valid header.
    let message = unsafe { &*message };
    if message.msg_iovlen != 1 || message.msg_name.is_null() {
        return length;
    }
    // SAFETY: msg_iovlen is 1, so there is one.
    let part = unsafe { &*message.msg_iov };
    if part.iov_len != BUFFER_OF_LIBUSB {
        return length;
    }
    // SAFETY: libusb's netlink backend (told by its buffer) passes a sockaddr_nl for the name.
    let sender = unsafe { &mut *message.msg_name.cast::<libc::sockaddr_nl>() };
    // SAFETY: the call filled `length` bytes of this part.
    let bytes = unsafe { std::slice::from_raw_parts_mut(part.iov_base.cast::<u8>(), length as usize) };
    if sender.nl_groups != UDEV || !bytes.starts_with(b"libudev\0") {
        return length;
    }
    sender.nl_groups = KERNEL;
    let word = |at: usize| u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]) as usize;
    let (from, to) = (word(16), word(16) + word(20));
    bytes.copy_within(from..to.min(bytes.len()), 0);
    (to.min(bytes.len()) - from) as isize
}
