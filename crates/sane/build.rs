//! Gives the shared object the name by which SANE's dll backend loads it, and keeps it loaded.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libsane-usbscan.so.1");
    // SANE's dll backend calls dlclose after sane_exit. sane_exit ends our threads, but a thread that is just leaving still
    // runs this code, and so do the destructors of thread locals in threads of the application.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
