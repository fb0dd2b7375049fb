//! The functions of libumockdev that the test bed needs, declared by hand and found at run time: the machine
//! that builds this needs no -dev package, and one without umockdev still builds it.

use std::ffi::{CStr, CString, c_char, c_int, c_long, c_ulong, c_void};
use std::ptr::{null, null_mut};

/// `UMockdevTestbed *`, `UMockdevIoctlBase *`, `UMockdevIoctlClient *`: all GObjects.
pub type Object = *mut c_void;

/// Signature of a "handle-ioctl" handler: base, client, our data; whether it was handled.
pub type HandleIoctl = extern "C" fn(Object, Object, *mut c_void) -> c_int;
/// Signature of a "notify" handler: client, property, our data.
pub type Notify = extern "C" fn(Object, *mut c_void, *mut c_void);

/// `struct _GError` of gerror.h.
#[repr(C)]
struct GError {
    domain: u32,
    code: c_int,
    message: *const c_char,
}

macro_rules! functions {
    ($($name:ident: fn($($argument:ty),*) $(-> $result:ty)?;)*) => {
        /// The functions, as found.
        #[derive(Clone, Copy)]
        struct Functions {
            $($name: unsafe extern "C" fn($($argument),*) $(-> $result)?,)*
        }

        impl Functions {
            fn find() -> Option<Functions> {
                Some(Functions {
                    // SAFETY: the symbols are C functions of exactly these signatures (umockdev.h,
                    // umockdev-ioctl.h, gobject.h), so their addresses are pointers of this type.
                    $($name: unsafe {
                        std::mem::transmute::<*mut c_void, unsafe extern "C" fn($($argument),*) $(-> $result)?>(
                            symbol(stringify!($name))?
                        )
                    },)*
                })
            }
        }
    };
}

functions! {
    umockdev_testbed_new: fn() -> Object;
    umockdev_testbed_get_root_dir: fn(Object) -> *mut c_char;
    umockdev_testbed_add_from_string: fn(Object, *const c_char, *mut *mut GError) -> c_int;
    umockdev_testbed_remove_device: fn(Object, *const c_char);
    umockdev_testbed_uevent: fn(Object, *const c_char, *const c_char);
    umockdev_testbed_attach_ioctl: fn(Object, *const c_char, Object, *mut *mut GError) -> c_int;
    umockdev_testbed_detach_ioctl: fn(Object, *const c_char, *mut *mut GError) -> c_int;
    umockdev_ioctl_base_new: fn() -> Object;
    umockdev_ioctl_client_get_request: fn(Object) -> c_ulong;
    umockdev_ioctl_client_get_arg: fn(Object) -> Object;
    umockdev_ioctl_data_retrieve: fn(Object, *mut *mut u8, *mut c_int);
    umockdev_ioctl_client_get_connected: fn(Object) -> c_int;
    umockdev_ioctl_client_complete: fn(Object, c_long, c_int);
    g_free: fn(*mut u8);
    g_object_ref: fn(Object) -> Object;
    g_signal_connect_data: fn(Object, *const c_char, *const c_void, *mut c_void, *const c_void, c_int) -> c_ulong;
}

fn symbol(name: &str) -> Option<*mut c_void> {
    let name = CString::new(name).expect("a name");
    // SAFETY: dlsym reads a string that ends with NUL.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!found.is_null()).then_some(found)
}

/// libumockdev, loaded.
#[derive(Clone, Copy)]
pub struct Umockdev {
    functions: Functions,
}

// SAFETY: a table of function pointers.
unsafe impl Send for Umockdev {}
// SAFETY: as above.
unsafe impl Sync for Umockdev {}

fn text(value: &str) -> CString {
    CString::new(value).expect("no NUL in what we describe")
}

impl Umockdev {
    /// Loads the library; `None` where it is not installed, or older than 0.17.16.
    pub fn load() -> Option<Umockdev> {
        let name = text("libumockdev.so.0");
        // SAFETY: loads a library whose constructors do nothing but initialise GLib's types.
        let library = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
        if library.is_null() {
            return None;
        }
        Some(Umockdev { functions: Functions::find()? })
    }

    pub fn new_testbed(self) -> Object {
        // SAFETY: no preconditions; there is one test bed at a time, the rig sees to that.
        unsafe { (self.functions.umockdev_testbed_new)() }
    }

    pub fn root(self, testbed: Object) -> String {
        // SAFETY: `testbed` is one.
        let root = unsafe { (self.functions.umockdev_testbed_get_root_dir)(testbed) };
        // SAFETY: the function returns a string that ends with NUL.
        let path = unsafe { CStr::from_ptr(root) }.to_string_lossy().into_owned();
        // SAFETY: the string is ours, from GLib's allocator, and nothing points at it any more.
        unsafe { (self.functions.g_free)(root.cast()) };
        path
    }

    pub fn add(self, testbed: Object, description: &str) {
        let (description, mut error) = (text(description), null_mut());
        // SAFETY: `testbed` is one; the string outlives the call.
        unsafe { (self.functions.umockdev_testbed_add_from_string)(testbed, description.as_ptr(), &raw mut error) };
        expect_no_error(error);
    }

    pub fn remove(self, testbed: Object, syspath: &str) {
        let syspath = text(syspath);
        // SAFETY: `testbed` is one; the string outlives the call.
        unsafe { (self.functions.umockdev_testbed_remove_device)(testbed, syspath.as_ptr()) }
    }

    pub fn uevent(self, testbed: Object, syspath: &str, action: &str) {
        let (syspath, action) = (text(syspath), text(action));
        // SAFETY: `testbed` is one; the strings outlive the call.
        unsafe { (self.functions.umockdev_testbed_uevent)(testbed, syspath.as_ptr(), action.as_ptr()) }
    }

    /// Answers every ioctl on a device node with `handler`, which gets `data`, on umockdev's thread.
    pub fn attach(self, testbed: Object, node: &str, handler: HandleIoctl, data: *mut c_void) {
        // SAFETY: no preconditions.
        let base = unsafe { (self.functions.umockdev_ioctl_base_new)() };
        self.connect(base, "handle-ioctl", handler as *const c_void, data);
        let (node, mut error) = (text(node), null_mut());
        // SAFETY: both are the objects that they should be; the string outlives the call.
        unsafe { (self.functions.umockdev_testbed_attach_ioctl)(testbed, node.as_ptr(), base, &raw mut error) };
        expect_no_error(error);
    }

    /// Who opens the node from now on finds nobody; who has it open keeps its handler.
    pub fn detach(self, testbed: Object, node: &str) {
        let (node, mut error) = (text(node), null_mut());
        // SAFETY: `testbed` is one; the string outlives the call.
        unsafe { (self.functions.umockdev_testbed_detach_ioctl)(testbed, node.as_ptr(), &raw mut error) };
        expect_no_error(error);
    }

    /// Tells when a client of a node comes to its end.
    pub fn on_disconnect(self, client: Object, notify: Notify, data: *mut c_void) {
        // SAFETY: `client` is a GObject. One reference more keeps its address from being used again.
        unsafe { (self.functions.g_object_ref)(client) };
        self.connect(client, "notify::connected", notify as *const c_void, data);
    }

    pub fn is_connected(self, client: Object) -> bool {
        // SAFETY: `client` is a client, kept by the reference of `on_disconnect`.
        unsafe { (self.functions.umockdev_ioctl_client_get_connected)(client) != 0 }
    }

    /// The number of the ioctl that a client waits for, and its argument.
    pub fn request(self, client: Object) -> (u32, usize) {
        // SAFETY: `client` is a client with an unfinished ioctl, here and below.
        let number = unsafe { (self.functions.umockdev_ioctl_client_get_request)(client) };
        // SAFETY: as above.
        let data = unsafe { (self.functions.umockdev_ioctl_client_get_arg)(client) };
        let (mut copy, mut length) = (null_mut(), 0);
        // SAFETY: the argument is an IoctlData for as long as the ioctl is unfinished; both results are written.
        unsafe { (self.functions.umockdev_ioctl_data_retrieve)(data, &raw mut copy, &raw mut length) };
        assert_eq!(length as usize, size_of::<usize>(), "an ioctl's argument is one machine word");
        // SAFETY: `copy` is that many bytes.
        let argument = unsafe { copy.cast::<usize>().read_unaligned() };
        // SAFETY: the copy was made for us, by GLib.
        unsafe { (self.functions.g_free)(copy) };
        (number as u32, argument)
    }

    /// Ends the ioctl that a client waits for: its return value, and errno.
    pub fn complete(self, client: Object, answer: c_long, errno: c_int) {
        // SAFETY: `client` is a client with an unfinished ioctl; this may be called on any thread.
        unsafe { (self.functions.umockdev_ioctl_client_complete)(client, answer, errno) }
    }

    fn connect(self, object: Object, signal: &str, handler: *const c_void, data: *mut c_void) {
        let signal = text(signal);
        // SAFETY: `object` is a GObject that has this signal; the handler has its signature and `data` is never
        // freed.
        unsafe { (self.functions.g_signal_connect_data)(object, signal.as_ptr(), handler, data, null(), 0) };
    }
}

fn expect_no_error(error: *mut GError) {
    if error.is_null() {
        return;
    }
    // SAFETY: not null, so GLib made it.
    let message = unsafe { (*error).message };
    // SAFETY: a GError's message is a string that ends with NUL.
    panic!("umockdev: {}", unsafe { CStr::from_ptr(message) }.to_string_lossy());
}
