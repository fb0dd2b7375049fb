//! Where SANE keeps its backends.

use std::path::PathBuf;

/// A variable that names more folders, with colons between them: for backends that are kept somewhere else.
const VARIABLE: &str = "USBSCAN_SANE_FOLDERS";

/// The folders, that which is looked at first being first.
pub fn all() -> Vec<PathBuf> {
    let named = std::env::var_os(VARIABLE).unwrap_or_default();
    let named = std::env::split_paths(&named).filter(|folder| folder.is_absolute());
    let multiarch = match std::env::consts::ARCH {
        "arm" => "arm-linux-gnueabihf".to_owned(),
        "x86" => "i386-linux-gnu".to_owned(),
        arch => format!("{arch}-linux-gnu"),
    };
    let usual = [
        format!("/usr/lib/{multiarch}/sane"),
        "/usr/lib64/sane".to_owned(),
        "/usr/lib/sane".to_owned(),
        "/usr/local/lib/sane".to_owned(),
    ];
    named.chain(usual.into_iter().map(PathBuf::from)).collect()
}

/// A backend's file in such a folder.
pub fn file_name(backend: &str) -> String {
    format!("libsane-{backend}.so.1")
}

/// Whether a backend may be called that: its name becomes part of a path, and of the names of functions.
pub fn is_name(backend: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    !backend.is_empty() && backend.len() <= 64 && backend.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_path() {
        assert!(is_name("artec_eplus48u") && is_name("hp3900"));
        for name in ["", "../evil", "a/b", "a.b", "a b"] {
            assert!(!is_name(name), "{name}");
        }
    }
}
