//! The inverse cosine transform of 8 by 8 coefficients (T.81, A.3.3), rows, then columns.

/// cos(k pi / 16) / 2.
const C1: f32 = 0.490_392_64;
const C2: f32 = 0.461_939_77;
const C3: f32 = 0.415_734_8;
const C4: f32 = 0.353_553_4;
const C5: f32 = 0.277_785_12;
const C6: f32 = 0.191_341_72;
const C7: f32 = 0.097_545_16;

/// Eight values of one row or column.
#[inline]
fn eight(x: [f32; 8]) -> [f32; 8] {
    let (sum, difference) = ((x[0] + x[4]) * C4, (x[0] - x[4]) * C4);
    let (slow, quick) = (x[2] * C2 + x[6] * C6, x[2] * C6 - x[6] * C2);
    let even = [sum + slow, difference + quick, difference - quick, sum - slow];
    let odd = [
        x[1] * C1 + x[3] * C3 + x[5] * C5 + x[7] * C7,
        x[1] * C3 - x[3] * C7 - x[5] * C1 - x[7] * C5,
        x[1] * C5 - x[3] * C1 + x[5] * C7 + x[7] * C3,
        x[1] * C7 - x[3] * C5 + x[5] * C3 - x[7] * C1,
    ];
    std::array::from_fn(|at| if at < 4 { even[at] + odd[at] } else { even[7 - at] - odd[7 - at] })
}

/// Coefficients to samples, 0 in the middle of their range. `is_flat`: there is no coefficient but the first.
pub(super) fn inverse(block: &mut [f32; 64], is_flat: bool) {
    if is_flat {
        let value = block[0] * (C4 * C4);
        block.fill(value);
        return;
    }
    for row in block.chunks_exact_mut(8) {
        let values = eight(std::array::from_fn(|column| row[column]));
        row.copy_from_slice(&values);
    }
    for column in 0..8 {
        let values = eight(std::array::from_fn(|row| block[8 * row + column]));
        for (row, value) in values.into_iter().enumerate() {
            block[8 * row + column] = value;
        }
    }
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
            let mut samples = block;
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
