//! What a scanner sends of one item, in one piece or in several. No I/O.

use std::ops::Deref;

use bytes::Bytes;

/// Bytes of one item. A piece that is all of it stays where it lies; several are copied together.
#[derive(Debug)]
pub(crate) enum Reassembly {
    One(Bytes),
    Several(Vec<u8>),
}

impl Default for Reassembly {
    fn default() -> Reassembly {
        Reassembly::One(Bytes::new())
    }
}

impl Deref for Reassembly {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Reassembly::One(bytes) => bytes,
            Reassembly::Several(bytes) => bytes,
        }
    }
}

impl Reassembly {
    pub(crate) fn push(&mut self, piece: Bytes) {
        match self {
            Reassembly::One(first) if first.is_empty() => *first = piece,
            Reassembly::One(_) if piece.is_empty() => {}
            Reassembly::One(first) => *self = Reassembly::Several([&first[..], &piece].concat()),
            Reassembly::Several(bytes) => bytes.extend_from_slice(&piece),
        }
    }

    /// All that came. Nothing has come of the next item.
    pub(crate) fn take(&mut self) -> Bytes {
        match std::mem::take(self) {
            Reassembly::One(bytes) => bytes,
            Reassembly::Several(bytes) => bytes.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_piece_stays_where_it_lies_and_several_become_one() {
        let mut pieces = Reassembly::default();
        let first = Bytes::from(b"Per".to_vec());
        let place = first.as_ptr();
        pieces.push(Bytes::new());
        pieces.push(first);
        pieces.push(Bytes::new());
        assert_eq!((&pieces[..], pieces.as_ptr()), (&b"Per"[..], place));
        pieces.push(Bytes::from_static(b"fec"));
        pieces.push(Bytes::from_static(b"tion"));
        assert_eq!(pieces[..], *b"Perfection");
        assert_eq!(pieces.take(), b"Perfection"[..]);
        assert!(pieces.is_empty() && pieces.take().is_empty());
    }
}
