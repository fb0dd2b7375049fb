//! A JPEG picture that becomes gray, byte for byte as it passes: what its headers say stays, and so does each restart marker;
//! the coded data between them is that of gray, filled up to the same length with the FF bytes that may stand before any
//! marker (T.81, B.1.1.2). So a decoder gets a picture of the same size, and nothing of what was on it.
//!
//! No I/O; what is kept is one segment of the headers at most. Not every picture can be covered so: where it is not
//! sequential, where its scans are several, or where a restart interval has less room than gray needs, zeros take its place.

/// Components that a picture may have.
const COMPONENTS: usize = 4;

/// A Huffman code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Code {
    code: u16,
    bits: u8,
}

#[derive(Debug)]
enum State {
    /// Before FF D8.
    Start,
    Soi,
    /// Before a marker of the headers, and behind its FF.
    Marker,
    MarkerCode,
    /// In the length of a segment.
    LengthHigh(u8),
    LengthLow(u8, u8),
    Segment {
        marker: u8,
        at: usize,
        length: usize,
        kept: Vec<u8>,
    },
    /// In coded data.
    Data,
    /// Behind an FF that went out as it came.
    DataMarker,
    /// Behind an FF that was data in all likelihood: it was the last byte of a piece.
    DataCovered,
    /// Zeros from here on.
    Blank,
}

/// A component of the frame: its id, and the blocks of it in an MCU.
#[derive(Debug, Clone, Copy)]
struct Component {
    id: u8,
    across: u32,
    down: u32,
}

#[derive(Debug, Default)]
struct Frame {
    width: u32,
    /// 0: told behind the data.
    height: u32,
    components: Vec<Component>,
}

/// See the head of this file.
#[derive(Debug)]
pub(super) struct GrayJpeg {
    state: State,
    frame: Option<Frame>,
    /// The codes of symbol 0: of no difference, and of no coefficients.
    dc: [Option<Code>; 4],
    ac: [Option<Code>; 4],
    interval: u32,
    /// The codes of one gray MCU.
    mcu: Vec<Code>,
    /// MCUs of the picture that no interval has had yet; `None`: nobody knows.
    remaining: Option<u32>,
    writer: Writer,
}

/// The coded data of an interval, as bytes.
#[derive(Debug, Default)]
struct Writer {
    bits: u32,
    have: u32,
    /// MCUs that are still to begin, and where in the current one it is.
    left: u32,
    at: usize,
    /// A zero is due behind an FF.
    stuff: bool,
}

impl Writer {
    fn has_ended(&self) -> bool {
        self.left == 0 && self.have == 0 && !self.stuff
    }

    /// The next byte; behind the last, those that may stand before a marker.
    fn byte(&mut self, mcu: &[Code]) -> u8 {
        if std::mem::take(&mut self.stuff) {
            return 0;
        }
        while self.have < 8 && self.left > 0 {
            let Some(code) = mcu.get(self.at) else {
                (self.left, self.at) = (self.left - 1, 0);
                continue;
            };
            self.bits = self.bits << code.bits | u32::from(code.code);
            self.have += u32::from(code.bits);
            self.at += 1;
        }
        if self.have == 0 {
            return 0xff;
        }
        if self.have < 8 {
            // Ones are what the last byte is filled up with.
            let missing = 8 - self.have;
            self.bits = self.bits << missing | ((1 << missing) - 1);
            self.have = 8;
        }
        self.have -= 8;
        let byte = (self.bits >> self.have) as u8;
        self.bits &= (1 << self.have) - 1;
        self.stuff = byte == 0xff;
        byte
    }
}

impl GrayJpeg {
    pub(super) fn new() -> GrayJpeg {
        GrayJpeg {
            state: State::Start,
            frame: None,
            dc: [None; 4],
            ac: [None; 4],
            interval: 0,
            mcu: Vec::new(),
            remaining: None,
            writer: Writer::default(),
        }
    }

    /// Replaces the next piece of the picture. What begins as no JPEG becomes zeros.
    pub(super) fn cover(&mut self, piece: &mut [u8]) {
        for at in 0..piece.len() {
            let next = piece.get(at + 1).copied();
            piece[at] = self.byte(piece[at], next);
        }
    }

    /// What takes the place of a byte, of which the next is known unless it is the last of its piece.
    fn byte(&mut self, byte: u8, next: Option<u8>) -> u8 {
        let (state, covered) = match std::mem::replace(&mut self.state, State::Blank) {
            State::Start if byte == 0xff => (State::Soi, byte),
            State::Soi if byte == 0xd8 => (State::Marker, byte),
            State::Marker if byte == 0xff => (State::MarkerCode, byte),
            State::MarkerCode => match byte {
                0xff => (State::MarkerCode, byte),
                0x01 | 0xd0..=0xd7 => (State::Marker, byte),
                0x00 | 0xd8 => (State::Blank, 0),
                0xd9 => (State::Blank, byte),
                marker => (State::LengthHigh(marker), byte),
            },
            State::LengthHigh(marker) => (State::LengthLow(marker, byte), byte),
            State::LengthLow(marker, high) => match usize::from(u16::from_be_bytes([high, byte])).checked_sub(2) {
                None => (State::Blank, 0),
                Some(0) => (self.end_of_segment(marker, &[]), byte),
                Some(length) => (State::Segment { marker, at: 0, length, kept: Vec::new() }, byte),
            },
            State::Segment { marker, at, length, mut kept } => {
                let covered = if is_shown(marker, at) { byte } else { 0 };
                if is_understood(marker) {
                    kept.push(byte);
                }
                let state = if at + 1 == length {
                    self.end_of_segment(marker, &kept)
                } else {
                    State::Segment { marker, at: at + 1, length, kept }
                };
                (state, covered)
            }
            State::Data if byte == 0xff => match next {
                None if self.writer.has_ended() => (State::DataMarker, byte),
                None => (State::DataCovered, self.writer.byte(&self.mcu)),
                Some(0) => (State::Data, self.writer.byte(&self.mcu)),
                Some(_) => (State::DataMarker, byte),
            },
            State::Data => (State::Data, self.writer.byte(&self.mcu)),
            State::DataMarker => match byte {
                // It was data, and filled up as it was.
                0x00 => (State::Data, 0xff),
                0xff => (State::DataMarker, byte),
                0xd0..=0xd7 => {
                    self.begin_interval();
                    (State::Data, byte)
                }
                0xd9 => (State::Blank, byte),
                marker => (State::LengthHigh(marker), byte),
            },
            State::DataCovered if byte == 0 => (State::Data, self.writer.byte(&self.mcu)),
            _ => (State::Blank, 0),
        };
        self.state = state;
        covered
    }

    fn end_of_segment(&mut self, marker: u8, segment: &[u8]) -> State {
        match marker {
            0xc0 | 0xc1 if self.frame.is_none() => self.frame = frame(segment),
            0xc4 => self.tables(segment),
            0xdd => {
                self.interval = segment.first_chunk().map_or(0, |bytes| u32::from(u16::from_be_bytes(*bytes)));
            }
            0xda => return self.begin_scan(segment).map_or(State::Blank, |()| State::Data),
            _ => {}
        }
        State::Marker
    }

    /// The codes of symbol 0 in each of the tables.
    fn tables(&mut self, mut segment: &[u8]) {
        while let Some((class, rest)) = segment.split_first() {
            let Some((counts, rest)) = rest.split_first_chunk::<16>() else { return };
            let symbols: usize = counts.iter().map(|count| usize::from(*count)).sum();
            let Some((symbols, rest)) = rest.split_at_checked(symbols) else { return };
            let tables = if class >> 4 == 0 { &mut self.dc } else { &mut self.ac };
            if let Some(table) = tables.get_mut(usize::from(class & 0x0f)) {
                *table = code_of_zero(counts, symbols);
            }
            segment = rest;
        }
    }

    /// `None` where the scan can't be made gray.
    fn begin_scan(&mut self, segment: &[u8]) -> Option<()> {
        let frame = self.frame.as_ref()?;
        let (count, rest) = segment.split_first()?;
        let count = usize::from(*count);
        if count != frame.components.len() || rest.len() != 2 * count + 3 {
            return None;
        }
        // One component alone has MCUs of one block, whatever its factors.
        let blocks = |component: &Component| if count == 1 { 1 } else { component.across * component.down };
        self.mcu.clear();
        for chosen in rest[..2 * count].chunks_exact(2) {
            let component = frame.components.iter().find(|component| component.id == chosen[0])?;
            let dc = (*self.dc.get(usize::from(chosen[1] >> 4))?)?;
            let ac = (*self.ac.get(usize::from(chosen[1] & 0x0f))?)?;
            (0..blocks(component)).for_each(|_| self.mcu.extend([dc, ac]));
        }
        let most = |factor: fn(&Component) -> u32| {
            let factors = frame.components.iter().map(factor).max();
            8 * if count == 1 { 1 } else { factors.unwrap_or(1) }
        };
        let across = frame.width.div_ceil(most(|component| component.across));
        let down = frame.height.div_ceil(most(|component| component.down));
        self.remaining = (frame.height > 0).then_some(across * down);
        if self.remaining.is_none() && self.interval == 0 {
            return None;
        }
        self.begin_interval();
        Some(())
    }

    fn begin_interval(&mut self) {
        let most = self.remaining.unwrap_or(u32::MAX);
        let left = if self.interval == 0 { most } else { self.interval.min(most) };
        self.remaining = self.remaining.map(|remaining| remaining - left);
        self.writer = Writer { left, ..Writer::default() };
    }
}

/// Whether a segment's byte goes out as it came. Of what programs may put in only the resolution and the colours do.
fn is_shown(marker: u8, at: usize) -> bool {
    match marker {
        0xe0 | 0xee => at < 12,
        _ => (0xc0..=0xdf).contains(&marker),
    }
}

fn is_understood(marker: u8) -> bool {
    matches!(marker, 0xc0 | 0xc1 | 0xc4 | 0xda | 0xdd)
}

fn frame(segment: &[u8]) -> Option<Frame> {
    let [8, h1, h0, w1, w0, count, components @ ..] = segment else { return None };
    let count = usize::from(*count);
    if !(1..=COMPONENTS).contains(&count) || components.len() != 3 * count {
        return None;
    }
    let component = |bytes: &[u8]| {
        let (across, down) = (u32::from(bytes[1] >> 4), u32::from(bytes[1] & 0x0f));
        let is_possible = (1..=4).contains(&across) && (1..=4).contains(&down);
        is_possible.then_some(Component { id: bytes[0], across, down })
    };
    let components = components.chunks_exact(3).map(component).collect::<Option<Vec<_>>>()?;
    let side = |high: u8, low: u8| u32::from(u16::from_be_bytes([high, low]));
    Some(Frame { width: side(*w1, *w0), height: side(*h1, *h0), components })
}

fn code_of_zero(counts: &[u8; 16], symbols: &[u8]) -> Option<Code> {
    let place = symbols.iter().position(|symbol| *symbol == 0)?;
    let (mut code, mut before) = (0u32, 0);
    for (at, count) in counts.iter().enumerate() {
        let count = usize::from(*count);
        if place < before + count {
            let code = code + (place - before) as u32;
            let bits = at as u8 + 1;
            return (code >> bits == 0).then_some(Code { code: code as u16, bits });
        }
        before += count;
        code = (code + count as u32) << 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn covered(picture: &[u8], size: usize) -> Vec<u8> {
        let (mut all, mut gray) = (picture.to_vec(), GrayJpeg::new());
        all.chunks_mut(size).for_each(|piece| gray.cover(piece));
        all
    }

    /// Two components' tables in which the symbols 0 and 5 have two bits each; a restart interval of one MCU.
    fn head(restart: bool) -> Vec<u8> {
        let mut head = vec![0xff, 0xd8, 0xff, 0xe0, 0, 16];
        head.extend(b"JFIF\0\x01\x02\x01\0\x4b\0\x4b\x02\x02");
        head.extend(b"\xff\xe1\0\x08SECRET\xff\xfe\0\x05abc");
        head.extend([0xff, 0xc0, 0, 11, 8, 0, 16, 0, 8, 1, 1, 0x11, 0]);
        for class in [0x00, 0x10] {
            head.extend([0xff, 0xc4, 0, 21, class, 0, 2]);
            head.extend([0; 14]);
            head.extend([5, 0]);
        }
        if restart {
            head.extend([0xff, 0xdd, 0, 4, 0, 1]);
        }
        head.extend([0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0]);
        head
    }

    #[test]
    fn data_become_gray_of_the_same_length_and_markers_stay() {
        let tail = [&[0x35, 0xff, 0x00, 0x77, 0xff, 0xd0][..], &[0x12, 0xff, 0x00, 0xff, 0xd9]].concat();
        let picture = [head(true), tail].concat();
        for size in 1..picture.len() {
            let all = covered(&picture, size);
            let (before, data) = all.split_at(head(true).len());
            // 01 01 of each block, and ones.
            let right = [&[0b0101_1111, 0xff, 0xff, 0xff, 0xff, 0xd0][..], &[0b0101_1111, 0xff, 0xff, 0xff, 0xd9]];
            assert_eq!(data, right.concat(), "in pieces of {size}");
            assert_eq!(before[..18], head(true)[..18], "its resolution is shown");
            assert!(!before.windows(6).any(|window| window == b"SECRET"), "what programs put in is not");
            assert!(before.ends_with(&head(true)[37..]), "the rest is as it was");
        }
    }

    #[test]
    fn without_restart_markers_all_of_it_is_one_interval() {
        let picture = [head(false), vec![0x35, 0x77, 0x88, 0xff, 0xd9]].concat();
        assert!(covered(&picture, 7).ends_with(&[0b0101_0101, 0xff, 0xff, 0xff, 0xd9]));
    }

    #[test]
    fn what_is_no_jpeg_or_none_that_can_be_covered_becomes_zeros() {
        assert_eq!(covered(&[7, 0xff, 0xd8, 9], 3), [0; 4]);
        let mut progressive = [head(true), vec![0x35; 9]].concat();
        let at = progressive.windows(2).position(|pair| pair == [0xff, 0xc0]).expect("a frame");
        progressive[at + 1] = 0xc2;
        assert!(covered(&progressive, 5).ends_with(&[0; 9]));
    }

    proptest! {
        #[test]
        fn nothing_that_a_scanner_sends_breaks_it(
            changes in proptest::collection::vec((0usize..160, any::<u8>()), 0..12), more in ".{0,40}", size in 1usize..64,
        ) {
            let mut picture = [head(true), more.into_bytes()].concat();
            for (at, byte) in changes {
                if let Some(place) = picture.get_mut(at) {
                    *place = byte;
                }
            }
            prop_assert_eq!(covered(&picture, size).len(), picture.len());
        }
    }
}
