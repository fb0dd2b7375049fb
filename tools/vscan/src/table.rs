//! The transfers that a USB/IP client has in flight, and the order in which it is answered. No threads, no I/O.
//!
//! Rules learnt from Linux's vhci: the answer to a transfer comes before the answer to its unlink; an
//! unlink may come before its transfer, and waits for that; the first thing on a connection may be the unlink of a transfer that
//! the one before it had, which the kernel keeps until that is answered; a cancelled transfer that carries data is
//! answered with it and ECONNRESET, then the unlink with 0; never more bytes than were asked for.

use std::collections::HashMap;

use usbscan_usb::{Buffer, EndpointAddress, Setup, TransferStatus};
use usbscan_virtual::{Completed, Urb, UrbId};

use crate::usbip::{Answer, ProtocolError, SHORT_NOT_OK, Submit, ZERO_PACKET, errno};

/// Unlinks that wait for their transfer.
const EARLY: usize = 1024;
/// Names of the empty packets that end some transfers; nobody is told of these.
const UNNAMED: u64 = 1 << 32;

#[derive(Debug)]
struct SubmittedUrb {
    is_in: bool,
    is_control: bool,
    flags: u32,
    length: u32,
    /// The unlink to answer after it.
    unlink: Option<u32>,
}

/// What is to be done with a transfer.
#[derive(Debug)]
pub enum Begin {
    /// Hand these to the device, in this order.
    Submit(Vec<Urb>),
    /// It was unlinked before it came.
    Answer(Vec<Answer>),
}

/// What is to be done about an unlink.
#[derive(Debug, PartialEq, Eq)]
pub enum Unlink {
    /// Ask the device for the transfer back; its answer, then the unlink's, follow.
    Cancel(UrbId),
    Answer(Answer),
    Wait,
}

#[derive(Debug, Default)]
pub struct UrbTable {
    pending: HashMap<u32, SubmittedUrb>,
    /// Transfer and unlink, where the unlink came first; `None` where that is answered.
    early: HashMap<u32, Option<u32>>,
    /// The last transfer that came; their names count up.
    last: Option<u32>,
}

impl UrbTable {
    /// A transfer came, with its OUT data.
    pub fn submit(&mut self, submit: &Submit, data: Vec<u8>, packet: usize) -> Begin {
        self.last = Some(submit.sequence);
        if let Some(unlink) = self.early.remove(&submit.sequence) {
            let reset =
                Answer::Submit { sequence: submit.sequence, status: -errno::ECONNRESET, actual: 0, data: Vec::new() };
            let unlinked = unlink.map(|sequence| Answer::Unlink { sequence, status: 0 });
            return Begin::Answer([reset].into_iter().chain(unlinked).collect());
        }
        let is_control = submit.endpoint.is_control();
        let pending =
            SubmittedUrb { is_in: submit.is_in, is_control, flags: submit.flags, length: submit.length, unlink: None };
        self.pending.insert(submit.sequence, pending);
        let id = UrbId(u64::from(submit.sequence));
        let ends_with_empty_packet = !is_control
            && !submit.is_in
            && submit.flags & ZERO_PACKET != 0
            && !data.is_empty()
            && data.len() % packet.max(1) == 0;
        let buffer = match (is_control, submit.is_in) {
            (true, _) => submit.setup.buffer(&data),
            (false, true) => vec![0; submit.length as usize],
            (false, false) => data,
        };
        let mut urbs = vec![Urb { id, endpoint: submit.endpoint, buffer: buffer.into() }];
        if ends_with_empty_packet {
            urbs.push(Urb { id: UrbId(id.0 | UNNAMED), endpoint: submit.endpoint, buffer: Buffer::default() });
        }
        Begin::Submit(urbs)
    }

    /// An unlink came.
    ///
    /// # Errors
    /// When too many came for transfers that did not.
    pub fn unlink(&mut self, sequence: u32, victim: u32) -> Result<Unlink, ProtocolError> {
        if let Some(pending) = self.pending.get_mut(&victim) {
            pending.unlink = Some(sequence);
            return Ok(Unlink::Cancel(UrbId(u64::from(victim))));
        }
        // Names count up and may wrap; what lies ahead of the last has not come yet.
        let is_ahead = self.last.is_none_or(|last| (victim.wrapping_sub(last) as i32) > 0);
        if !is_ahead {
            return Ok(Unlink::Answer(Answer::Unlink { sequence, status: 0 }));
        }
        if self.early.len() >= EARLY {
            return Err(ProtocolError::Unlinks);
        }
        let waits = self.last.is_some();
        self.early.insert(victim, waits.then_some(sequence));
        Ok(if waits { Unlink::Wait } else { Unlink::Answer(Answer::Unlink { sequence, status: 0 }) })
    }

    /// A transfer ended: what the client is told, in this order.
    pub fn completed(&mut self, given: Completed) -> Vec<Answer> {
        let Some(sequence) = u32::try_from(given.id.0).ok() else { return Vec::new() };
        let Some(pending) = self.pending.remove(&sequence) else { return Vec::new() };
        let actual = given.actual.min(pending.length as usize);
        let data = if pending.is_in { data_of(&given, pending.is_control, actual) } else { Vec::new() };
        let is_short = pending.is_in && actual < pending.length as usize && pending.flags & SHORT_NOT_OK != 0;
        let status = match given.status {
            TransferStatus::Completed if is_short => -errno::EREMOTEIO,
            TransferStatus::Completed => 0,
            TransferStatus::Cancelled => -errno::ECONNRESET,
            TransferStatus::Stall => -errno::EPIPE,
            TransferStatus::Overflow => -errno::EOVERFLOW,
            TransferStatus::Error => -errno::EPROTO,
            TransferStatus::NoDevice => -errno::ESHUTDOWN,
        };
        let mut answers = vec![Answer::Submit { sequence, status, actual: actual as u32, data }];
        answers.extend(pending.unlink.map(|sequence| Answer::Unlink { sequence, status: 0 }));
        answers
    }

    /// Whether a request is the sign of a bus reset, which vhci does not pass on: after one, Linux asks
    /// for the device descriptor with 64 bytes of room, to learn the packet size of endpoint zero.
    pub fn follows_a_reset(submit: &Submit) -> bool {
        let first = Setup::get_descriptor(1, 0, 0, 64);
        submit.endpoint == EndpointAddress::CONTROL && submit.setup == first
    }

    /// Whether a request is SET_CONFIGURATION, which ends the enumeration of a device.
    pub fn configures(submit: &Submit) -> bool {
        submit.endpoint == EndpointAddress::CONTROL && submit.setup.request_type == 0 && submit.setup.request == 9
    }
}

fn data_of(given: &Completed, is_control: bool, actual: usize) -> Vec<u8> {
    let from = if is_control { Setup::BYTES } else { 0 };
    given.buffer.bytes_in(from..from + actual).into_owned()
}

#[cfg(test)]
mod tests {
    use usbscan_usb::Direction;

    use super::*;

    const NO_SETUP: Setup = Setup { request_type: 0, request: 0, value: 0, index: 0, length: 0 };

    fn read(sequence: u32, length: u32) -> Submit {
        Submit { sequence, endpoint: EndpointAddress(0x81), is_in: true, flags: 0, length, setup: NO_SETUP }
    }

    fn begin(table: &mut UrbTable, submit: &Submit, data: &[u8]) -> Vec<Urb> {
        match table.submit(submit, data.to_vec(), 512) {
            Begin::Submit(urbs) => urbs,
            Begin::Answer(answers) => panic!("{answers:?}"),
        }
    }

    fn completed(urb: Urb, actual: usize, status: TransferStatus) -> Completed {
        Completed { id: urb.id, endpoint: urb.endpoint, buffer: urb.buffer, actual, status }
    }

    fn answer(sequence: u32, status: i32, data: &[u8]) -> Answer {
        Answer::Submit { sequence, status, actual: data.len() as u32, data: data.to_vec() }
    }

    #[test]
    fn a_cancelled_transfer_is_answered_with_its_data_and_then_its_unlink() {
        let mut table = UrbTable::default();
        let urb = begin(&mut table, &read(5, 1024), &[]).remove(0);
        assert_eq!(table.unlink(6, 5), Ok(Unlink::Cancel(UrbId(5))));
        let answers = table.completed(completed(urb, 3, TransferStatus::Cancelled));
        assert_eq!(answers, [answer(5, -104, &[0; 3]), Answer::Unlink { sequence: 6, status: 0 }]);
    }

    #[test]
    fn a_transfer_that_was_done_before_its_unlink_is_answered_once() {
        let mut table = UrbTable::default();
        let urb = begin(&mut table, &read(5, 4), &[]).remove(0);
        assert_eq!(table.completed(completed(urb, 4, TransferStatus::Completed)), [answer(5, 0, &[0; 4])]);
        assert_eq!(table.unlink(6, 5), Ok(Unlink::Answer(Answer::Unlink { sequence: 6, status: 0 })));
    }

    #[test]
    fn an_unlink_that_comes_first_waits_for_its_transfer() {
        let mut table = UrbTable::default();
        begin(&mut table, &read(4, 512), &[]);
        assert_eq!(table.unlink(6, 5), Ok(Unlink::Wait));
        match table.submit(&read(5, 512), Vec::new(), 512) {
            Begin::Answer(answers) => {
                assert_eq!(answers, [answer(5, -104, &[]), Answer::Unlink { sequence: 6, status: 0 }]);
            }
            Begin::Submit(urbs) => panic!("{urbs:?}"),
        }
        assert_eq!(table.unlink(8, 7), Ok(Unlink::Wait));
        assert_eq!(begin(&mut table, &read(9, 512), &[]).len(), 1, "others are not touched");
    }

    #[test]
    fn an_unlink_of_what_an_earlier_connection_had_is_answered_at_once() {
        let mut table = UrbTable::default();
        let unlinked = |sequence| Ok(Unlink::Answer(Answer::Unlink { sequence, status: 0 }));
        assert_eq!(table.unlink(6, 5), unlinked(6));
        // Should it come after all, it is not begun.
        match table.submit(&read(5, 512), Vec::new(), 512) {
            Begin::Answer(answers) => assert_eq!(answers, [answer(5, -104, &[])]),
            Begin::Submit(urbs) => panic!("{urbs:?}"),
        }
        assert_eq!(table.unlink(7, 3), unlinked(7));
    }

    #[test]
    fn unlinks_of_nothing_do_not_pile_up() {
        let mut table = UrbTable::default();
        begin(&mut table, &read(4, 512), &[]);
        for i in 0..EARLY as u32 {
            assert_eq!(table.unlink(i, 1_000_000 + i), Ok(Unlink::Wait));
        }
        assert_eq!(table.unlink(1, 999_999), Err(ProtocolError::Unlinks));
    }

    #[test]
    fn every_end_has_the_number_that_the_kernel_knows() {
        let ends = [
            (TransferStatus::Stall, -32),
            (TransferStatus::Error, -71),
            (TransferStatus::Overflow, -75),
            (TransferStatus::Cancelled, -104),
            (TransferStatus::NoDevice, -108),
        ];
        for (status, number) in ends {
            let mut table = UrbTable::default();
            let urb = begin(&mut table, &read(1, 8), &[]).remove(0);
            assert_eq!(table.completed(completed(urb, 2, status)), [answer(1, number, &[0; 2])], "{status:?}");
        }
    }

    #[test]
    fn no_more_is_answered_than_was_asked_for() {
        let mut table = UrbTable::default();
        let setup = Setup::vendor(Direction::In, 0x12, 0, 0, 100);
        let submit = Submit { endpoint: EndpointAddress::CONTROL, setup, ..read(1, 10) };
        let urb = begin(&mut table, &submit, &[]).remove(0);
        assert_eq!(urb.buffer.len(), 108);
        assert_eq!(table.completed(completed(urb, 100, TransferStatus::Completed)), [answer(1, 0, &[0; 10])]);
    }

    #[test]
    fn flags_make_a_short_read_an_error_and_end_a_write_with_an_empty_packet() {
        let mut table = UrbTable::default();
        let submit = Submit { flags: SHORT_NOT_OK, ..read(1, 8) };
        let urb = begin(&mut table, &submit, &[]).remove(0);
        assert_eq!(table.completed(completed(urb, 2, TransferStatus::Completed)), [answer(1, -121, &[0; 2])]);
        let write =
            |length: u32| Submit { endpoint: EndpointAddress(2), is_in: false, flags: ZERO_PACKET, ..read(2, length) };
        assert_eq!(begin(&mut table, &write(511), &[0; 511]).len(), 1);
        let mut urbs = begin(&mut table, &write(512), &[0; 512]);
        let empty = urbs.pop().expect("an empty packet behind it");
        assert_eq!((urbs.len(), empty.buffer.len()), (1, 0));
        assert_eq!(table.completed(completed(empty, 0, TransferStatus::Completed)), []);
    }
}
