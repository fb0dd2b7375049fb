//! Pages that SANE's own epson2 backend and ours scan of the same scanner, and that have to be equal.

use std::process::Command;

use crate::picture::Pnm;
use crate::program::Program;

/// Left, top, width, height in mm. At all resolutions below all are whole pixels, and widths multiples of 8, as epson2 makes them.
pub const LARGE: [f64; 4] = [25.4, 25.4, 81.28, 50.8];
pub const SMALL: [f64; 4] = [10.16, 5.08, 40.64, 30.48];
pub const TINY: [f64; 4] = [30.48, 60.96, 10.16, 5.08];
/// All there is: 637 pixels at 75 dpi, of which epson2 scans 632.
pub const GLASS: [f64; 4] = [0.0, 0.0, 215.9, 297.18];

/// What is scanned of what, in each mode and depth.
const AREAS: [(&str, [f64; 4]); 6] =
    [("75", LARGE), ("300", LARGE), ("100", SMALL), ("150", SMALL), ("600", TINY), ("1200", TINY)];

/// Where the lower edge lies a hair before a pixel's border, as it may in SANE's fixed point, epson2 cuts it to whole millimetres:
/// of the 240 lines of `TINY` at 1200 dpi it scans 238. So it gets a hair more: some hundred steps of SANE's fixed point, and no
/// half of a pixel (0.0106 mm at 1200 dpi).
pub const HAIR: f64 = 0.005;

/// One scan.
pub struct Page {
    pub mode: &'static str,
    pub depth: Option<&'static str>,
    pub dpi: &'static str,
    pub area: [f64; 4],
    /// Options that both backends have, by the same name.
    pub more: &'static [&'static str],
}

impl Page {
    /// scanimage's arguments, with sides that are longer by `longer`, as far as there is glass.
    pub fn arguments(&self, longer: f64) -> Vec<String> {
        let [left, top, width, height] = self.area;
        let longer = if self.area == GLASS { 0.0 } else { longer };
        let mut all = vec!["--format=pnm".to_owned(), format!("--mode={}", self.mode)];
        all.extend(self.depth.map(|depth| format!("--depth={depth}")));
        all.push(format!("--resolution={}", self.dpi));
        for (side, length) in [("-l", left), ("-t", top), ("-x", width + longer), ("-y", height + longer)] {
            all.extend([side.to_owned(), length.to_string()]);
        }
        all.extend(self.more.iter().map(|option| (*option).to_owned()));
        all
    }
}

/// What is compared, in each of these depths; `None` leaves the choice to the scanner.
pub fn table(depths: &[Option<&'static str>]) -> Vec<Page> {
    let mut pages = Vec::new();
    for (dpi, area) in AREAS {
        pages.push(Page { mode: "Lineart", depth: None, dpi, area, more: &[] });
        for mode in ["Color", "Gray"] {
            pages.extend(depths.iter().map(|depth| Page { mode, depth: *depth, dpi, area, more: &[] }));
        }
    }
    let page = |mode, area, more| Page { mode, depth: None, dpi: "75", area, more };
    pages.push(page("Color", GLASS, &[]));
    pages.push(page("Gray", LARGE, &["--brightness=2"]));
    pages.push(page("Color", LARGE, &["--brightness=-3"]));
    pages
}

/// What scanimage makes of these arguments.
pub fn picture(mut command: Command, arguments: &[String]) -> Pnm {
    let page = tempfile::NamedTempFile::new().expect("a file");
    let ended = Program::start(command.args(arguments).arg("-o").arg(page.path())).end();
    assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.stderr);
    Pnm::read(page.path())
}
