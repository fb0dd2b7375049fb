//! Huffman codes (T.81, annex C and F): symbols of a table, and with them the 64 coefficients of a block.

use super::bits::Bits;
use super::{ByteSource, JpegError};

/// Codes of up to so many bits are found in one step, and so are coefficients whose code and number have no more together.
const QUICK: u32 = 10;

/// What the next bits of a block's coefficients say.
#[derive(Debug, Clone, Copy, Default)]
struct Coefficient {
    /// Bits of code and number; 0: they have more than can be looked up.
    bits: u8,
    /// Places to go forward before it; all of them, if no more follow.
    run: u8,
    /// 0: only places.
    value: i16,
}

#[derive(Debug, Clone)]
pub(super) struct HuffmanTable {
    /// For the next bits: the length of the code they begin with, and its symbol; length 0: it is longer.
    quick: Box<[(u8, u8); 1 << QUICK]>,
    coefficients: Box<[Coefficient; 1 << QUICK]>,
    /// For each length from 1: the first code behind the last of it, shifted to 16 bits.
    ends: [u32; 16],
    /// For each length: what to add to a code to get its symbol's place.
    offsets: [i32; 16],
    symbols: Vec<u8>,
}

impl HuffmanTable {
    /// From how many codes there are of each length, and their symbols in order.
    pub(super) fn new(counts: &[u8; 16], symbols: Vec<u8>) -> Result<HuffmanTable, JpegError> {
        let mut quick = Box::new([(0, 0); 1 << QUICK]);
        let (mut ends, mut offsets) = ([0; 16], [0; 16]);
        let (mut code, mut place) = (0u32, 0usize);
        for (at, count) in counts.iter().enumerate() {
            let length = at as u32 + 1;
            offsets[at] = place as i32 - code as i32;
            for _ in 0..*count {
                let symbol = *symbols.get(place).ok_or(JpegError::Damaged("a Huffman table is too short"))?;
                if code >> length != 0 {
                    return Err(JpegError::Damaged("a Huffman table has too many codes"));
                }
                if length <= QUICK {
                    let first = (code << (QUICK - length)) as usize;
                    quick[first..first + (1 << (QUICK - length))].fill((length as u8, symbol));
                }
                code += 1;
                place += 1;
            }
            ends[at] = code << (16 - length);
            code <<= 1;
        }
        let mut coefficients = Box::new([Coefficient::default(); 1 << QUICK]);
        for (bits, (coefficient, (length, symbol))) in coefficients.iter_mut().zip(*quick).enumerate() {
            *coefficient = quick_coefficient(bits as u32, u32::from(length), symbol);
        }
        Ok(HuffmanTable { quick, coefficients, ends, offsets, symbols })
    }

    /// The next symbol; as many bits are ready as its code may have.
    #[inline]
    fn symbol(&self, bits: &mut Bits) -> Result<u8, JpegError> {
        let (length, symbol) = self.quick[bits.peek(QUICK) as usize];
        if length > 0 {
            bits.take(u32::from(length))?;
            return Ok(symbol);
        }
        let next = bits.peek(16);
        let at =
            self.ends.iter().position(|end| next < *end).ok_or(JpegError::Damaged("a code that is in no table"))?;
        let length = at as u32 + 1;
        bits.take(length)?;
        let place = self.offsets[at] + (next >> (16 - length)) as i32;
        let symbol = usize::try_from(place).ok().and_then(|place| self.symbols.get(place));
        symbol.copied().ok_or(JpegError::Damaged("a code that is in no table"))
    }

    /// The next coefficient of a block behind the first.
    #[inline]
    fn coefficient<S: ByteSource + ?Sized>(&self, bits: &mut Bits, source: &mut S) -> Result<Coefficient, S::Error> {
        bits.prepare(source)?;
        let coefficient = self.coefficients[bits.peek(QUICK) as usize];
        if coefficient.bits > 0 {
            bits.take(u32::from(coefficient.bits))?;
            return Ok(coefficient);
        }
        let symbol = self.symbol(bits)?;
        let value = number(bits, size_of(symbol))?;
        Ok(Coefficient { bits: 0, run: run_of(symbol), value: value as i16 })
    }
}

/// Places in front of a coefficient (T.81, F.2.2.2). Without one: 16, or all that are left.
#[inline]
fn run_of(symbol: u8) -> u8 {
    match symbol {
        0xf0 => 16,
        _ if size_of(symbol) == 0 => 64,
        _ => symbol >> 4,
    }
}

/// Bits of a coefficient's number.
#[inline]
fn size_of(symbol: u8) -> u32 {
    u32::from(symbol & 0x0f)
}

/// What `QUICK` bits say, of which the first `length` are the code of `symbol`.
fn quick_coefficient(bits: u32, length: u32, symbol: u8) -> Coefficient {
    let (size, run) = (size_of(symbol), run_of(symbol));
    let all = length + size;
    if length == 0 || all > QUICK {
        return Coefficient::default();
    }
    let value = extended(bits >> (QUICK - all) & ((1 << size) - 1), size);
    Coefficient { bits: all as u8, run, value: value as i16 }
}

/// A number of `size` bits, at most 15, below 0 if its highest bit is 0 (T.81, F.2.2.1).
#[inline]
fn extended(value: u32, size: u32) -> i32 {
    let value = value as i32;
    if size == 0 || value >> (size - 1) != 0 { value } else { value - (1 << size) + 1 }
}

/// The next such number; its bits are ready.
#[inline]
fn number(bits: &mut Bits, size: u32) -> Result<i32, JpegError> {
    let value = extended(bits.peek(size), size);
    bits.take(size)?;
    Ok(value)
}

/// Where in a block its coefficients belong, in the order in which they come.
const PLACES: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

/// The same in a block whose rows are columns, as [`super::transform`] takes it.
const TURNED: [u8; 64] = {
    let (mut turned, mut at) = ([0; 64], 0);
    while at < 64 {
        turned[at] = PLACES[at] % 8 * 8 + PLACES[at] / 8;
        at += 1;
    }
    turned
};

/// The coefficients of one block, multiplied out, its rows as columns. Whether there is none but the first.
#[inline]
pub(super) fn block<S: ByteSource + ?Sized>(
    bits: &mut Bits,
    source: &mut S,
    (dc, ac): (&HuffmanTable, &HuffmanTable),
    quantization: &[f32; 64],
    last: &mut i32,
    block: &mut [f32; 64],
) -> Result<bool, S::Error> {
    *block = [0.0; 64];
    bits.prepare(source)?;
    let size = u32::from(dc.symbol(bits)?);
    if size > 11 {
        return Err(JpegError::Damaged("a first coefficient that is too large").into());
    }
    // Whatever adds up in a damaged image, it stays a number.
    *last = last.saturating_add(number(bits, size)?);
    block[0] = *last as f32 * quantization[0];
    let (mut at, mut is_flat) = (1, true);
    while at < 64 {
        let Coefficient { run, value, .. } = ac.coefficient(bits, source)?;
        at += usize::from(run);
        if value == 0 {
            continue;
        }
        let (Some(place), Some(step)) = (TURNED.get(at), quantization.get(at)) else {
            return Err(JpegError::Damaged("a block has too many coefficients").into());
        };
        block[usize::from(place & 63)] = f32::from(value) * step;
        is_flat = false;
        at += 1;
    }
    Ok(is_flat)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::unusual_byte_groupings, reason = "code, number, what follows")]
    fn a_coefficient_that_is_looked_up_is_the_one_of_its_code_and_number() {
        // A code of two bits for 16 places and a number of three bits; one for the end; one for 16 places.
        let table = HuffmanTable::new(&[0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], vec![0x23, 0x00, 0xf0])
            .expect("a table");
        let looked_up = |bits: usize| {
            let Coefficient { bits, run, value } = table.coefficients[bits];
            (bits, run, value)
        };
        assert_eq!(looked_up(0b00_101_00000), (5, 2, 5));
        assert_eq!(looked_up(0b00_010_11111), (5, 2, -5));
        assert_eq!(looked_up(0b01_000_00000), (2, 64, 0));
        assert_eq!(looked_up(0b10_111_00000), (2, 16, 0));
        assert_eq!(looked_up(0b11_000_00000), (0, 0, 0), "no code");
    }
}
