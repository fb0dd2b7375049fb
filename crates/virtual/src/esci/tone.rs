//! Gamma tables and brightness: the only settings that change what lies on the glass.
//!
//! The built-in gamma curves and colour corrections, and a downloaded colour matrix, count as identity:
//! what is asked of this scanner is the page, not its idea of a monitor. Downloaded gamma tables (ESC z,
//! in force with ESC Z 03) are applied, and brightness (ESC L) adds 8 of 255 a step.

use crate::glass::Sample;

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
}

impl Tone {
    pub(super) fn new(gamma: u8, brightness: i8, downloaded: &GammaTables) -> Tone {
        let tables = if gamma == 0x03 { downloaded.clone() } else { GammaTables::identity() };
        let is_identity = tables.tables == GammaTables::identity().tables;
        if is_identity && brightness == 0 {
            return Tone { curves: None };
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
        Tone { curves: Some(Box::new([curve(red), curve(green), curve(blue)])) }
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
        assert!(Tone::new(0x03, 0, &tables).is_identity());
        // The same through the curve: brighter by one step and darker by one again.
        let tone = Tone::new(0x02, 1, &tables);
        assert!((0..=247u8).all(|v| tone.apply(1, v) == v + 8));
        assert!((0..=63_000u16).all(|v| tone.apply(1, v) == v + 2048));
        assert_eq!((tone.apply(0, 250u8), tone.apply(0, 65_000u16)), (255, 65_535));
    }

    #[test]
    fn a_table_counts_only_when_gamma_says_downloaded() {
        let mut tables = GammaTables::identity();
        tables.download(b'R', &std::array::from_fn(|i| 255 - i as u8));
        assert!(Tone::new(0x02, 0, &tables).is_identity());
        let tone = Tone::new(0x03, 0, &tables);
        assert_eq!([0, 1, 2].map(|c| tone.apply(c, 10u8)), [245, 10, 10]);
    }

    #[test]
    fn an_unknown_letter_is_refused() {
        assert!(!GammaTables::identity().download(b'C', &[0; 256]));
    }
}
