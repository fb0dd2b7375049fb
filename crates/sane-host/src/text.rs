//! A backend's strings as text.

use std::ffi::{CStr, c_char};

use usbscan_sane_protocol::TEXT_LIMIT;

/// A C string as text, its beginning if it is long. Null is empty.
pub fn text(of: *const c_char) -> String {
    if of.is_null() {
        return String::new();
    }
    // SAFETY: what a backend gives as a string ends with NUL, and is copied at once.
    let bytes = unsafe { CStr::from_ptr(of) }.to_bytes();
    decoded(bytes)
}

/// UTF-8, or else Latin-1.
pub fn decoded(bytes: &[u8]) -> String {
    let bytes = &bytes[..bytes.len().min(TEXT_LIMIT)];
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        // Cut in the middle of a character.
        Err(error) if error.error_len().is_none() => {
            String::from_utf8_lossy(&bytes[..error.valid_up_to()]).into_owned()
        }
        Err(_) => bytes.iter().copied().map(char::from).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_utf_8_or_else_latin_1_and_has_an_end() {
        assert_eq!(decoded("Größe".as_bytes()), "Größe");
        assert_eq!(decoded(b"Gr\xf6\xdfe"), "Größe");
        let long = "ä".repeat(TEXT_LIMIT);
        assert_eq!(decoded(long.as_bytes()).len(), TEXT_LIMIT);
        assert_eq!(decoded(format!("a{long}").as_bytes()).len(), TEXT_LIMIT - 1);
        assert_eq!(text(std::ptr::null()), "");
    }
}
