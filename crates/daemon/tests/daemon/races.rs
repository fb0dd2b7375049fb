//! The race table over the socket: reads, the bytes for them and one cancel are let loose in an order that a seed draws,
//! on two connections at once, so that the cancel meets the reads wherever they are. Each request gets exactly one
//! answer, with a status that can be right; every byte is received, discarded or left on the device, in order; and the
//! next session reads nothing of it.
//!
//!     tools/races [ROUNDS [SEED]]     # the long version; also on a kernel's host controllers
//!     USBSCAN_RACE_SEED=77 USBSCAN_RACE_ROUNDS=1 cargo test --test daemon races     # one round again
//!
//! The scanner is on the in-process bus, or where kernel.rs is told to plug it in.

use usbscan_wire::{
    AbortStep, Answer, Command, ControlDirection, HexBytes, Pipe, RequestKind, RequestRecipient, Status,
};

use testkit::rig::{Client, Rig, vendor_out};

const FORGET: u8 = 0x14;
const PACKET: usize = 512;
/// What fits a gadget's FIFO, see [`Rig::has_a_fifo`].
const FIFO: usize = 64;
/// Bytes of a round's stream at most.
const STREAM: usize = 8 * PACKET;

pub fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().expect("a number"))
}

/// Seeded numbers: xorshift64*.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % most
    }
}

/// The bytes of a stream: words that count, so that every word says where it stood.
fn words(first: usize, bytes: usize) -> Vec<u8> {
    (0..bytes / 2).flat_map(|i| ((first + i) as u16).to_le_bytes()).collect()
}

/// The whole words that these bytes begin at, if they are a piece of the stream.
fn position(payload: &[u8]) -> Option<usize> {
    let first = usize::from(u16::from_le_bytes([*payload.first()?, *payload.get(1)?]));
    assert_eq!(payload, &words(first, payload.len())[..], "a payload is a piece of the stream, without a gap");
    Some(first * 2)
}

/// Who cancels, and what.
#[derive(Debug, Clone, Copy)]
enum Member {
    Request,
    RequestFromElsewhere,
    Session,
    SessionFromElsewhere,
    Pipe,
    PipeFromElsewhere,
    Pending,
    ResetPipe,
    Deadline,
    Close,
    Death,
}

const FAMILY: [Member; 11] = [
    Member::Request,
    Member::RequestFromElsewhere,
    Member::Session,
    Member::SessionFromElsewhere,
    Member::Pipe,
    Member::PipeFromElsewhere,
    Member::Pending,
    Member::ResetPipe,
    Member::Deadline,
    Member::Close,
    Member::Death,
];

/// Makes the loopback forget what it was sent: idle, for it.
pub fn forget() -> AbortStep {
    AbortStep::Control {
        kind: RequestKind::Vendor,
        recipient: RequestRecipient::Device,
        direction: ControlDirection::Out,
        request: FORGET,
        value: 0,
        index: 0,
        bytes: HexBytes::default(),
        length: 0,
        timeout: 5000,
    }
}

struct Arena {
    rig: Rig,
    way: Way,
    reader: Client,
    other: Client,
}

/// Which way the reader's bytes come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Socket,
    Memory,
}

impl Way {
    /// A connection whose bytes come this way.
    pub fn connect(self, rig: &Rig) -> Client {
        let mut client = rig.client();
        if self == Way::Memory {
            client.share(1 << 16);
        }
        client
    }
}

impl Arena {
    fn new(depth: usize, way: Way) -> Arena {
        let rig = Rig::anywhere(depth);
        let (mut reader, other) = (way.connect(&rig), rig.open());
        reader.open("usbscan0");
        let mut arena = Arena { rig, way, reader, other };
        arena.arm();
        arena
    }

    fn arm(&mut self) {
        self.reader.done(Command::ArmAbort { steps: vec![forget()], settle: None });
    }

    fn round(&mut self, member: Member, dice: &mut Dice) {
        let written = self.writable(2 * dice.below(STREAM / 2 + 1));
        let lengths: Vec<u32> = (0..1 + dice.below(4)).map(|_| 2 * (1 + dice.below(1200)) as u32).collect();
        let timeout = matches!(member, Member::Deadline).then(|| dice.below(300) as f64 / 1e6);
        let mut reads = Vec::new();
        // One write, one cancel, and the reads, shuffled.
        let (mut left, mut wrote, mut cancel, mut struck) = (lengths.clone(), None, None, false);
        while !left.is_empty() || wrote.is_none() || !struck {
            match dice.below(3) {
                0 if !left.is_empty() => {
                    let read = Command::Read {
                        endpoint: None,
                        offset: None,
                        length: left.remove(0),
                        return_partial: false,
                        timeout,
                    };
                    reads.push(self.reader.send(read));
                }
                1 if wrote.is_none() => wrote = Some(self.other.write(&words(0, written))),
                2 if !struck && (!reads.is_empty() || left.is_empty()) => {
                    struck = true;
                    cancel = self.strike(member, &reads, dice);
                    if matches!(member, Member::Close | Member::Death) {
                        left.clear();
                    }
                }
                _ => {}
            }
        }
        self.settle(member, &reads, &lengths, written, wrote, cancel);
    }

    /// So many bytes, or more where their last packet would lie in a controller's FIFO for good.
    fn writable(&self, bytes: usize) -> usize {
        let last = if bytes == 0 { 0 } else { (bytes - 1) % PACKET + 1 };
        if self.rig.has_a_fifo() && last <= FIFO { bytes + FIFO + 2 } else { bytes }
    }

    /// Sends the cancel. What it sends on the reader's connection it sends behind the reads so far.
    fn strike(&mut self, member: Member, reads: &[u64], dice: &mut Dice) -> Option<(bool, u64)> {
        let request = reads[dice.below(reads.len())];
        let session = Some(self.reader.session);
        let here = |client: &mut Client, command| Some((true, client.send(command)));
        let there = |client: &mut Client, command| Some((false, client.send(command)));
        let pipe = Command::CancelPipe { pipe: Some(Pipe::Read), endpoint: None, device: None };
        match member {
            Member::Request => here(&mut self.reader, Command::CancelRequest { request, session: None }),
            Member::RequestFromElsewhere => there(&mut self.other, Command::CancelRequest { request, session }),
            Member::Session => here(&mut self.reader, Command::CancelSession { session: None }),
            Member::SessionFromElsewhere => there(&mut self.other, Command::CancelSession { session }),
            Member::Pipe => here(&mut self.reader, pipe),
            Member::PipeFromElsewhere => there(&mut self.other, pipe),
            Member::Pending => there(&mut self.other, Command::CancelPending { device: None }),
            Member::ResetPipe => here(&mut self.reader, Command::ResetPipe { pipe: Some(Pipe::Read), endpoint: None }),
            Member::Close => here(&mut self.reader, Command::Close {}),
            Member::Deadline => None,
            Member::Death => {
                self.reader = self.way.connect(&self.rig);
                None
            }
        }
    }

    /// Everything is answered, once and rightly; then the next session finds a clean pipe.
    fn settle(
        &mut self,
        member: Member,
        reads: &[u64],
        lengths: &[u32],
        written: usize,
        wrote: Option<u64>,
        cancel: Option<(bool, u64)>,
    ) {
        let cancelled = cancel.map(|(here, id)| if here { self.reader.answer(id) } else { self.other.answer(id) });
        if let Some(answer) = cancelled {
            assert!(matches!(answer.status, Status::Success | Status::NotFound), "{:?}", answer.message);
        }
        if !matches!(member, Member::Death) {
            // Whatever the member left in flight ends now.
            let rest = self.reader.send(Command::CancelSession { session: None });
            let answers: Vec<Answer> = reads.iter().map(|id| self.reader.answer(*id)).collect();
            self.reader.answer(rest);
            judge(&answers, lengths, written);
        }
        if let Some(wrote) = wrote {
            let answer = self.other.answer(wrote);
            let ends = [Status::Success, Status::Cancelled];
            assert!(ends.contains(&answer.status), "{:?}", answer.message);
        }
        self.clean(member);
        let mark = [0xaa, 0x55, 0xaa, 0x55, 0xff];
        self.other.write_all(&mark);
        assert_eq!(self.reader.read_all(512), mark, "nothing of before is in it");
        assert_eq!(self.reader.order.len(), self.reader.distinct(), "one answer a request");
    }

    fn clean(&mut self, member: Member) {
        match member {
            Member::Close | Member::Death => {
                self.reader.open("usbscan0");
                self.arm();
            }
            Member::Pending => {
                // The reader's job went with it: nothing that it asks for is started before it has said that it knows.
                assert_eq!(self.reader.call(vendor_out(FORGET, 0)).status, Status::Cancelled);
                self.reader.done(Command::DisarmAbort {});
                self.arm();
            }
            _ => {}
        }
        self.other.done(vendor_out(FORGET, 0));
        self.reader.done(Command::ResetPipe { pipe: Some(Pipe::Read), endpoint: None });
        self.other.done(vendor_out(FORGET, 0));
    }
}

/// Each ended in a way that can be right, and what they brought lies in order on the stream.
fn judge(answers: &[Answer], lengths: &[u32], written: usize) {
    let mut end = 0;
    let mut known = 0;
    for (answer, length) in answers.iter().zip(lengths) {
        match answer.status {
            Status::Success | Status::Timeout => {
                assert_eq!(answer.information, answer.payload.len() as u64);
                assert!(answer.payload.len() <= *length as usize);
                if let Some(at) = position(&answer.payload) {
                    assert!(at >= end, "a later read brings what lies behind");
                    end = at + answer.payload.len();
                }
                known += answer.payload.len();
            }
            Status::Cancelled => {
                assert_eq!((answer.information, answer.payload.len()), (0, 0));
                assert!(answer.discarded < u64::from(*length), "with all of it there it would be a success");
                known += answer.discarded as usize;
            }
            other => panic!("{other}: {:?}", answer.message),
        }
    }
    assert!(end <= written && known <= written, "no byte comes from nowhere");
}

#[test]
fn a_cancel_at_any_moment_gives_one_right_answer_and_a_clean_pipe() {
    let rounds = from_environment("USBSCAN_RACE_ROUNDS", 3000);
    let first = from_environment("USBSCAN_RACE_SEED", 1);
    // A kernel's scanner is there once, so one depth after the other.
    for (remainder, depth, way) in [(0, 1, Way::Socket), (1, 4, Way::Socket), (2, 1, Way::Memory), (3, 4, Way::Memory)]
    {
        let seeds: Vec<u64> = (first..first + rounds).filter(|seed| seed % 4 == remainder).collect();
        if seeds.is_empty() {
            continue;
        }
        let mut arena = Arena::new(depth, way);
        for &seed in &seeds {
            let mut dice = Dice::new(seed);
            let member = FAMILY[dice.below(FAMILY.len())];
            // A panic names the round by this line; it is shown only then.
            println!("USBSCAN_RACE_SEED={seed}: {member:?} at depth {depth}, {way:?}");
            arena.round(member, &mut dice);
        }
        println!("{} rounds at depth {depth}, {way:?}", seeds.len());
    }
}

#[test]
fn a_read_cancelled_at_every_offset_of_a_transfer_ends_by_itself_or_cancelled_with_its_bytes_counted() {
    for (depth, way) in [(1, Way::Socket), (4, Way::Memory)] {
        let mut arena = Arena::new(depth, way);
        let at_a_kernel = arena.rig.is_at_a_kernel();
        // An emulated machine is slow, and goes by packets.
        let step = if at_a_kernel { 61 } else { 1 } * if depth == 1 { 1 } else { 7 };
        let length = 3 * PACKET;
        let offsets: Vec<usize> = (0..=length).step_by(step).filter(|at| arena.writable(*at) == *at).collect();
        for offset in offsets {
            let wrote = arena.other.write(&words(0, offset + offset % 2)[..offset]);
            let read = arena.reader.read(length as u32);
            let cancel = arena.reader.send(Command::CancelRequest { request: read, session: None });
            let (answer, cancelled) = (arena.reader.answer(read), arena.reader.answer(cancel));
            assert_eq!(arena.other.answer(wrote).status, Status::Success);
            match (answer.status, cancelled.status) {
                (Status::Success, _) => {
                    assert!(answer.payload == words(0, length)[..answer.payload.len()]);
                    let whole = answer.payload.len() == offset;
                    assert!(whole && (offset == length || offset % PACKET != 0 || offset == 0), "{offset}");
                }
                (Status::Cancelled, Status::Success) => {
                    // libusb does not tell a short packet at the moment of the kill from a part of the data.
                    let short_packet = at_a_kernel && answer.discarded as usize == offset;
                    assert!(answer.discarded as usize <= offset);
                    assert!(answer.discarded as usize % PACKET == 0 || short_packet, "{offset}: {}", answer.discarded);
                }
                other => panic!("offset {offset}: {other:?}"),
            }
            arena.clean(Member::Request);
        }
    }
}
