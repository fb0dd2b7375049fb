//! A page in a PNM file, as scanimage and usbscan both write it.

use std::path::Path;

/// What a PNM file says.
#[derive(PartialEq, Eq)]
pub struct Pnm {
    /// `P4`, `P5` or `P6`.
    pub kind: String,
    /// Pixels across and down.
    pub size: (usize, usize),
    /// 1, 255 or 65535.
    pub most: usize,
    /// The samples, as the format has them.
    pub samples: Vec<u8>,
}

impl Pnm {
    /// Reads a file.
    pub fn read(path: &Path) -> Pnm {
        let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Pnm::parse(&bytes)
    }

    /// Understands the bytes of a file.
    pub fn parse(bytes: &[u8]) -> Pnm {
        let mut rest = bytes;
        let kind = word(&mut rest);
        let mut number = || word(&mut rest).parse::<usize>().expect("a number in the header");
        let size = (number(), number());
        let most = if kind == "P4" { 1 } else { number() };
        Pnm { kind, size, most, samples: rest.to_vec() }
    }

    /// Leaves this many pixels of each line; eight bits a sample.
    pub fn cut_right(&mut self, width: usize) {
        assert_eq!(self.most, 255, "bytes");
        let bytes = self.samples.len() / self.size.1;
        let kept = bytes / self.size.0 * width;
        self.samples = self.samples.chunks_exact(bytes).flat_map(|line| &line[..kept]).copied().collect();
        self.size.0 = width;
    }

    /// Fails where the pictures differ, and says where first.
    pub fn assert_equals(&self, other: &Pnm, what: &str) {
        let shape = |page: &Pnm| (page.kind.clone(), page.size, page.most, page.samples.len());
        assert_eq!(shape(self), shape(other), "{what}");
        let first = self.samples.iter().zip(&other.samples).position(|(one, two)| one != two);
        assert_eq!(first, None, "{what}: the first byte of {:?} that differs", shape(self));
    }
}

/// The next word of a header; comments are passed over. One white byte ends it.
fn word(rest: &mut &[u8]) -> String {
    loop {
        let skipped = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        *rest = &rest[skipped..];
        if !rest.starts_with(b"#") {
            break;
        }
        let comment = rest.iter().take_while(|byte| **byte != b'\n').count();
        *rest = &rest[comment..];
    }
    let length = rest.iter().take_while(|byte| !byte.is_ascii_whitespace()).count();
    let word = String::from_utf8(rest[..length].to_vec()).expect("a header is ASCII");
    *rest = &rest[length + 1..];
    word
}
