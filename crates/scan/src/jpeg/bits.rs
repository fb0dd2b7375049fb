//! Bytes as they come, and the bits of the entropy-coded data in them, up to the next marker.

use bytes::Bytes;

use super::{ByteSource, JpegError};

/// As many bits as are made ready at once.
const READY: u32 = 32;

/// Whether one of four bytes is FF.
#[inline]
fn has_ff(word: u32) -> bool {
    let zeros = !word;
    zeros.wrapping_sub(0x0101_0101) & !zeros & 0x8080_8080 != 0
}

/// The source's bytes, and bits of them.
#[derive(Debug, Default)]
pub(super) struct Bits {
    chunk: Bytes,
    at: usize,
    /// The next bits are the lowest `have` ones, the first of them highest.
    bits: u64,
    have: u32,
    /// How many of those are none: zeros behind the last.
    invented: u32,
    /// The marker at which the bits end.
    marker: Option<u8>,
    /// Bytes taken from the source, and how many there were before the marker.
    consumed: u64,
    marker_at: u64,
    /// FF before markers and stuffed zeros, of which any number may come (T.81, B.1.1.2).
    fill: u64,
}

/// What the last byte of data may be filled up with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fills {
    /// As T.81 has it.
    Ones,
    /// Where the data has no other end than its marker.
    Anything,
}

/// Bytes of fill beyond as many as there is data.
const MOST_FILL: u64 = 64 * 1024;

impl Bits {
    pub(super) fn byte<S: ByteSource + ?Sized>(&mut self, source: &mut S) -> Result<u8, S::Error> {
        loop {
            if let Some(byte) = self.chunk.get(self.at) {
                self.at += 1;
                self.consumed += 1;
                return Ok(*byte);
            }
            self.chunk = source.more()?.ok_or(JpegError::Truncated)?;
            self.at = 0;
        }
    }

    /// Bytes that were taken from the source.
    pub(super) fn consumed(&self) -> u64 {
        self.consumed
    }

    /// The same, without what is read ahead: whole bytes of bits, and a marker that is not dealt with.
    pub(super) fn data_consumed(&self) -> u64 {
        let read = if self.marker.is_some() { self.marker_at } else { self.consumed };
        // Behind an FF there was a zero.
        let ahead = self.ahead().map(|byte| if byte == 0xff { 2 } else { 1 }).sum();
        read.saturating_sub(ahead)
    }

    /// Whole bytes of bits that were made ready and not taken, the last first.
    fn ahead(&self) -> impl Iterator<Item = u8> + '_ {
        let whole = self.have.saturating_sub(self.invented) / 8;
        (0..whole).map(|at| (self.bits >> (self.invented + 8 * at)) as u8)
    }

    /// The next two, the higher first.
    pub(super) fn word<S: ByteSource + ?Sized>(&mut self, source: &mut S) -> Result<u16, S::Error> {
        Ok(u16::from_be_bytes([self.byte(source)?, self.byte(source)?]))
    }

    /// Makes at least [`READY`] bits ready, enough for any code and the number behind it; behind the last they are 0.
    #[inline]
    pub(super) fn prepare<S: ByteSource + ?Sized>(&mut self, source: &mut S) -> Result<(), S::Error> {
        if self.have >= READY {
            return Ok(());
        }
        let ahead = self.chunk.get(self.at..).and_then(|ahead| ahead.first_chunk());
        match ahead.map(|four| u32::from_be_bytes(*four)) {
            Some(word) if self.marker.is_none() && !has_ff(word) => {
                self.bits = self.bits << READY | u64::from(word);
                self.have += READY;
                self.at += 4;
                self.consumed += 4;
                Ok(())
            }
            _ => self.prepare_bytewise(source, READY),
        }
    }

    /// The same for `count` bits, at most that many: across the end of a chunk, where zeros are stuffed, and at a marker.
    #[cold]
    fn prepare_bytewise<S: ByteSource + ?Sized>(&mut self, source: &mut S, count: u32) -> Result<(), S::Error> {
        while self.have < count {
            let byte = self.data_byte(source)?;
            self.bits = self.bits << 8 | u64::from(byte);
            self.have += 8;
        }
        Ok(())
    }

    /// A byte of data, without the zero that is stuffed behind FF.
    fn data_byte<S: ByteSource + ?Sized>(&mut self, source: &mut S) -> Result<u8, S::Error> {
        if self.marker.is_none() {
            match self.byte(source)? {
                0xff => {}
                byte => return Ok(byte),
            }
            let at = self.consumed - 1;
            let mut next = self.byte(source)?;
            while next == 0xff {
                self.fill += 1;
                if self.fill > MOST_FILL + self.consumed / 2 {
                    return Err(JpegError::Damaged("it is filled up without an end").into());
                }
                next = self.byte(source)?;
            }
            if next == 0 {
                return Ok(0xff);
            }
            self.marker = Some(next);
            self.marker_at = at;
        }
        self.invented += 8;
        Ok(0)
    }

    /// The next bits, without taking them; they were prepared.
    #[inline]
    pub(super) fn peek(&self, count: u32) -> u32 {
        (self.bits >> (self.have - count)) as u32 & ((1u32 << count) - 1)
    }

    /// Takes bits that were prepared.
    #[inline]
    pub(super) fn take(&mut self, count: u32) -> Result<(), JpegError> {
        self.have -= count;
        if self.have < self.invented { Err(JpegError::Damaged("a part of it is missing")) } else { Ok(()) }
    }

    /// Whether the data ends here, at a marker that no data follows. What is left of the last byte is filled with ones
    /// (T.81, F.1.2.3), with which no code begins that fits in there: none consists of ones only (C.2).
    pub(super) fn is_at_end<S: ByteSource + ?Sized>(&mut self, source: &mut S, fills: Fills) -> Result<bool, S::Error> {
        self.prepare_bytewise(source, 8)?;
        let left = self.have.saturating_sub(self.invented);
        if left >= 8 || matches!(self.marker, Some(0xd0..=0xd7)) {
            return Ok(false);
        }
        let ones = (1 << left) - 1;
        Ok(fills == Fills::Anything || self.bits >> self.invented.min(self.have) & ones == ones)
    }

    /// Goes to the marker that ends the data, past restart markers and at most so many bytes. False: it is not there.
    pub(super) fn skip_to_end<S: ByteSource + ?Sized>(&mut self, source: &mut S, most: u32) -> Result<bool, S::Error> {
        let mut skipped = self.ahead().count() as u32;
        loop {
            if self.marker.is_some_and(|marker| !matches!(marker, 0xd0..=0xd7)) {
                return Ok(true);
            }
            if skipped > most {
                return Ok(false);
            }
            self.take_marker();
            skipped += 1;
            self.data_byte(source)?;
        }
    }

    /// The marker at which the data has ended, taken.
    pub(super) fn take_marker(&mut self) -> Option<u8> {
        (self.bits, self.have, self.invented) = (0, 0, 0);
        self.marker.take()
    }

    /// Takes the restart marker that is due, and what fills up the byte before it.
    pub(super) fn restart_marker<S: ByteSource + ?Sized>(
        &mut self,
        source: &mut S,
        number: u8,
    ) -> Result<(), S::Error> {
        self.prepare_bytewise(source, 8)?;
        if self.have.saturating_sub(self.invented) >= 8 || self.marker != Some(0xd0 + number) {
            return Err(JpegError::Damaged("a restart marker is not where it should be").into());
        }
        self.take_marker();
        Ok(())
    }
}
