//! The library's one state, because SANE has no handle for it: whether it is initialised, the list that was given out
//! last, and the scanners that are open. Its lock is held for look-ups only, never while anything is waited for.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::abi::{Device, Handle, Status};
use crate::devices::{self, DeviceList};
use crate::engine::Engine;
use crate::handle::{HandleId, Refused};
use crate::scanner::Scanner;
use crate::{debug, threads};

#[derive(Debug, Default)]
struct Backend {
    /// What `sane_get_devices` gave out last: valid until the next, or `sane_exit`.
    listed: Option<DeviceList>,
    open: BTreeMap<HandleId, Arc<Scanner>>,
}

/// `None` before `sane_init` and after `sane_exit`.
static BACKEND: Mutex<Option<Backend>> = Mutex::new(None);

/// `sane_init`. A second one changes nothing.
pub fn init() {
    debug::init();
    BACKEND.lock().get_or_insert_default();
}

/// `sane_exit`: all scanners are closed, but those that this process has of the one it was forked from.
pub fn exit() {
    let ended = BACKEND.lock().take();
    for (handle, scanner) in ended.into_iter().flat_map(|backend| backend.open) {
        if handle.is_inherited() {
            // Its threads are not in this process: nobody would answer, and the connection is the parent's.
            std::mem::forget(scanner);
            continue;
        }
        handle.close();
        scanner.close();
    }
}

fn with<T>(look: impl FnOnce(&mut Backend) -> Result<T, Status>) -> Result<T, Status> {
    BACKEND.lock().as_mut().map_or(Err(Status::Invalid), look)
}

/// `sane_get_devices`: a new list; the one before is gone.
pub fn get_devices() -> Result<*const *const Device, Status> {
    with(|_| Ok(()))?;
    let scanners = threads::run("usbscan list", devices::scanners).unwrap_or_default();
    let list = DeviceList::new(&scanners);
    with(|backend| Ok(backend.listed.insert(list).as_ptr()))
}

pub fn open(name: &str) -> Result<HandleId, Status> {
    with(|_| Ok(()))?;
    let name = name.to_owned();
    let opened = threads::run("usbscan open", move || Engine::open(&name, &mut |_| Ok(())));
    let engine = opened.unwrap_or(Err(Status::NoMem))?;
    with(|backend| {
        let handle = HandleId::open().map_err(|refused| match refused {
            Refused::TooMany | Refused::NoDescriptor(_) => Status::NoMem,
        })?;
        backend.open.insert(handle, Arc::new(Scanner::new(engine, handle.slot())));
        Ok(handle)
    })
}

/// `sane_close`. A handle that is not open is left alone.
pub fn close(handle: Handle) {
    let Some(handle) = HandleId::from_c(handle) else { return };
    let closed = with(|backend| backend.open.remove(&handle).ok_or(Status::Invalid));
    if let Ok(scanner) = closed {
        scanner.close();
        handle.close();
    }
}

/// The scanner that a handle names.
pub fn scanner(handle: Handle) -> Result<Arc<Scanner>, Status> {
    let handle = HandleId::from_c(handle).ok_or(Status::Invalid)?;
    with(|backend| backend.open.get(&handle).cloned().ok_or(Status::Invalid))
}
