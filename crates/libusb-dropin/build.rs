//! Gives the shared object libusb's SONAME: the loader takes it for libusb wherever a program asks for that.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libusb-1.0.so.0");
    // A program that unloads libusb may have threads that still leave this code, and destructors of thread locals to run.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
