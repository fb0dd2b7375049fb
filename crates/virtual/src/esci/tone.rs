//! Gamma tables, colour matrix and brightness: the only settings that change what lies on the glass.
//!
//! The built-in gamma curves and colour corrections count as identity: what is asked of this scanner is the page,
//! not its idea of a monitor. Downloaded gamma tables (ESC z, in force with ESC Z 03 and 04) are applied, and brightness
//! (ESC L) adds 8 of 255 a step. A downloaded colour matrix (ESC m, in force with ESC M 01) is applied if the scanner is
//! told so when it is built: SANE's epson2 always sends one.

use super::settings::Settings;
use crate::glass::Sample;

/// What the host has downloaded; ESC @ leaves it alone.
#[derive(Debug, Clone)]
pub(super) struct Downloads {
    pub tables: GammaTables,
    pub matrix: [i32; 9],
    /// Whether the matrix does anything.
    pub applies_matrix: bool,
}

impl Default for Downloads {
    fn default() -> Downloads {
        let matrix = [32, 0, 0, 0, 32, 0, 0, 0, 32];
        Downloads { tables: GammaTables::identity(), matrix, applies_matrix: false }
    }
}

impl Downloads {
    /// ESC m: nine numbers with their sign in the highest bit, in 1/32, in the order GG RG BG GR RR BR GB RB BB, the first
    /// letter the output. Kept as rows for red, green and blue.
    pub(super) fn set_matrix(&mut self, bytes: &[u8; 9]) {
        let value = |at: usize| {
            let size = i32::from(bytes[at] & 0x7f);
            if bytes[at] & 0x80 == 0 { size } else { -size }
        };
        let [gg, rg, bg, gr, rr, br, gb, rb, bb] = std::array::from_fn(value);
        self.matrix = [rr, rg, rb, gr, gg, gb, br, bg, bb];
    }
}

/// Curves for red, green and blue. A scan without colour uses the green one, as such scanners scan green.
#[derive(Debug, Clone)]
pub(super) struct GammaTables {
    tables: [[u8; 256]; 3],
}

impl GammaTables {
    pub(super) fn identity() -> GammaTables {
        GammaTables { tables: [std::array::from_fn(|i| i as u8); 3] }
    }

    /// ESC z: a letter and 256 bytes. False for a letter that names nothing.
    pub(super) fn download(&mut self, letter: u8, table: &[u8; 256]) -> bool {
        match letter.to_ascii_uppercase() {
            b'M' => self.tables = [*table; 3],
            b'R' => self.tables[0] = *table,
            b'G' => self.tables[1] = *table,
            b'B' => self.tables[2] = *table,
            _ => return false,
        }
        true
    }
}

/// What is done to every sample of one scan.
#[derive(Debug, Clone)]
pub(super) struct Tone {
    /// 257 steps for each channel, the last one beyond the largest value; `None`: nothing is done.
    curves: Option<Box<[[i32; 257]; 3]>>,
    matrix: Option<[i32; 9]>,
}

impl Tone {
    /// For a scan; `in_colour`: with all three of them.
    pub(super) fn new(settings: &Settings, downloads: &Downloads, in_colour: bool) -> Tone {
        let mixes = in_colour && downloads.applies_matrix && settings.correction == 0x01;
        let matrix = mixes.then_some(downloads.matrix);
        Tone { matrix, ..Tone::of_curves(settings.gamma, settings.brightness, &downloads.tables) }
    }

    pub(super) fn has_matrix(&self) -> bool {
        self.matrix.is_some()
    }

    pub(super) fn without_matrix(&self) -> Tone {
        Tone { matrix: None, ..self.clone() }
    }

    /// The matrix on one pixel, each sum rounded to the nearest.
    pub(super) fn mix<S: Sample>(&self, pixel: [S; 3]) -> [S; 3] {
        let Some(matrix) = self.matrix else { return pixel };
        let most = if size_of::<S>() == 1 { 255 } else { 65535 };
        let value = |sample: S| if size_of::<S>() == 1 { i32::from(sample.to_8()) } else { i32::from(sample.to_16()) };
        std::array::from_fn(|row| {
            let sum: i32 = (0..3).map(|at| matrix[3 * row + at] * value(pixel[at])).sum();
            let mixed = ((sum + 16) >> 5).clamp(0, most);
            S::from_16(if most == 255 { mixed << 8 | mixed } else { mixed } as u16)
        })
    }

    fn of_curves(gamma: u8, brightness: i8, downloaded: &GammaTables) -> Tone {
        let tables = if matches!(gamma, 0x03 | 0x04) { downloaded.clone() } else { GammaTables::identity() };
        let is_identity = tables.tables == GammaTables::identity().tables;
        if is_identity && brightness == 0 {
            return Tone { curves: None, matrix: None };
        }
        let lift = i32::from(brightness) * 8 * 256;
        let curve = |table: &[u8; 256]| {
            std::array::from_fn(|i| {
                let at = |i: usize| i32::from(table[i]) * 256;
                // Beyond the end the last slope goes on, so that the identity stays one for 16 bits too.
                lift + if i < 256 { at(i) } else { 2 * at(255) - at(254) }
            })
        };
        let [red, green, blue] = &tables.tables;
        Tone { curves: Some(Box::new([curve(red), curve(green), curve(blue)])), matrix: None }
    }

    pub(super) fn is_identity(&self) -> bool {
        self.curves.is_none()
    }

    /// One sample of channel 0, 1 or 2: the table at its upper 8 bits, straight lines in between.
    pub(super) fn apply<S: Sample>(&self, channel: usize, value: S) -> S {
        let Some(curves) = &self.curves else { return value };
        let curve = &curves[channel];
        let (high, low) = (usize::from(value.to_8()), i32::from(value.to_16() as u8));
        let exact =
            if size_of::<S>() == 1 { curve[high] } else { curve[high] + (curve[high + 1] - curve[high]) * low / 256 };
        S::from_16(exact.clamp(0, 65535) as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_table_changes_no_sample() {
        let mut tables = GammaTables::identity();
        assert!(tables.download(b'm', &std::array::from_fn(|i| i as u8)));
        assert!(Tone::of_curves(0x03, 0, &tables).is_identity());
        // The same through the curve: brighter by one step and darker by one again.
        let tone = Tone::of_curves(0x02, 1, &tables);
        assert!((0..=247u8).all(|v| tone.apply(1, v) == v + 8));
        assert!((0..=63_000u16).all(|v| tone.apply(1, v) == v + 2048));
        assert_eq!((tone.apply(0, 250u8), tone.apply(0, 65_000u16)), (255, 65_535));
    }

    #[test]
    fn a_table_counts_only_when_gamma_says_downloaded() {
        let mut tables = GammaTables::identity();
        tables.download(b'R', &std::array::from_fn(|i| 255 - i as u8));
        assert!(Tone::of_curves(0x02, 0, &tables).is_identity());
        let tone = Tone::of_curves(0x03, 0, &tables);
        assert_eq!([0, 1, 2].map(|c| tone.apply(c, 10u8)), [245, 10, 10]);
    }

    #[test]
    fn a_matrix_mixes_colours_and_keeps_white() {
        let mut downloads = Downloads { applies_matrix: true, ..Downloads::default() };
        // GG RG BG GR RR BR GB RB BB: half of red comes from green, blue gives up a quarter of red.
        downloads.set_matrix(&[32, 16, 0, 0, 16, 0x88, 0, 0, 40]);
        let tone = Tone { matrix: Some(downloads.matrix), curves: None };
        assert_eq!(tone.mix([200u8, 100, 50]), [150, 100, 13]);
        assert_eq!(tone.mix([255u8; 3]), [255; 3]);
        assert_eq!(tone.mix([0u16, 0xffff, 0xffff]), [0x8000, 0xffff, 0xffff]);
    }

    #[test]
    fn an_unknown_letter_is_refused() {
        assert!(!GammaTables::identity().download(b'C', &[0; 256]));
    }
}
