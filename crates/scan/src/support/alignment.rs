//! Where a sheet lies on the way through a document feeder: a scanner counts from the edge of what its feeder can scan at
//! most, a person from the edge of the sheet. Values only.

use crate::MaxArea;

/// The side on which a feeder's guides hold the sheet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alignment {
    /// At the edge from which the scanner counts; also where everything lies on the flatbed.
    Left,
    Center,
    Right,
}

impl Alignment {
    /// Millimetres from the edge from which the scanner counts to the left edge of a sheet of this width.
    pub(crate) fn offset(self, max_area: MaxArea, sheet_width: f64) -> f64 {
        let free = (max_area.width - sheet_width).max(0.0);
        match self {
            Alignment::Left => 0.0,
            Alignment::Center => free / 2.0,
            Alignment::Right => free,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sheet_lies_where_its_guides_hold_it() {
        let max_area = MaxArea { width: 297.18, height: 431.8 };
        let offsets = [Alignment::Left, Alignment::Center, Alignment::Right].map(|side| side.offset(max_area, 210.0));
        assert!(offsets.iter().zip([0.0, 43.59, 87.18]).all(|(got, expected)| (got - expected).abs() < 0.001));
        assert_eq!(Alignment::Right.offset(max_area, 300.0), 0.0, "a sheet as wide as the feeder, and a hair");
    }
}
