//! A sheet of paper on a bed that is wider or longer than it: as a feeder draws it in.

use super::View;

const MICROMETRES_PER_INCH: u64 = 25_400;

/// The size of a sheet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paper {
    /// In micrometres.
    pub width: u32,
    /// In micrometres.
    pub height: u32,
}

impl Paper {
    /// ISO A4.
    pub const A4: Paper = Paper { width: 210_000, height: 297_000 };

    const NAMED: [(&'static str, Paper); 7] = [
        ("a3", Paper { width: 297_000, height: 420_000 }),
        ("a4", Paper::A4),
        ("a5", Paper { width: 148_000, height: 210_000 }),
        ("a6", Paper { width: 105_000, height: 148_000 }),
        ("letter", Paper { width: 215_900, height: 279_400 }),
        ("legal", Paper { width: 215_900, height: 355_600 }),
        ("card", Paper { width: 85_600, height: 53_980 }),
    ];

    /// Reads a name (`a4`, `letter`), or `WIDTHxHEIGHT` in whole millimetres.
    pub fn parse(text: &str) -> Option<Paper> {
        let named = Paper::NAMED.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
        if let Some((_, paper)) = named {
            return Some(*paper);
        }
        let (width, height) = text.split_once('x')?;
        let side = |text: &str| text.parse().ok().filter(|mm| (10..=2000).contains(mm)).map(|mm: u32| mm * 1000);
        Some(Paper { width: side(width)?, height: side(height)? })
    }
}

/// Where a feeder lays a sheet across its bed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Alignment {
    /// At the left edge, where the origin is.
    #[default]
    Left,
    /// In the middle.
    Center,
    /// At the right edge.
    Right,
}

/// A sheet as it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Laid {
    /// The sheet.
    pub paper: Paper,
    /// Where it lies across.
    pub alignment: Alignment,
    /// The width of the bed, and in how many to an inch.
    pub bed: (u32, u32),
}

/// So many micrometres in pixels, to the nearest.
fn pixels(micrometres: u32, dpi: u32) -> u32 {
    let at = (u64::from(micrometres) * u64::from(dpi) + MICROMETRES_PER_INCH / 2) / MICROMETRES_PER_INCH;
    u32::try_from(at).unwrap_or(u32::MAX)
}

impl Laid {
    /// Pixels from the bed's left edge to the sheet's, in whole pixels of the resolution: half of what is left over where it
    /// lies in the middle.
    pub fn left(&self, dpi: u32) -> u32 {
        let bed = u64::from(self.bed.0) * u64::from(dpi) / u64::from(self.bed.1.max(1));
        let over = u32::try_from(bed).unwrap_or(u32::MAX).saturating_sub(self.width(dpi));
        match self.alignment {
            Alignment::Left => 0,
            Alignment::Center => over / 2,
            Alignment::Right => over,
        }
    }

    /// The sheet's width in pixels.
    pub fn width(&self, dpi: u32) -> u32 {
        pixels(self.paper.width, dpi)
    }

    /// The sheet's height in pixels.
    pub fn height(&self, dpi: u32) -> u32 {
        pixels(self.paper.height, dpi)
    }

    /// What of the sheet a view of the bed sees, as a view of the sheet, and how many pixels of the view lie left of that.
    pub(super) fn seen(&self, view: &View) -> (View, u32) {
        let (left, width) = (self.left(view.dpi.0), self.width(view.dpi.0));
        let from = view.left.max(left);
        let to = view.left.saturating_add(view.width).min(left.saturating_add(width)).max(from);
        (View { left: from - left, width: to - from, ..*view }, from - view.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sheet_has_a_name_or_two_sides() {
        assert_eq!(Paper::parse("A4"), Some(Paper::A4));
        assert_eq!(Paper::parse("210x297"), Some(Paper::A4));
        assert_eq!([Paper::parse("b9"), Paper::parse("0x10"), Paper::parse("10x"), Paper::parse("9999x10")], [None; 4]);
    }

    #[test]
    fn a_view_of_the_bed_sees_the_part_of_the_sheet_that_is_in_it() {
        let laid = |alignment| Laid { paper: Paper::A4, alignment, bed: (1170, 100) };
        let at = |alignment: Alignment| (laid(alignment).left(300), laid(alignment).width(300));
        assert_eq!(
            [at(Alignment::Left), at(Alignment::Center), at(Alignment::Right)],
            [(0, 2480), (515, 2480), (1030, 2480)]
        );
        let view = View { dpi: (300, 300), left: 500, top: 7, width: 1000, height: 10 };
        let (seen, before) = laid(Alignment::Center).seen(&view);
        assert_eq!((seen.left, seen.width, seen.top, before), (0, 985, 7, 15));
        let beside = View { left: 3000, width: 100, ..view };
        assert_eq!(laid(Alignment::Center).seen(&beside).0.width, 0);
    }
}
