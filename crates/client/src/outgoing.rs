//! Bytes to be written that lie in shared memory from the start, so that nothing copies them there.

use std::sync::Arc;
use std::time::Duration;

use usbscan_shm::Slot;
use usbscan_wire::Command;

use crate::link::Link;
use crate::reply_extra::{ReplyExtra, offset_of};
use crate::timeout::seconds;
use crate::{Error, Pending};

/// Memory for bytes to be written, which are not copied any more: see [`crate::Session::outgoing`]. Dropped, it is free again.
#[derive(Debug)]
pub struct Outgoing {
    link: Arc<Link>,
    slot: Slot,
    length: usize,
}

impl Outgoing {
    pub(crate) fn new(link: &Arc<Link>, length: usize) -> Option<Outgoing> {
        let arena = link.arena().filter(|_| (1..=usbscan_wire::PAYLOAD_LIMIT).contains(&length))?;
        Some(Outgoing { link: link.clone(), slot: arena.alloc(length)?, length })
    }

    /// The bytes, to be filled in. They are not zero: whatever was there last is there still.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.slot.bytes_mut()[..self.length]
    }

    /// Sends a `write` of these bytes.
    ///
    /// # Errors
    /// [`Error::Gone`].
    pub fn start(self, zero_packet: bool, timeout: Option<Duration>) -> Result<Pending, Error> {
        let Outgoing { link, slot, length } = self;
        let lent = slot.lend();
        let (offset, length) = (Some(offset_of(&lent)), length as u32);
        let command = Command::Write { endpoint: None, offset, length, zero_packet, timeout: seconds(timeout) };
        Pending::start_with(&link, link.new_id(), &command, &[], ReplyExtra::Slot { lent, most: 0 })
    }
}
