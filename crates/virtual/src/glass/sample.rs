//! Samples of 8 and of 16 bits, and what is computed from three of them.

/// One sample of a pixel. 8 bits are always the upper 8 of the 16.
pub trait Sample: Copy + Default + PartialEq + Send + std::fmt::Debug + 'static {
    const WHITE: Self;

    /// From 16 bits, by leaving the lower ones out.
    fn from_16(value: u16) -> Self;

    /// From 8 bits: 255 becomes the largest value.
    fn from_8(value: u8) -> Self;

    /// As 16 bits; 8-bit values are spread so that 255 becomes 65535.
    fn to_16(self) -> u16;

    /// The upper 8 bits.
    fn to_8(self) -> u8;

    /// Gray from colour: (19595 R + 38470 G + 7471 B + 32768) / 65536, the weights of ITU-R BT.601.
    /// They add up to 65536, so a gray pixel keeps its value exactly.
    fn luma(pixel: [Self; 3]) -> Self;
}

fn weigh([r, g, b]: [u32; 3]) -> u32 {
    // At most 65535 * 65536 + 32768, which is below 2^32.
    (19595 * r + 38470 * g + 7471 * b + 32768) >> 16
}

impl Sample for u8 {
    const WHITE: u8 = u8::MAX;

    fn from_16(value: u16) -> u8 {
        (value >> 8) as u8
    }

    fn from_8(value: u8) -> u8 {
        value
    }

    fn to_16(self) -> u16 {
        u16::from(self) * 257
    }

    fn to_8(self) -> u8 {
        self
    }

    fn luma(pixel: [u8; 3]) -> u8 {
        weigh(pixel.map(u32::from)) as u8
    }
}

impl Sample for u16 {
    const WHITE: u16 = u16::MAX;

    fn from_16(value: u16) -> u16 {
        value
    }

    fn from_8(value: u8) -> u16 {
        u16::from(value) * 257
    }

    fn to_16(self) -> u16 {
        self
    }

    fn to_8(self) -> u8 {
        (self >> 8) as u8
    }

    fn luma(pixel: [u16; 3]) -> u16 {
        weigh(pixel.map(u32::from)) as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gray_pixel_keeps_its_value_in_gray() {
        assert!((0..=u8::MAX).all(|v| u8::luma([v; 3]) == v));
        assert!((0..=u16::MAX).all(|v| u16::luma([v; 3]) == v));
    }

    #[test]
    fn eight_bits_spread_to_sixteen_and_back_are_the_same() {
        assert!((0..=u8::MAX).all(|v| u8::from_16(v.to_16()) == v && u16::from_8(v).to_8() == v));
    }
}
