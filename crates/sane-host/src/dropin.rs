//! Our libusb, loaded before the backend that is to find it there, and what it does for this process alone.

use std::ffi::{CString, c_char, c_int, c_void};
use std::path::Path;
use std::ptr::NonNull;

use crate::library::Library;

/// See the head of this file. Its functions may be called by any thread.
#[derive(Debug, Clone, Copy)]
pub struct Dropin {
    refuse: extern "C" fn(c_int),
    completed: extern "C" fn() -> u64,
    cancelled: extern "C" fn() -> u64,
}

/// The functions of a [`Dropin`] by their addresses.
fn functions(refuse: NonNull<c_void>, completed: NonNull<c_void>, cancelled: NonNull<c_void>) -> Dropin {
    // SAFETY: our libusb declares it like that.
    let refuse = unsafe { std::mem::transmute::<NonNull<c_void>, extern "C" fn(c_int)>(refuse) };
    // SAFETY: likewise.
    let completed = unsafe { std::mem::transmute::<NonNull<c_void>, extern "C" fn() -> u64>(completed) };
    // SAFETY: likewise.
    let cancelled = unsafe { std::mem::transmute::<NonNull<c_void>, extern "C" fn() -> u64>(cancelled) };
    Dropin { refuse, completed, cancelled }
}

impl Dropin {
    /// Loads it, to show this device alone.
    ///
    /// # Errors
    /// The loader's words.
    pub fn load(path: &Path, device: &str) -> Result<Dropin, String> {
        let library = Library::load(path, true)?;
        let select = library.symbol("usbscan_host_device")?;
        // SAFETY: our libusb declares it like that.
        let select = unsafe { std::mem::transmute::<NonNull<c_void>, unsafe extern "C" fn(*const c_char)>(select) };
        let device = CString::new(device).map_err(|error| error.to_string())?;
        // SAFETY: the name ends with NUL, and is copied.
        unsafe { select(device.as_ptr()) };
        let address = |name: &str| library.symbol(name);
        Ok(functions(
            address("usbscan_host_refuse")?,
            address("usbscan_host_completed")?,
            address("usbscan_host_cancelled")?,
        ))
    }

    /// Makes every transfer fail, or lets them be again.
    pub fn refuse(self, refuses: bool) {
        (self.refuse)(c_int::from(refuses));
    }

    /// How many transfers have ended well.
    pub fn completed(self) -> u64 {
        (self.completed)()
    }

    /// How many transfers others have cancelled.
    pub fn cancelled(self) -> u64 {
        (self.cancelled)()
    }
}
