//! A shared library that is loaded, and never unloaded.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::NonNull;

/// See the head of this file.
#[derive(Debug, Clone, Copy)]
pub struct Library(NonNull<c_void>);

// SAFETY: a handle of dlopen may be used by any thread, and stays good since it is never closed.
unsafe impl Send for Library {}

/// The loader's last words.
fn error() -> String {
    // SAFETY: it gives null or a string of its own, which is copied before another call of the loader.
    let words = unsafe { libc::dlerror() };
    if words.is_null() {
        return "the loader says nothing".to_owned();
    }
    // SAFETY: as above.
    unsafe { CStr::from_ptr(words) }.to_string_lossy().into_owned()
}

impl Library {
    /// Loads a library with every symbol bound. Where `is_global`, what is loaded later sees its symbols.
    ///
    /// # Errors
    /// The loader's words.
    pub fn load(path: &Path, is_global: bool) -> Result<Library, String> {
        let name = CString::new(path.as_os_str().as_bytes()).map_err(|error| error.to_string())?;
        let scope: c_int = if is_global { libc::RTLD_GLOBAL } else { libc::RTLD_LOCAL };
        // SAFETY: the name ends with NUL. What the library does when it is loaded is what this process is there for.
        let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | scope) };
        NonNull::new(handle).map(Library).ok_or_else(error)
    }

    /// The address of a symbol.
    ///
    /// # Errors
    /// The loader's words.
    pub fn symbol(self, name: &str) -> Result<NonNull<c_void>, String> {
        let name = CString::new(name).map_err(|error| error.to_string())?;
        let text: *const c_char = name.as_ptr();
        // SAFETY: the handle is a library's that is never closed, and the name ends with NUL.
        let address = unsafe { libc::dlsym(self.0.as_ptr(), text) };
        NonNull::new(address).ok_or_else(error)
    }
}
