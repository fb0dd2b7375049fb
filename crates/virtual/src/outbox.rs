//! Replies of a scanner that wait to be read from its bulk-in endpoint.

use std::collections::VecDeque;

use crate::model::In;

/// Replies in their order. Each ends with a packet of its own: a read gets bytes of one reply only.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    replies: VecDeque<Vec<u8>>,
    /// Bytes of the first one that were read.
    sent: usize,
}

impl Outbox {
    pub fn push(&mut self, reply: Vec<u8>) {
        self.replies.push_back(reply);
    }

    pub fn is_empty(&self) -> bool {
        self.replies.is_empty()
    }

    /// Fills `buffer` from the first reply.
    pub fn read(&mut self, buffer: &mut [u8]) -> In {
        let Some(reply) = self.replies.front() else { return In::Nak };
        let filled = buffer.len().min(reply.len() - self.sent);
        buffer[..filled].copy_from_slice(&reply[self.sent..self.sent + filled]);
        self.sent += filled;
        if self.sent == reply.len() {
            self.replies.pop_front();
            self.sent = 0;
        }
        In::Data(filled)
    }

    pub fn clear(&mut self) {
        *self = Outbox::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_gets_bytes_of_one_reply_only() {
        let mut outbox = Outbox::default();
        let mut buffer = [0; 4];
        assert_eq!(outbox.read(&mut buffer), In::Nak);
        outbox.push(vec![1, 2, 3, 4, 5]);
        outbox.push(vec![6]);
        assert_eq!((outbox.read(&mut buffer), buffer), (In::Data(4), [1, 2, 3, 4]));
        assert_eq!((outbox.read(&mut buffer), buffer[0]), (In::Data(1), 5));
        assert_eq!((outbox.read(&mut buffer), buffer[0]), (In::Data(1), 6));
        assert!(outbox.is_empty());
    }
}
