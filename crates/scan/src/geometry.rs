//! Millimetres of the scan area and pixels of a scan.
//!
//! An edge lies on the pixel border nearest to it, so areas that touch in millimetres touch in pixels.

use std::fmt;

use serde::Serialize;

/// Millimetres of an inch.
pub const MM_PER_INCH: f64 = 25.4;

/// Dots per inch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Dpi(pub u32);

impl fmt::Display for Dpi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} dpi", self.0)
    }
}

impl Dpi {
    /// The pixel border nearest to a place.
    fn border(self, mm: f64) -> f64 {
        (mm / MM_PER_INCH * f64::from(self.0)).round()
    }
}

/// How large what is scanned may be, in millimetres.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MaxArea {
    /// Across.
    pub width: f64,
    /// Down.
    pub height: f64,
}

/// An area to scan in millimetres from its top left corner.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Area {
    /// Its left edge.
    pub left: f64,
    /// Its upper edge.
    pub top: f64,
    /// Across.
    pub width: f64,
    /// Down.
    pub height: f64,
}

/// An area in pixels of the resolution that it is scanned with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PixelArea {
    /// Pixels left of it.
    pub x: u32,
    /// Pixels above it.
    pub y: u32,
    /// Its width.
    pub width: u32,
    /// Its height.
    pub height: u32,
}

/// Why an area can't be scanned.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum AreaError {
    /// It is not within what the scanner can scan, or not wholly.
    #[error(
        "the area from {:.1}, {:.1} to {:.1}, {:.1} mm is outside the scan area, which is {:.1} x {:.1} mm",
        area.left, area.top, area.left + area.width, area.top + area.height, max_area.width, max_area.height
    )]
    OutsideMaxArea {
        /// The area.
        area: Area,
        /// What the scanner can scan.
        max_area: MaxArea,
    },
    /// Its right edge is not right of its left one, or its lower not below its upper one.
    #[error(
        "the area from {:.1}, {:.1} to {:.1}, {:.1} mm is empty",
        area.left, area.top, area.left + area.width, area.top + area.height
    )]
    Empty {
        /// The area.
        area: Area,
    },
    /// It is narrower or lower than the scanner can do.
    #[error("the area is {width} x {height} pixels at this resolution; the least is {least_width} x 1")]
    TooSmall {
        /// Its pixels across.
        width: u32,
        /// Its pixels down.
        height: u32,
        /// The scanner's least pixels across.
        least_width: u32,
    },
    /// A line has more pixels, or more bytes, than the scanner can send.
    #[error(
        "a line of {width} pixels is longer than the {most} that this scanner does; choose a narrower area or a lower resolution"
    )]
    TooWide {
        /// Pixels of a line.
        width: u32,
        /// The most.
        most: u32,
    },
}

impl Area {
    /// The area between two corners.
    pub fn between(left: f64, top: f64, right: f64, bottom: f64) -> Area {
        Area { left, top, width: right - left, height: bottom - top }
    }

    /// The pixels of this area. `most` is what the largest area has at this resolution; an edge that rounding
    /// puts one pixel behind it is moved back.
    ///
    /// # Errors
    /// [`AreaError::OutsideMaxArea`], [`AreaError::Empty`].
    pub fn pixels(&self, dpi: (Dpi, Dpi), max_area: MaxArea, most: (u32, u32)) -> Result<PixelArea, AreaError> {
        let empty = AreaError::Empty { area: *self };
        let off = AreaError::OutsideMaxArea { area: *self, max_area };
        let side = |start: f64, length: f64, dpi: Dpi, most: u32| {
            // Also for what is no number at all.
            if !(length > 0.0 && length.is_finite() && start.is_finite()) {
                return Err(empty);
            }
            let (first, last) = (dpi.border(start), dpi.border(start + length));
            if first < 0.0 || last > f64::from(most) + 1.0 {
                return Err(off);
            }
            // Both are whole numbers from 0 to u32::MAX.
            let last = (last as u32).min(most);
            let first = first as u32;
            if first < last { Ok((first, last - first)) } else { Err(empty) }
        };
        let (x, width) = side(self.left, self.width, dpi.0, most.0)?;
        let (y, height) = side(self.top, self.height, dpi.1, most.1)?;
        Ok(PixelArea { x, y, width, height })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_AREA: MaxArea = MaxArea { width: 215.9, height: 297.18 };
    const AT_300: (Dpi, Dpi) = (Dpi(300), Dpi(300));
    const MOST: (u32, u32) = (2550, 3510);

    fn pixels(left: f64, top: f64, right: f64, bottom: f64) -> Result<PixelArea, AreaError> {
        Area::between(left, top, right, bottom).pixels(AT_300, MAX_AREA, MOST)
    }

    #[test]
    fn a4_has_the_pixels_that_everyone_knows() {
        assert_eq!(pixels(0.0, 0.0, 210.0, 297.0), Ok(PixelArea { x: 0, y: 0, width: 2480, height: 3508 }));
    }

    #[test]
    fn the_whole_glass_is_on_the_glass() {
        assert_eq!(pixels(0.0, 0.0, 215.9, 297.18), Ok(PixelArea { x: 0, y: 0, width: 2550, height: 3510 }));
        assert_eq!(pixels(0.0, 0.0, 215.98, 297.18).map(|p| p.width), Ok(2550));
    }

    #[test]
    fn areas_that_touch_share_a_border() {
        let left = pixels(0.0, 0.0, 33.33, 10.0).expect("on the glass");
        let right = pixels(33.33, 0.0, 70.0, 10.0).expect("on the glass");
        assert_eq!(left.x + left.width, right.x);
    }

    #[test]
    fn what_is_off_the_glass_or_empty_is_refused_in_words() {
        let error = pixels(200.0, 0.0, 300.0, 10.0).unwrap_err().to_string();
        assert_eq!(
            error,
            "the area from 200.0, 0.0 to 300.0, 10.0 mm is outside the scan area, which is 215.9 x 297.2 mm"
        );
        assert!(matches!(pixels(-1.0, 0.0, 10.0, 10.0), Err(AreaError::OutsideMaxArea { .. })));
        assert!(matches!(pixels(10.0, 0.0, 10.0, 10.0), Err(AreaError::Empty { .. })));
        assert!(matches!(pixels(0.0, 0.0, 0.01, 10.0), Err(AreaError::Empty { .. })));
        assert!(matches!(pixels(0.0, f64::NAN, 10.0, 10.0), Err(AreaError::Empty { .. })));
        assert!(matches!(pixels(0.0, 0.0, f64::INFINITY, 10.0), Err(AreaError::Empty { .. })));
        assert!(matches!(pixels(1e300, 0.0, 1.1e300, 10.0), Err(AreaError::OutsideMaxArea { .. })));
    }
}
