//! A SANE backend that is loaded. All of its functions are called here, by the main thread.

use std::ffi::{CStr, CString, c_void};
use std::path::Path;
use std::ptr::{self, NonNull};

use usbscan_sane_protocol::{DeviceInfo, FrameFormat, Parameters, Unusable, status};

use crate::abi;
use crate::folders;
use crate::library::Library;
use crate::text::text;

/// Most devices of a list that are looked at.
const DEVICES: usize = 256;

/// Its functions.
#[derive(Debug)]
pub struct Backend {
    init: abi::Init,
    exit: abi::Exit,
    get_devices: abi::GetDevices,
    open: abi::Open,
    close: abi::Close,
    get_option_descriptor: abi::GetOptionDescriptor,
    control_option: abi::ControlOption,
    get_parameters: abi::GetParameters,
    start: abi::Start,
    read: abi::Read,
    cancel: abi::Cancel,
}

/// A function of the backend, by its address.
///
/// # Safety
/// `F` is the type of the function pointer that the SANE standard gives it.
unsafe fn function<F: Copy>(library: Library, backend: &str, call: &str) -> Result<F, String> {
    assert_eq!(size_of::<F>(), size_of::<NonNull<c_void>>(), "a function pointer");
    // A backend has its functions under its own name; those of vendors may have only the general ones.
    let named = library.symbol(&format!("sane_{backend}_{call}"));
    let address = named.or_else(|error| library.symbol(&format!("sane_{call}")).map_err(|_| error))?;
    // SAFETY: both are pointers of one size, and the caller vouches for the type.
    Ok(unsafe { std::mem::transmute_copy::<NonNull<c_void>, F>(&address) })
}

impl Backend {
    /// Loads a backend by its name.
    ///
    /// # Errors
    /// Why there is none.
    pub fn load(name: &str) -> Result<Backend, Unusable> {
        let folders = folders::all();
        let file = folders.iter().map(|folder| folder.join(folders::file_name(name))).find(|file| file.exists());
        let Some(file) = file.filter(|_| folders::is_name(name)) else {
            let folders = folders.iter().map(|folder| folder.display().to_string()).collect();
            return Err(Unusable::NotInstalled { folders });
        };
        Backend::from_file(&file, name).map_err(|reason| Unusable::NotLoadable { reason })
    }

    fn from_file(file: &Path, name: &str) -> Result<Backend, String> {
        let library = Library::load(file, false)?;
        // SAFETY: of each, the field's type is the one of the SANE standard.
        let backend = unsafe { Backend::with_functions(library, name)? };
        Ok(backend)
    }

    /// # Safety
    /// The fields have the types of the SANE standard.
    unsafe fn with_functions(library: Library, name: &str) -> Result<Backend, String> {
        macro_rules! find {
            ($call:literal) => {
                // SAFETY: as the caller promises.
                unsafe { function(library, name, $call) }?
            };
        }
        Ok(Backend {
            init: find!("init"),
            exit: find!("exit"),
            get_devices: find!("get_devices"),
            open: find!("open"),
            close: find!("close"),
            get_option_descriptor: find!("get_option_descriptor"),
            control_option: find!("control_option"),
            get_parameters: find!("get_parameters"),
            start: find!("start"),
            read: find!("read"),
            cancel: find!("cancel"),
        })
    }

    /// `sane_init`.
    pub fn init(&self) -> abi::Status {
        let mut version = 0;
        // SAFETY: the place for the version is ours; no callback is given, which the standard allows.
        unsafe { (self.init)(&raw mut version, None) }
    }

    /// `sane_exit`.
    pub fn exit(&self) {
        // SAFETY: it was initialised, and every handle is closed.
        unsafe { (self.exit)() }
    }

    /// `sane_get_devices`: the first of this machine's, if there is one.
    ///
    /// # Errors
    /// A `SANE_Status`.
    pub fn first_device(&self) -> Result<Option<(CString, DeviceInfo)>, abi::Status> {
        let mut list: *const *const abi::Device = ptr::null();
        // SAFETY: the place for the list is ours.
        let status = unsafe { (self.get_devices)(&raw mut list, abi::TRUE) };
        if status != status::GOOD {
            return Err(status);
        }
        if list.is_null() {
            return Ok(None);
        }
        for at in 0..DEVICES {
            // SAFETY: the list ends with null, and was not null before this place.
            let entry = unsafe { list.add(at) };
            // SAFETY: as above.
            let device = unsafe { *entry };
            // SAFETY: an entry is null or points at a device, until the next call of this function.
            let Some(device) = (unsafe { device.as_ref() }) else { break };
            if device.name.is_null() {
                continue;
            }
            // SAFETY: a name ends with NUL.
            let name = unsafe { CStr::from_ptr(device.name) }.to_owned();
            let info = DeviceInfo {
                name: text(device.name),
                vendor: text(device.vendor),
                model: text(device.model),
                kind: text(device.kind),
            };
            return Ok(Some((name, info)));
        }
        Ok(None)
    }

    /// `sane_open`.
    ///
    /// # Errors
    /// A `SANE_Status`.
    pub fn open(&self, name: &CStr) -> Result<abi::Handle, abi::Status> {
        let mut handle = ptr::null_mut();
        // SAFETY: the name ends with NUL, and the place for the handle is ours.
        match unsafe { (self.open)(name.as_ptr(), &raw mut handle) } {
            status::GOOD => Ok(handle),
            status => Err(status),
        }
    }

    /// `sane_close`.
    pub fn close(&self, handle: abi::Handle) {
        // SAFETY: the handle is open, and not used after this.
        unsafe { (self.close)(handle) }
    }

    /// `sane_get_option_descriptor`.
    pub fn descriptor(&self, handle: abi::Handle, index: u32) -> Option<abi::OptionDescriptor> {
        let index = abi::Word::try_from(index).ok()?;
        // SAFETY: the handle is open; the standard allows every number.
        let descriptor = unsafe { (self.get_option_descriptor)(handle, index) };
        // SAFETY: it is null, or points at a descriptor until the handle is closed.
        unsafe { descriptor.as_ref() }.copied()
    }

    /// `sane_control_option`: the status, and what it says besides. `value` has room for the option's size.
    pub fn control(
        &self,
        handle: abi::Handle,
        index: u32,
        action: u32,
        value: &mut [abi::Word],
    ) -> (abi::Status, abi::Word) {
        let mut info = 0;
        let place = value.as_mut_ptr().cast::<c_void>();
        // SAFETY: the handle is open, and the value is as large as the option's descriptor says, which our callers see to.
        let status = unsafe { (self.control_option)(handle, index as abi::Word, action, place, &raw mut info) };
        (status, info)
    }

    /// `sane_get_parameters`.
    ///
    /// # Errors
    /// A `SANE_Status`.
    pub fn parameters(&self, handle: abi::Handle) -> Result<Parameters, abi::Status> {
        let mut of = abi::Parameters::default();
        // SAFETY: the handle is open, and the place for the parameters is ours.
        let status = unsafe { (self.get_parameters)(handle, &raw mut of) };
        if status != status::GOOD {
            return Err(status);
        }
        let format = match of.format {
            0 => FrameFormat::Gray,
            1 => FrameFormat::Rgb,
            2 => FrameFormat::Red,
            3 => FrameFormat::Green,
            4 => FrameFormat::Blue,
            _ => FrameFormat::Other,
        };
        Ok(Parameters {
            format,
            last_frame: of.last_frame != 0,
            bytes_per_line: of.bytes_per_line,
            pixels_per_line: of.pixels_per_line,
            lines: of.lines,
            depth: of.depth,
        })
    }

    /// `sane_start`.
    pub fn start(&self, handle: abi::Handle) -> abi::Status {
        // SAFETY: the handle is open.
        unsafe { (self.start)(handle) }
    }

    /// `sane_read`: the status, and how many bytes were read.
    pub fn read(&self, handle: abi::Handle, into: &mut [u8]) -> (abi::Status, usize) {
        let room = abi::Word::try_from(into.len()).unwrap_or(abi::Word::MAX);
        let mut count = 0;
        // SAFETY: the handle is open, and so many bytes are ours.
        let status = unsafe { (self.read)(handle, into.as_mut_ptr(), room, &raw mut count) };
        (status, usize::try_from(count).unwrap_or(0).min(into.len()))
    }

    /// `sane_cancel`.
    pub fn cancel(&self, handle: abi::Handle) {
        // SAFETY: the handle is open.
        unsafe { (self.cancel)(handle) }
    }
}
