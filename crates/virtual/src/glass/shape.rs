//! What the test chart is made of: shapes with exact edges, each with a paint, in micrometres.

use super::sample::Sample;

/// A colour of 16 bits a channel.
pub(super) type Colour = [u16; 3];

/// A distance in micrometres from the glass's left or upper edge.
pub(super) type Um = u32;

/// An outline. Edges are half-open: the left and upper ones belong to it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Outline {
    Rect {
        left: Um,
        top: Um,
        right: Um,
        bottom: Um,
    },
    Disc {
        centre: (Um, Um),
        radius: Um,
    },
    /// A stroke from the upper to the lower end, `width` across.
    Slant {
        upper: (Um, Um),
        lower: (Um, Um),
        width: Um,
    },
}

impl Outline {
    /// The rows it lies in.
    pub(super) fn rows(&self) -> (Um, Um) {
        match *self {
            Outline::Rect { top, bottom, .. } => (top, bottom),
            Outline::Disc { centre, radius } => (centre.1.saturating_sub(radius), centre.1 + radius),
            Outline::Slant { upper, lower, .. } => (upper.1, lower.1),
        }
    }

    /// The columns that it covers in the row at `y`, which is one of its rows.
    pub(super) fn columns(&self, y: Um) -> (Um, Um) {
        match *self {
            Outline::Rect { left, right, .. } => (left, right),
            Outline::Disc { centre, radius } => {
                let (r, dy) = (u64::from(radius), u64::from(y.abs_diff(centre.1)));
                let half = (r * r).saturating_sub(dy * dy).isqrt() as Um;
                (centre.0.saturating_sub(half), centre.0 + half)
            }
            Outline::Slant { upper, lower, width } => {
                let (run, rise) = (i64::from(lower.0) - i64::from(upper.0), i64::from(lower.1 - upper.1).max(1));
                let x = i64::from(upper.0) + run * i64::from(y - upper.1) / rise;
                let left = u32::try_from(x).unwrap_or(0);
                (left, left + width)
            }
        }
    }

    fn is_upright(&self) -> bool {
        matches!(self, Outline::Rect { .. })
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Paint {
    Solid(Colour),
    Across(Colour, Colour),
    Down(Colour, Colour),
    /// Black and white lines across the row, each `width` wide.
    Bars {
        width: Um,
    },
    /// Black and white lines below each other.
    Stripes {
        width: Um,
    },
    Checks {
        width: Um,
    },
}

/// A shape of the chart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub outline: Outline,
    pub paint: Paint,
}

impl Shape {
    /// Whether it looks the same in all of its rows.
    pub(super) fn is_same_in_every_row(&self) -> bool {
        let paint = matches!(self.paint, Paint::Solid(_) | Paint::Across(..) | Paint::Bars { .. });
        paint && self.outline.is_upright()
    }

    /// Paints the pixels `first..` of the row at `y`; `centre(i)` is where pixel i is.
    pub(super) fn paint<S: Sample>(&self, y: Um, pixels: &mut [[S; 3]], centre: impl Fn(usize) -> Um) {
        let (left, right) = self.outline.columns(y);
        let (top, bottom) = self.outline.rows();
        let solid = |colour: Colour| colour.map(S::from_16);
        let black_or_white = |odd: bool| if odd { [S::WHITE; 3] } else { solid([0; 3]) };
        match self.paint {
            Paint::Solid(colour) => pixels.fill(solid(colour)),
            Paint::Down(from, to) => pixels.fill(solid(between(from, to, y - top, bottom - top))),
            Paint::Across(from, to) => {
                for (i, pixel) in pixels.iter_mut().enumerate() {
                    *pixel = solid(between(from, to, centre(i).saturating_sub(left), right - left));
                }
            }
            Paint::Stripes { width } => pixels.fill(black_or_white((y - top) / width % 2 == 1)),
            Paint::Bars { width } => {
                for (i, pixel) in pixels.iter_mut().enumerate() {
                    *pixel = black_or_white(centre(i).saturating_sub(left) / width % 2 == 1);
                }
            }
            Paint::Checks { width } => {
                let row = (y - top) / width;
                for (i, pixel) in pixels.iter_mut().enumerate() {
                    *pixel = black_or_white((centre(i).saturating_sub(left) / width + row) % 2 == 1);
                }
            }
        }
    }
}

/// The colour at `part` of `whole` on the way between two.
fn between(from: Colour, to: Colour, part: Um, whole: Um) -> Colour {
    let (part, whole) = (i64::from(part.min(whole)), i64::from(whole.max(1)));
    let mix = |channel: usize| {
        let (a, b) = (i64::from(from[channel]), i64::from(to[channel]));
        (a + (b - a) * part / whole) as u16
    };
    [mix(0), mix(1), mix(2)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disc_is_widest_in_its_middle() {
        let disc = Outline::Disc { centre: (5000, 5000), radius: 3000 };
        assert_eq!(disc.rows(), (2000, 8000));
        assert_eq!(disc.columns(5000), (2000, 8000));
        assert_eq!(disc.columns(2000), (5000, 5000));
    }

    #[test]
    fn a_slant_moves_with_its_rows() {
        let slant = Outline::Slant { upper: (100, 0), lower: (0, 100), width: 10 };
        assert_eq!(slant.columns(0), (100, 110));
        assert_eq!(slant.columns(50), (50, 60));
    }

    #[test]
    fn a_blend_begins_and_ends_at_its_colours() {
        assert_eq!(between([0; 3], [65535, 100, 0], 0, 10), [0; 3]);
        assert_eq!(between([0; 3], [65535, 100, 0], 10, 10), [65535, 100, 0]);
        assert_eq!(between([10; 3], [0; 3], 5, 10), [5; 3]);
    }
}
