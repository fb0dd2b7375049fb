//! What the daemon calls itself.

/// Program and version, as `hello` and `version` say it.
pub(crate) const SERVER: &str = concat!("usbscand ", env!("CARGO_PKG_VERSION"));
