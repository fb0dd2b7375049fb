//! The inverse cosine transform of 8 by 8 coefficients (T.81, A.3.3), rows, then columns. Rows are turned into columns for that, so that
//! several values lie beside each other.

/// cos(k pi / 16) / 2.
const C1: f32 = 0.490_392_64;
const C2: f32 = 0.461_939_77;
const C3: f32 = 0.415_734_8;
const C4: f32 = 0.353_553_4;
const C5: f32 = 0.277_785_12;
const C6: f32 = 0.191_341_72;
const C7: f32 = 0.097_545_16;

/// As many columns as are transformed at once: the compiler makes vectors of them.
const LANES: usize = 4;
type Lanes = [f32; LANES];

#[inline(always)]
fn times([a, b, c, d]: Lanes, factor: f32) -> Lanes {
    [a * factor, b * factor, c * factor, d * factor]
}

#[inline(always)]
fn plus([a, b, c, d]: Lanes, [e, f, g, h]: Lanes) -> Lanes {
    [a + e, b + f, c + g, d + h]
}

#[inline(always)]
fn minus([a, b, c, d]: Lanes, [e, f, g, h]: Lanes) -> Lanes {
    [a - e, b - f, c - g, d - h]
}

/// Eight values of some columns.
#[inline(always)]
fn eight(x: [Lanes; 8]) -> [Lanes; 8] {
    let (sum, difference) = (times(plus(x[0], x[4]), C4), times(minus(x[0], x[4]), C4));
    let (slow, quick) = (plus(times(x[2], C2), times(x[6], C6)), minus(times(x[2], C6), times(x[6], C2)));
    let even = [plus(sum, slow), plus(difference, quick), minus(difference, quick), minus(sum, slow)];
    let [x1, x3, x5, x7] = [x[1], x[3], x[5], x[7]];
    let odd = [
        plus(plus(times(x1, C1), times(x3, C3)), plus(times(x5, C5), times(x7, C7))),
        minus(minus(times(x1, C3), times(x3, C7)), plus(times(x5, C1), times(x7, C5))),
        plus(minus(times(x1, C5), times(x3, C1)), plus(times(x5, C7), times(x7, C3))),
        plus(minus(times(x1, C7), times(x3, C5)), minus(times(x5, C3), times(x7, C1))),
    ];
    [
        plus(even[0], odd[0]),
        plus(even[1], odd[1]),
        plus(even[2], odd[2]),
        plus(even[3], odd[3]),
        minus(even[3], odd[3]),
        minus(even[2], odd[2]),
        minus(even[1], odd[1]),
        minus(even[0], odd[0]),
    ]
}

/// All columns.
#[inline(always)]
fn columns(block: &mut [f32; 64]) {
    for first in [0, LANES] {
        let lanes = |row: usize| {
            let at = 8 * row + first;
            [block[at], block[at + 1], block[at + 2], block[at + 3]]
        };
        let values = eight([lanes(0), lanes(1), lanes(2), lanes(3), lanes(4), lanes(5), lanes(6), lanes(7)]);
        for (row, lanes) in values.into_iter().enumerate() {
            block[8 * row + first..8 * row + first + LANES].copy_from_slice(&lanes);
        }
    }
}

/// Coefficients, rows as columns, to samples as they lie, 0 in the middle of their range. `is_flat`: there is no coefficient but the
/// first.
pub(super) fn inverse(block: &mut [f32; 64], is_flat: bool) {
    if is_flat {
        let value = block[0] * (C4 * C4);
        block.fill(value);
        return;
    }
    columns(block);
    let mut turned = [0.0; 64];
    for row in 0..8 {
        for column in 0..8 {
            turned[8 * column + row] = block[8 * row + column];
        }
    }
    columns(&mut turned);
    *block = turned;
}

#[cfg(test)]
mod tests {
    use std::f64::consts::PI;

    use super::*;

    /// As the standard writes it down.
    fn by_the_book(block: &[f32; 64]) -> Vec<f64> {
        let scale = |k: usize| if k == 0 { 0.5f64.sqrt() } else { 1.0 };
        let wave = |at: usize, k: usize| ((2 * at + 1) as f64 * k as f64 * PI / 16.0).cos() * scale(k);
        let sample = |y: usize, x: usize| {
            (0..64).map(|at| f64::from(block[at]) * wave(y, at / 8) * wave(x, at % 8)).sum::<f64>() / 4.0
        };
        (0..64).map(|at| sample(at / 8, at % 8)).collect()
    }

    #[test]
    fn it_is_the_transform_of_the_standard() {
        let mut seed = 1u32;
        for _ in 0..50 {
            let block: [f32; 64] = std::array::from_fn(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                ((seed >> 16) as i32 % 1024 - 512) as f32
            });
            let mut samples = std::array::from_fn(|at| block[at % 8 * 8 + at / 8]);
            inverse(&mut samples, false);
            let book = by_the_book(&block);
            assert!(samples.iter().zip(book).all(|(sample, book)| (f64::from(*sample) - book).abs() < 0.01));
        }
    }

    #[test]
    fn a_flat_block_is_what_the_whole_transform_makes_of_it() {
        let mut flat = [0.0; 64];
        flat[0] = 800.0;
        let mut whole = flat;
        inverse(&mut flat, true);
        inverse(&mut whole, false);
        assert!(flat.iter().zip(whole).all(|(one, other)| (one - other).abs() < 0.001));
    }
}
