//! The way to the daemon: where it listens, and what it lists.

use std::ffi::{CStr, OsStr, OsString, c_char};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

use usbscan_wire::{Answer, Command, DeviceEntry, ListBody, Status};

use crate::connection::{Connection, Gone};
use crate::host;

/// Where the daemon listens.
const SOCKET: &str = "/run/usbscan/usbscand.sock";
/// The variable that names another place.
const SOCKET_VARIABLE: &CStr = c"USBSCAN_SOCKET";

unsafe extern "C" {
    // Of glibc and musl; the libc crate leaves it out.
    fn secure_getenv(name: *const c_char) -> *const c_char;
}

/// An environment variable; none in a program that was started with more rights than its user has.
pub(crate) fn variable(name: &CStr) -> Option<OsString> {
    // SAFETY: the name ends with NUL.
    let value = unsafe { secure_getenv(name.as_ptr()) };
    if value.is_null() {
        return None;
    }
    // SAFETY: it is a string of the environment, and copied at once.
    let value = unsafe { CStr::from_ptr(value) };
    Some(OsStr::from_bytes(value.to_bytes()).to_owned())
}

/// Connects to the daemon.
///
/// # Errors
/// As [`Connection::open`].
pub(crate) fn connect() -> io::Result<Arc<Connection>> {
    let path = variable(SOCKET_VARIABLE).map_or_else(|| PathBuf::from(SOCKET), PathBuf::from);
    Connection::open(&path)
}

/// What the daemon lists, each with its descriptors.
///
/// # Errors
/// [`Gone`], also when the daemon refuses.
pub(crate) fn list(connection: &Arc<Connection>) -> Result<Vec<DeviceEntry>, Gone> {
    let ask = |device: Option<String>| -> Result<Vec<DeviceEntry>, Gone> {
        let answer = connection.call(&Command::List { device, descriptors: true }, &[])?;
        match answer {
            Answer { status: Status::Success, .. } => {
                answer.body().map(|body: ListBody| body.devices).map_err(|_| Gone)
            }
            _ => Ok(Vec::new()),
        }
    };
    let mut entries = ask(host::device().map(str::to_owned))?;
    // An answer has an end, and descriptors are long: what did not fit is asked for by itself.
    for entry in &mut entries {
        if entry.descriptors.is_none() {
            if let Some(whole) = ask(Some(entry.name.clone()))?.pop() {
                *entry = whole;
            }
        }
    }
    Ok(entries)
}
