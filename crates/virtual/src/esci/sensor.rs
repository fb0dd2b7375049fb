//! The sensor over the page: rows of the glass as it sees them. Where its three colours lie some lines apart, as at the D
//! levels, every row that goes to the host has red from further down and blue from further up (docs/esc-i.md, "Curves
//! and colours").

use std::collections::VecDeque;

use crate::glass::{Glass, GlassError, Rows, Sample, View};

/// Rows as the sensor sees them.
#[derive(Debug)]
pub(super) struct Sensor<S> {
    rows: Rows<S>,
    /// Lines from green to red, and to blue.
    distance: u32,
    /// Where the area begins, and where the rows do.
    top: u32,
    first: u32,
    /// The rows from `distance` above the one asked for last to `distance` below it.
    held: VecDeque<Vec<[S; 3]>>,
    /// How many rows were looked at, the first `distance` above the area.
    looked: u32,
    mixed: Vec<[S; 3]>,
}

impl<S: Sample> Sensor<S> {
    pub(super) fn new(glass: &Glass, view: View, distance: u32) -> Result<Sensor<S>, GlassError> {
        let first = view.top.saturating_sub(distance);
        let height = view.height + distance + (view.top - first);
        let rows = glass.rows(View { top: first, height, ..view })?;
        let mixed = vec![[S::from_16(0); 3]; view.width as usize];
        Ok(Sensor { rows, distance, top: view.top, first, held: VecDeque::new(), looked: 0, mixed })
    }

    /// Row `y` of the area; best from top to bottom.
    pub(super) fn row(&mut self, y: u32) -> &[[S; 3]] {
        let distance = self.distance;
        if distance == 0 {
            return self.rows.row(y);
        }
        if y + 2 * distance + 1 < self.looked {
            self.held.clear();
            self.looked = 0;
        }
        while self.looked <= y + 2 * distance {
            let row = match (self.top + self.looked).checked_sub(distance) {
                Some(at) => self.rows.row(at - self.first).to_vec(),
                // Above the glass it is dark.
                None => vec![[S::from_16(0); 3]; self.mixed.len()],
            };
            self.looked += 1;
            self.held.push_back(row);
            if self.held.len() > 2 * distance as usize + 1 {
                self.held.pop_front();
            }
        }
        let [blue, green, red] = [0, 1, 2].map(|at| &self.held[at * distance as usize]);
        for (x, pixel) in self.mixed.iter_mut().enumerate() {
            *pixel = [red[x][0], green[x][1], blue[x][2]];
        }
        &self.mixed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_come_from_rows_apart_and_from_the_dark_above_the_glass() {
        let view = View { dpi: (50, 50), left: 0, top: 3, width: 425, height: 60 };
        let mut plain = Sensor::<u8>::new(&Glass::chart(), View { top: 0, height: 80, ..view }, 0).expect("rows");
        let mut apart = Sensor::<u8>::new(&Glass::chart(), view, 5).expect("rows");
        let mut at = |y: i64, channel: usize| {
            if y < 0 { vec![0; 425] } else { plain.row(y as u32).iter().map(|p| p[channel]).collect::<Vec<u8>>() }
        };
        for y in [0, 1, 2, 10, 59, 0, 4] {
            let expected = [at(y + 3 + 5, 0), at(y + 3, 1), at(y + 3 - 5, 2)];
            let got = apart.row(y as u32);
            for channel in 0..3 {
                assert!(got.iter().zip(&expected[channel]).all(|(pixel, v)| pixel[channel] == *v), "{y} {channel}");
            }
        }
    }
}
