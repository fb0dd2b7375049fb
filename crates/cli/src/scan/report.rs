//! What is said of pages and files that are done: on standard output, unless they went there themselves.

use serde_json::json;

use super::super::context::Context;
use super::super::failure::Failure;
use super::files::Written;

/// Tells of pages and files.
pub struct Reporter<'a> {
    pub context: &'a Context<'a>,
    /// The scanner's name.
    pub device: &'a str,
    /// Whether there may be more than one page: then programs get an object a line, when it is done.
    pub many: bool,
}

impl Reporter<'_> {
    /// Of a page.
    ///
    /// # Errors
    /// [`Failure::Stdout`].
    pub fn page(&self, page: &Written) -> Result<(), Failure> {
        if !page.whole && !self.many {
            // Its file follows at once.
            return Ok(());
        }
        let mut value = page.json(self.device);
        if self.many {
            value["page"] = page.pages.into();
        }
        if page.file.is_none() {
            log::info!("{value}");
            return Ok(());
        }
        let text = if page.whole { in_words(page) } else { String::new() };
        self.say(&value, &text)
    }

    /// Of the file that all pages went to.
    ///
    /// # Errors
    /// [`Failure::Stdout`].
    pub fn file(&self, file: &Written) -> Result<(), Failure> {
        let value = match self.many {
            false => file.json(self.device),
            true => {
                json!({ "device": self.device, "file": file.file, "pages": file.pages, "bytes": file.bytes })
            }
        };
        if file.file.is_none() {
            log::info!("{value}");
            return Ok(());
        }
        self.say(&value, &in_words(file))
    }

    fn say(&self, value: &serde_json::Value, text: &str) -> Result<(), Failure> {
        if self.many && self.context.json() {
            return self.context.print_line(value);
        }
        self.context.print(value, |out| out.write_all(text.as_bytes()))
    }
}

/// A line on a page, or on the file of several.
fn in_words(written: &Written) -> String {
    let name = written.file.as_deref().unwrap_or("standard output".as_ref()).display();
    let (width, height, dpi) = (written.page.width, written.height, written.page.dpi.0);
    let what = match written.pages_in_file {
        1 => format!("{width} x {height} pixels"),
        pages => format!("{pages} pages"),
    };
    let size = written.bytes.map(|bytes| format!(", {}", size(bytes))).unwrap_or_default();
    format!("{name}: {what}, {dpi}{size}\n")
}

fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} bytes"),
        10_000..10_000_000 => format!("{} kB", bytes / 1000),
        _ => format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_short() {
        assert_eq!([9_999, 10_000, 12_345_678].map(size), ["9999 bytes", "10 kB", "12.3 MB"]);
    }
}
