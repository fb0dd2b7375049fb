//! SANE's entry points, each under two names: `sane_usbscan_…`, which SANE's dll backend looks up, and `sane_…`, for
//! programs that are linked with this library alone. Here pointers become values and values become pointers; a panic
//! ends here, as `SANE_STATUS_IO_ERROR`. What the calls do is in backend.rs and scanner.rs.
//!
//! Runs on whatever threads the application calls from. `sane_cancel` may come from a signal handler.

use std::ffi::{CStr, c_char, c_uint, c_void};
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use crate::abi::{self, Authorize, Device, Handle, OptionDescriptor, Parameters, Status, StatusCode, Word};
use crate::backend;
use crate::handle;
use crate::stream::Wait;
use crate::value;

/// Defines one entry point under both its names.
macro_rules! entry {
    ($(#[$says:meta])* $plain:ident $prefixed:ident $does:ident($($name:ident: $kind:ty),*) $(-> $result:ty)?, $otherwise:expr) => {
        $(#[$says])*
        ///
        /// # Safety
        /// Pointers are null or point at what SANE's standard says.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $plain($($name: $kind),*) $(-> $result)? {
            // SAFETY: the caller promised the same.
            fenced($otherwise, || unsafe { $does($($name),*) })
        }

        $(#[$says])*
        ///
        /// # Safety
        /// Pointers are null or point at what SANE's standard says.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $prefixed($($name: $kind),*) $(-> $result)? {
            // SAFETY: the caller promised the same.
            fenced($otherwise, || unsafe { $does($($name),*) })
        }
    };
}

/// Calls; a panic becomes `otherwise`.
fn fenced<T>(otherwise: T, call: impl FnOnce() -> T) -> T {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result,
        Err(payload) => {
            // Its destructor could panic too.
            std::mem::forget(payload);
            otherwise
        }
    }
}

entry! {
    /// `sane_init`: before anything else. Says which version of SANE this is; asks for no password, ever.
    sane_init sane_usbscan_init init(version: *mut Word, authorize: Authorize) -> Status, Status::IoError
}

unsafe fn init(version: *mut Word, _authorize: Authorize) -> Status {
    backend::init();
    if !version.is_null() {
        // SAFETY: not null, so it points at a word, by the caller's promise.
        unsafe { version.write(abi::VERSION) };
    }
    Status::Good
}

entry! {
    /// `sane_exit`: closes what is open and forgets everything.
    sane_exit sane_usbscan_exit exit(), ()
}

unsafe fn exit() {
    backend::exit();
}

entry! {
    /// `sane_get_devices`: the scanners that the daemon has and that we can scan with. All of them are local. Without a
    /// daemon there are none.
    sane_get_devices sane_usbscan_get_devices
    get_devices(list: *mut *const *const Device, local_only: Word) -> Status, Status::IoError
}

unsafe fn get_devices(list: *mut *const *const Device, _local_only: Word) -> Status {
    if list.is_null() {
        return Status::Invalid;
    }
    match backend::get_devices() {
        Ok(devices) => {
            // SAFETY: not null, so it points at a pointer, by the caller's promise.
            unsafe { list.write(devices) };
            Status::Good
        }
        Err(status) => status,
    }
}

entry! {
    /// `sane_open`: a scanner by its name, by an unambiguous beginning of it, or, where the name is empty, the first.
    sane_open sane_usbscan_open open(name: *const c_char, handle: *mut Handle) -> Status, Status::IoError
}

unsafe fn open(name: *const c_char, handle: *mut Handle) -> Status {
    if handle.is_null() {
        return Status::Invalid;
    }
    let name = if name.is_null() {
        Ok("")
    } else {
        // SAFETY: not null, so it is a string with its zero, by the caller's promise.
        unsafe { CStr::from_ptr(name) }.to_str()
    };
    let Ok(name) = name else { return Status::Invalid };
    match backend::open(name) {
        Ok(opened) => {
            // SAFETY: not null, so it points at a handle, by the caller's promise.
            unsafe { handle.write(opened.to_c()) };
            Status::Good
        }
        Err(status) => status,
    }
}

entry! {
    /// `sane_close`: ends a scan that is under way, and the session with the daemon.
    sane_close sane_usbscan_close close(handle: Handle), ()
}

unsafe fn close(handle: Handle) {
    backend::close(handle);
}

entry! {
    /// `sane_get_option_descriptor`: the option's description, valid until the scanner is closed; null past the last.
    sane_get_option_descriptor sane_usbscan_get_option_descriptor
    get_option_descriptor(handle: Handle, option: Word) -> *const OptionDescriptor, ptr::null()
}

unsafe fn get_option_descriptor(handle: Handle, option: Word) -> *const OptionDescriptor {
    backend::scanner(handle).map_or(ptr::null(), |scanner| scanner.descriptor(option))
}

entry! {
    /// `sane_control_option`: reads or sets an option. `info` gets `SANE_INFO_…`, and may be null.
    sane_control_option sane_usbscan_control_option
    control_option(handle: Handle, option: Word, action: c_uint, value: *mut c_void, info: *mut Word) -> Status, Status::IoError
}

unsafe fn control_option(handle: Handle, option: Word, action: c_uint, value: *mut c_void, info: *mut Word) -> Status {
    // SAFETY: the caller's promise.
    match unsafe { controlled(handle, option, action, value) } {
        Ok(flags) => {
            if !info.is_null() {
                // SAFETY: not null, so it points at a word, by the caller's promise.
                unsafe { info.write(flags) };
            }
            Status::Good
        }
        Err(status) => status,
    }
}

/// The value read or set, and what `info` says of it.
unsafe fn controlled(handle: Handle, option: Word, action: c_uint, at: *mut c_void) -> Result<Word, Status> {
    let scanner = backend::scanner(handle)?;
    let shape = scanner.shape(option)?;
    match action {
        abi::ACTION_GET_VALUE => {
            let held = scanner.get(option)?;
            // SAFETY: by the caller's promise there is room for the value that the descriptor describes.
            unsafe { value::write(&held, shape, at) }?;
            Ok(0)
        }
        abi::ACTION_SET_VALUE => {
            // SAFETY: by the caller's promise there is a value there as the descriptor describes it.
            let wanted = unsafe { value::read(shape, at) }?;
            let set = scanner.set(option, &wanted)?;
            if set.flags & abi::INFO_INEXACT != 0 {
                // SAFETY: as above; and SANE says that the value which was taken is written back.
                unsafe { value::write(&set.value, shape, at) }?;
            }
            Ok(set.flags)
        }
        abi::ACTION_SET_AUTO => scanner.set_automatic(option),
        _ => Err(Status::Invalid),
    }
}

entry! {
    /// `sane_get_parameters`: what the page is, or, before `sane_start`, what it would be.
    sane_get_parameters sane_usbscan_get_parameters
    get_parameters(handle: Handle, parameters: *mut Parameters) -> Status, Status::IoError
}

unsafe fn get_parameters(handle: Handle, parameters: *mut Parameters) -> Status {
    // SANE allows a null here: some applications only want to know whether the handle is good.
    match backend::scanner(handle).and_then(|scanner| scanner.parameters()) {
        Ok(known) => {
            if !parameters.is_null() {
                // SAFETY: not null, so it points at a SANE_Parameters, by the caller's promise.
                unsafe { parameters.write(known) };
            }
            Status::Good
        }
        Err(status) => status,
    }
}

entry! {
    /// `sane_start`: begins a page, and returns when the scanner has begun it.
    sane_start sane_usbscan_start start(handle: Handle) -> Status, Status::IoError
}

unsafe fn start(handle: Handle) -> Status {
    match backend::scanner(handle).and_then(|scanner| scanner.start()) {
        Ok(()) => Status::Good,
        Err(status) => status,
    }
}

entry! {
    /// `sane_read`: the next bytes of the page, at least one; or none, where it was told not to wait and there are none.
    sane_read sane_usbscan_read
    read(handle: Handle, data: *mut u8, most: Word, length: *mut Word) -> Status, Status::IoError
}

unsafe fn read(handle: Handle, data: *mut u8, most: Word, length: *mut Word) -> Status {
    if length.is_null() {
        return Status::Invalid;
    }
    // SAFETY: the caller's promise.
    let (status, count) = match unsafe { read_into(handle, data, most) } {
        Ok(count) => (Status::Good, count),
        Err(status) => (status, 0),
    };
    // SAFETY: not null, so it points at a word, by the caller's promise.
    unsafe { length.write(count) };
    status
}

unsafe fn read_into(handle: Handle, data: *mut u8, most: Word) -> Result<Word, Status> {
    let scanner = backend::scanner(handle)?;
    let most = usize::try_from(most).map_err(|_| Status::Invalid)?;
    if data.is_null() {
        return Err(Status::Invalid);
    }
    // SAFETY: not null, so there is room for `most` bytes, by the caller's promise. They may hold nothing yet.
    let buffer = unsafe { std::slice::from_raw_parts_mut(data.cast::<MaybeUninit<u8>>(), most) };
    let count = scanner.read(buffer)?;
    Ok(Word::try_from(count).expect("no more than the buffer, which a word counts"))
}

entry! {
    /// `sane_cancel`: ends the scan, here and at the scanner. Returns at once and may be called from a signal handler and
    /// from any thread: it adds to a counter and writes to a descriptor. A thread of the scan does the rest.
    sane_cancel sane_usbscan_cancel cancel(handle: Handle), ()
}

unsafe fn cancel(handle: Handle) {
    handle::cancel(handle);
}

entry! {
    /// `sane_set_io_mode`: whether `sane_read` waits. Holds for the scan that was started.
    sane_set_io_mode sane_usbscan_set_io_mode set_io_mode(handle: Handle, non_blocking: Word) -> Status, Status::IoError
}

unsafe fn set_io_mode(handle: Handle, non_blocking: Word) -> Status {
    let wait = if non_blocking == abi::FALSE { Wait::ForBytes } else { Wait::No };
    match backend::scanner(handle).and_then(|scanner| scanner.set_io_mode(wait)) {
        Ok(()) => Status::Good,
        Err(status) => status,
    }
}

entry! {
    /// `sane_get_select_fd`: a descriptor that is readable while `sane_read` would not wait.
    sane_get_select_fd sane_usbscan_get_select_fd get_select_fd(handle: Handle, fd: *mut Word) -> Status, Status::IoError
}

unsafe fn get_select_fd(handle: Handle, fd: *mut Word) -> Status {
    let found = backend::scanner(handle).and_then(|scanner| scanner.select_fd());
    match found {
        Ok(_) if fd.is_null() => Status::Invalid,
        Ok(descriptor) => {
            // SAFETY: not null, so it points at a word, by the caller's promise.
            unsafe { fd.write(descriptor) };
            Status::Good
        }
        Err(status) => status,
    }
}

/// `sane_strstatus`: a status in English words; never null. The dll backend has its own, so there is no second name.
#[unsafe(no_mangle)]
pub extern "C" fn sane_strstatus(status: StatusCode) -> *const c_char {
    crate::status::words(status).as_ptr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_stays_on_this_side_of_the_fence() {
        assert_eq!(fenced(Status::IoError, || panic!("as a bug would")), Status::IoError);
        assert_eq!(fenced(Status::IoError, || Status::Good), Status::Good);
    }
}
