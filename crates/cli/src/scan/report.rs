//! Reports completed pages and files on standard output, unless the pages themselves go there.

use std::path::Path;

use serde_json::json;

use super::super::context::Context;
use super::super::failure::Failure;
use super::files::Written;

pub struct Reporter<'a> {
    pub context: &'a Context<'a>,
    pub device: &'a str,
    /// Whether there may be several pages: then `--json` prints one object per line (JSON Lines).
    pub many: bool,
}

impl Reporter<'_> {
    /// Reports a page.
    ///
    /// # Errors
    /// [`Failure::Stdout`].
    pub fn page(&self, page: &Written) -> Result<(), Failure> {
        if !page.complete && !self.many {
            // The report of its file follows.
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
        let text = if page.complete { describe(page) } else { String::new() };
        self.print(&value, &text)
    }

    /// Reports the file with all pages.
    ///
    /// # Errors
    /// [`Failure::Stdout`].
    pub fn file(&self, file: &Written) -> Result<(), Failure> {
        let value = match self.many {
            false => file.json(self.device),
            true => {
                json!({ "device": self.device, "file": file.file.as_deref().map(Path::to_string_lossy), "pages": file.pages, "bytes": file.bytes })
            }
        };
        if file.file.is_none() {
            log::info!("{value}");
            return Ok(());
        }
        self.print(&value, &describe(file))
    }

    fn print(&self, value: &serde_json::Value, text: &str) -> Result<(), Failure> {
        if self.many && self.context.json() {
            return self.context.print_line(value);
        }
        self.context.print(value, |out| out.write_all(text.as_bytes()))
    }
}

fn describe(written: &Written) -> String {
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
    fn sizes_have_three_or_four_digits() {
        assert_eq!([9_999, 10_000, 12_345_678].map(size), ["9999 bytes", "10 kB", "12.3 MB"]);
    }
}
