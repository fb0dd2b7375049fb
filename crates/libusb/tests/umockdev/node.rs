//! What stands behind a device node of the test bed: the slave of a pseudo-terminal.
//!
//! umockdev's own node is a plain file, which `poll` always finds ready, so that libusb's event loop would spin.
//! usbfs is ready to write when there is something to reap, and shows an error when the device is gone. A
//! terminal can do both: its output is stopped or not, and it can be hung up.
//!
//! System calls go to the kernel directly where umockdev would take them for its own: these are made on its thread.

use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use parking_lot::Mutex;

/// A node that can be made ready, not ready, and hung up.
pub struct Node {
    master: Mutex<Option<OwnedFd>>,
    slave: OwnedFd,
    path: String,
}

impl Node {
    /// A new one, not ready.
    pub fn new() -> Node {
        // SAFETY: no preconditions.
        let master = owned(unsafe { libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC) });
        // SAFETY: `master` is a pseudo-terminal's master, here and below.
        assert_eq!(unsafe { libc::grantpt(master.as_raw_fd()) }, 0);
        // SAFETY: as above.
        assert_eq!(unsafe { libc::unlockpt(master.as_raw_fd()) }, 0);
        let mut name = [0; 64];
        // SAFETY: as above; the function writes at most the length it is given.
        assert_eq!(unsafe { libc::ptsname_r(master.as_raw_fd(), name.as_mut_ptr(), name.len()) }, 0);
        // SAFETY: ptsname_r left a string that ends with NUL.
        let path = unsafe { CStr::from_ptr(name.as_ptr()) }.to_str().expect("ASCII").to_owned();
        let node = Node { slave: open(&path), master: Mutex::new(Some(master)), path };
        node.set_ready(false);
        node
    }

    /// What the device node is to be a link to.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether `poll` finds it writable.
    pub fn set_ready(&self, ready: bool) {
        let action = if ready { libc::TCOON } else { libc::TCOOFF };
        // A terminal that was hung up says so; then it is ready for good, with an error.
        // SAFETY: TCXONC takes a number; the descriptor is ours and open.
        let _ = unsafe { libc::syscall(libc::SYS_ioctl, self.slave.as_raw_fd(), libc::TCXONC, action) };
    }

    /// From now on `poll` finds an error.
    pub fn hang_up(&self) {
        drop(self.master.lock().take());
    }
}

fn open(path: &str) -> OwnedFd {
    let path = CString::new(path).expect("a path");
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: openat reads a string that ends with NUL.
    let fd = unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags) };
    owned(fd as RawFd)
}

fn owned(fd: RawFd) -> OwnedFd {
    assert!(fd >= 0, "no pseudo-terminal: {}", std::io::Error::last_os_error());
    // SAFETY: the descriptor was just opened, and nobody else has it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}
