//! The segments before the data (T.81, annex B): sizes, tables, and what of the standard is used.

use super::bits::Bits;
use super::huffman::HuffmanTable;
use super::{ByteSource, JpegError};

/// Bytes of segments before the data; a colour profile is part of them, a film is not.
const MOST_HEADER_BYTES: usize = 4 << 20;
/// Samples that one row of MCUs may have in all; 65535 pixels of any usual sampling make half of that.
const MOST_STRIP: u64 = 4 << 20;

/// A component: its sampling factors, and which tables are its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Component {
    id: u8,
    /// Blocks of an MCU.
    pub across: u32,
    pub down: u32,
    pub quantization: usize,
    pub dc: usize,
    pub ac: usize,
}

#[derive(Debug)]
pub(super) struct Headers {
    pub width: u32,
    /// 0: told at the end.
    pub height: u32,
    pub components: Vec<Component>,
    pub most_across: u32,
    pub most_down: u32,
    pub mcus_across: u32,
    pub restart_interval: u32,
    /// In the order in which coefficients come.
    pub quantization: [[f32; 64]; 4],
    pub dc: [HuffmanTable; 4],
    pub ac: [HuffmanTable; 4],
    /// The components are red, green and blue.
    pub is_rgb: bool,
}

impl Headers {
    pub(super) fn mcu_height(&self) -> u32 {
        8 * self.most_down
    }

    /// Reads up to the first byte of data.
    pub(super) fn read<S: ByteSource + ?Sized>(bits: &mut Bits, source: &mut S) -> Result<Headers, S::Error> {
        if bits.word(source)? != 0xffd8 {
            return Err(JpegError::NotJpeg.into());
        }
        let empty = HuffmanTable::new(&[0; 16], Vec::new())?;
        let mut headers = Headers {
            width: 0,
            height: 0,
            components: Vec::new(),
            most_across: 1,
            most_down: 1,
            mcus_across: 0,
            restart_interval: 0,
            quantization: [[0.0; 64]; 4],
            dc: std::array::from_fn(|_| empty.clone()),
            ac: std::array::from_fn(|_| empty.clone()),
            is_rgb: false,
        };
        let mut left = MOST_HEADER_BYTES;
        loop {
            let marker = marker(bits, source, &mut left)?;
            match marker {
                // Restart markers and what stands alone.
                0x01 | 0xd0..=0xd7 => {
                    left = left.checked_sub(2).ok_or(JpegError::Damaged("its headers have no end"))?;
                    continue;
                }
                0xd8 | 0xd9 => return Err(JpegError::Damaged("it has no picture").into()),
                _ => {}
            }
            let length = usize::from(bits.word(source)?).checked_sub(2);
            let length = length.ok_or(JpegError::Damaged("a segment without a length"))?;
            left = left.checked_sub(length + 4).ok_or(JpegError::Damaged("its headers have no end"))?;
            // At most 65533.
            let segment = (0..length).map(|_| bits.byte(source)).collect::<Result<Vec<u8>, _>>()?;
            headers.take(marker, &segment)?;
            if marker == 0xda {
                headers.check()?;
                return Ok(headers);
            }
        }
    }

    fn take(&mut self, marker: u8, segment: &[u8]) -> Result<(), JpegError> {
        match marker {
            0xc0 | 0xc1 => self.frame(segment),
            0xc4 => self.huffman(segment),
            0xc2 | 0xc6 | 0xca | 0xce => Err(JpegError::Unsupported("it is progressive")),
            0xc3 | 0xc7 | 0xcb | 0xcf => Err(JpegError::Unsupported("it is lossless")),
            0xc5 => Err(JpegError::Unsupported("it is hierarchical")),
            0xc8..=0xcd => Err(JpegError::Unsupported("it is arithmetic")),
            0xda => self.scan(segment),
            0xdb => self.quantization(segment),
            0xdd => match segment {
                [high, low] => {
                    self.restart_interval = u32::from(u16::from_be_bytes([*high, *low]));
                    Ok(())
                }
                _ => Err(JpegError::Damaged("a restart interval of another length")),
            },
            // Adobe's segment says whether three components are red, green and blue.
            0xee => {
                self.is_rgb |= segment.starts_with(b"Adobe") && segment.get(11) == Some(&0);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn frame(&mut self, segment: &[u8]) -> Result<(), JpegError> {
        let bad = JpegError::Damaged("its frame header makes no sense");
        if !self.components.is_empty() {
            return Err(JpegError::Damaged("it has two frames"));
        }
        let [depth, h1, h0, w1, w0, count, components @ ..] = segment else { return Err(bad) };
        if *depth != 8 {
            return Err(JpegError::Unsupported("its samples have not 8 bits"));
        }
        if !matches!(count, 1 | 3) {
            return Err(JpegError::Unsupported("it has neither one component nor three"));
        }
        if components.len() != 3 * usize::from(*count) {
            return Err(bad);
        }
        self.height = u32::from(u16::from_be_bytes([*h1, *h0]));
        self.width = u32::from(u16::from_be_bytes([*w1, *w0]));
        if self.width == 0 {
            return Err(bad);
        }
        for component in components.chunks_exact(3) {
            let (id, factors, quantization) = (component[0], component[1], component[2]);
            let (across, down) = (u32::from(factors >> 4), u32::from(factors & 0x0f));
            if !(1..=4).contains(&across) || !(1..=4).contains(&down) || quantization > 3 {
                return Err(bad);
            }
            // A single component is not interleaved: its factors mean nothing.
            let (across, down) = if *count == 1 { (1, 1) } else { (across, down) };
            let quantization = usize::from(quantization);
            self.components.push(Component { id, across, down, quantization, dc: 0, ac: 0 });
        }
        let most = |of: fn(&Component) -> u32| self.components.iter().map(of).max().unwrap_or(1);
        (self.most_across, self.most_down) = (most(|one| one.across), most(|one| one.down));
        let (across, down) = (self.most_across, self.most_down);
        if self.components.iter().any(|one| across % one.across != 0 || down % one.down != 0) {
            return Err(JpegError::Unsupported("its components don't divide each other"));
        }
        self.mcus_across = self.width.div_ceil(8 * across);
        let blocks: u32 = self.components.iter().map(|one| one.across * one.down).sum();
        if u64::from(self.mcus_across) * u64::from(blocks) * 64 > MOST_STRIP {
            return Err(JpegError::Unsupported("its lines are too long"));
        }
        let ids: Vec<u8> = self.components.iter().map(|one| one.id).collect();
        self.is_rgb |= ids == *b"RGB";
        Ok(())
    }

    fn huffman(&mut self, mut segment: &[u8]) -> Result<(), JpegError> {
        let bad = JpegError::Damaged("a Huffman table makes no sense");
        while let [kind, rest @ ..] = segment {
            let (counts, rest) = rest.split_first_chunk::<16>().ok_or(bad.clone())?;
            let total = counts.iter().map(|count| usize::from(*count)).sum();
            let (symbols, rest) = rest.split_at_checked(total).ok_or(bad.clone())?;
            let table = HuffmanTable::new(counts, symbols.to_vec())?;
            let tables = match kind >> 4 {
                0 => &mut self.dc,
                1 => &mut self.ac,
                _ => return Err(bad),
            };
            *tables.get_mut(usize::from(kind & 0x0f)).ok_or(bad.clone())? = table;
            segment = rest;
        }
        Ok(())
    }

    fn quantization(&mut self, mut segment: &[u8]) -> Result<(), JpegError> {
        let bad = JpegError::Damaged("a quantization table makes no sense");
        while let [kind, rest @ ..] = segment {
            let wide = usize::from(kind >> 4);
            let table = self.quantization.get_mut(usize::from(kind & 0x0f)).ok_or(bad.clone())?;
            if wide > 1 {
                return Err(bad);
            }
            let (values, rest) = rest.split_at_checked(64 << wide).ok_or(bad.clone())?;
            for (at, entry) in table.iter_mut().enumerate() {
                *entry = match wide {
                    0 => f32::from(values[at]),
                    _ => f32::from(u16::from_be_bytes([values[2 * at], values[2 * at + 1]])),
                };
            }
            segment = rest;
        }
        Ok(())
    }

    fn scan(&mut self, segment: &[u8]) -> Result<(), JpegError> {
        let bad = JpegError::Damaged("its scan header makes no sense");
        let [count, rest @ ..] = segment else { return Err(bad) };
        if usize::from(*count) != self.components.len() {
            return Err(JpegError::Unsupported("its components come one after the other"));
        }
        let (chosen, spectrum) = rest.split_at_checked(2 * usize::from(*count)).ok_or(bad.clone())?;
        if spectrum != [0, 63, 0] {
            return Err(bad);
        }
        for (component, choice) in self.components.iter_mut().zip(chosen.chunks_exact(2)) {
            let (id, tables) = (choice[0], choice[1]);
            if id != component.id || tables & 0xcc != 0 {
                return Err(bad);
            }
            (component.dc, component.ac) = (usize::from(tables >> 4), usize::from(tables & 0x0f));
        }
        Ok(())
    }

    fn check(&self) -> Result<(), JpegError> {
        if self.components.is_empty() { Err(JpegError::Damaged("it has no frame")) } else { Ok(()) }
    }
}

/// The next marker; FF may come more than once before it.
fn marker<S: ByteSource + ?Sized>(bits: &mut Bits, source: &mut S, left: &mut usize) -> Result<u8, S::Error> {
    if bits.byte(source)? != 0xff {
        return Err(JpegError::Damaged("a segment begins without a marker").into());
    }
    loop {
        match bits.byte(source)? {
            0xff => *left = left.checked_sub(1).ok_or(JpegError::Damaged("its headers have no end"))?,
            0 => return Err(JpegError::Damaged("a segment begins without a marker").into()),
            marker => return Ok(marker),
        }
    }
}

/// Behind the data: how many lines there were, if that is what comes (DNL).
pub(super) fn number_of_lines<S: ByteSource + ?Sized>(
    bits: &mut Bits,
    source: &mut S,
) -> Result<Option<u32>, S::Error> {
    if bits.take_marker() != Some(0xdc) {
        return Ok(None);
    }
    let _length = bits.word(source)?;
    Ok(Some(u32::from(bits.word(source)?)))
}
