//! Huffman codes (T.81, annex C and F): symbols of a table, and with them the 64 coefficients of a block.

use super::bits::Bits;
use super::{JpegError, Source};

/// Codes of up to so many bits are found in one step.
const QUICK: u32 = 9;

#[derive(Debug, Clone)]
pub(super) struct Table {
    /// For the next bits: the length of the code they begin with, and its symbol; length 0: it is longer.
    quick: Box<[(u8, u8); 1 << QUICK]>,
    /// For each length from 1: the first code behind the last of it, shifted to 16 bits.
    ends: [u32; 16],
    /// For each length: what to add to a code to get its symbol's place.
    offsets: [i32; 16],
    symbols: Vec<u8>,
}

impl Table {
    /// From how many codes there are of each length, and their symbols in order.
    pub(super) fn new(counts: &[u8; 16], symbols: Vec<u8>) -> Result<Table, JpegError> {
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
        Ok(Table { quick, ends, offsets, symbols })
    }

    #[inline]
    fn symbol<S: Source + ?Sized>(&self, bits: &mut Bits, source: &mut S) -> Result<u8, S::Error> {
        bits.prepare(source, 16)?;
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
        Ok(*symbol.ok_or(JpegError::Damaged("a code that is in no table"))?)
    }
}

/// A number of `size` bits, at most 15, below 0 if its highest bit is 0 (T.81, F.2.2.1).
#[inline]
fn number<S: Source + ?Sized>(bits: &mut Bits, source: &mut S, size: u32) -> Result<i32, S::Error> {
    if size == 0 {
        return Ok(0);
    }
    bits.prepare(source, size)?;
    let value = bits.peek(size) as i32;
    bits.take(size)?;
    Ok(if value >> (size - 1) == 0 { value - (1 << size) + 1 } else { value })
}

/// Where in a block its coefficients belong, in the order in which they come.
const PLACES: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

/// The coefficients of one block, multiplied out; and whether there is none but the first.
pub(super) fn block<S: Source + ?Sized>(
    bits: &mut Bits,
    source: &mut S,
    (dc, ac): (&Table, &Table),
    quantization: &[f32; 64],
    last: &mut i32,
) -> Result<([f32; 64], bool), S::Error> {
    let mut block = [0.0; 64];
    let size = u32::from(dc.symbol(bits, source)?);
    if size > 11 {
        return Err(JpegError::Damaged("a first coefficient that is too large").into());
    }
    // Whatever adds up in a damaged image, it stays a number.
    *last = last.saturating_add(number(bits, source, size)?);
    block[0] = *last as f32 * quantization[0];
    let (mut at, mut is_flat) = (1, true);
    while at < 64 {
        let symbol = ac.symbol(bits, source)?;
        let (run, size) = (usize::from(symbol >> 4), u32::from(symbol & 0x0f));
        match (run, size) {
            (15, 0) => at += 16,
            (_, 0) => break,
            _ => {
                at += run;
                let value = number(bits, source, size)?;
                let place = *PLACES.get(at).ok_or(JpegError::Damaged("a block has too many coefficients"))?;
                block[usize::from(place)] = value as f32 * quantization[at];
                is_flat = false;
                at += 1;
            }
        }
    }
    Ok((block, is_flat))
}
