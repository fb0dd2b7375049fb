//! The race table for what is no read: writes, control requests and events are let loose in an order that a seed draws,
//! with one cancel among them, by every member of the family. Each gets exactly one answer that can be right; a cancel's
//! own comes after those of what it was behind; and what the device has got is what the answers say.
//!
//!     USBSCAN_MIXTURE_SEED=77 USBSCAN_MIXTURE_ROUNDS=1 cargo test --test daemon mixture     # one round again

use usbscan_wire::{Answer, Command, ControlDirection, Pipe, RequestKind, RequestRecipient, Status};

use crate::races::{Dice, Way, forget, from_environment};
use testkit::rig::{COUNT, Client, EVENT, Rig, vendor, vendor_out};

const FORGET: u8 = 0x14;
/// What the interrupt packets of a round say.
const PRESSED: [u8; 2] = [0xb0, 0x0b];
/// Shorter than any other packet that comes back, and the last.
const MARK: [u8; 1] = [0xaa];

/// Who cancels, and what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Member {
    Request,
    RequestFromElsewhere,
    Session,
    SessionFromElsewhere,
    Pipe(Pipe),
    PipeFromElsewhere(Pipe),
    Pending,
    Deadline,
    Close,
    Death,
}

const FAMILY: [Member; 16] = [
    Member::Request,
    Member::RequestFromElsewhere,
    Member::Session,
    Member::SessionFromElsewhere,
    Member::Pipe(Pipe::Write),
    Member::Pipe(Pipe::Control),
    Member::Pipe(Pipe::Event),
    Member::Pipe(Pipe::All),
    Member::PipeFromElsewhere(Pipe::Write),
    Member::PipeFromElsewhere(Pipe::Control),
    Member::PipeFromElsewhere(Pipe::Event),
    Member::PipeFromElsewhere(Pipe::All),
    Member::Pending,
    Member::Deadline,
    Member::Close,
    Member::Death,
];

/// A request of the user's.
#[derive(Debug, Clone, Copy)]
struct Issued {
    id: u64,
    kind: Kind,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Write { length: usize },
    Control { length: u16 },
    Event,
}

impl Kind {
    fn draw(dice: &mut Dice) -> Kind {
        match dice.below(3) {
            // Longer than the mark.
            0 => Kind::Write { length: 2 + dice.below(1500) },
            1 => Kind::Control { length: 1 + dice.below(64) as u16 },
            _ => Kind::Event,
        }
    }

    fn is_on(self, pipe: Pipe) -> bool {
        let own = match self {
            Kind::Write { .. } => Pipe::Write,
            Kind::Control { .. } => Pipe::Control,
            Kind::Event => Pipe::Event,
        };
        pipe == Pipe::All || pipe == own
    }
}

struct Arena {
    rig: Rig,
    way: Way,
    user: Client,
    other: Client,
}

impl Arena {
    fn new(depth: usize, way: Way) -> Arena {
        let rig = Rig::depth(depth);
        let (mut user, other) = (way.connect(&rig), rig.open());
        user.open("usbscan0");
        Arena { rig, way, user, other }
    }

    fn ask(&mut self, kind: Kind, timeout: Option<f64>) -> Issued {
        let id = match kind {
            Kind::Write { length } => self.user.send_with(
                Command::Write { endpoint: None, offset: None, length: 0, zero_packet: false, timeout },
                vec![0x55; length],
            ),
            Kind::Control { length } => self.user.send(Command::UsbRequest {
                request: COUNT,
                value: 7,
                index: 0,
                direction: ControlDirection::In,
                length,
                kind: RequestKind::Vendor,
                recipient: RequestRecipient::Device,
                timeout,
            }),
            Kind::Event => self.user.send(Command::WaitEvent { endpoint: None, timeout }),
        };
        Issued { id, kind }
    }

    fn round(&mut self, member: Member, dice: &mut Dice) {
        self.user.done(Command::ArmAbort { steps: vec![forget()], settle: None });
        let timeout = (member == Member::Deadline).then(|| dice.below(300) as f64 / 1e6);
        let mut left: Vec<Kind> = (0..2 + dice.below(4)).map(|_| Kind::draw(dice)).collect();
        let (mut asked, mut pressed, mut struck) = (Vec::new(), None, None);
        while !left.is_empty() || pressed.is_none() || struck.is_none() {
            match dice.below(3) {
                0 if !left.is_empty() => asked.push(self.ask(left.remove(0), timeout)),
                1 if pressed.is_none() => {
                    let press = vendor(EVENT, ControlDirection::Out, 0, 0);
                    pressed = Some(self.other.send_with(press, PRESSED.to_vec()));
                }
                2 if struck.is_none() && !asked.is_empty() => {
                    struck = Some((asked.len(), self.strike(member, &asked, dice)));
                    if matches!(member, Member::Close | Member::Death) {
                        left.clear();
                    }
                }
                _ => {}
            }
        }
        let (before, cancel) = struck.expect("the loop waits for it");
        self.settle(member, &asked, before, cancel, pressed);
    }

    /// Sends the cancel; says on which connection, and under which id.
    fn strike(&mut self, member: Member, asked: &[Issued], dice: &mut Dice) -> Option<(bool, u64)> {
        let request = asked[dice.below(asked.len())].id;
        let session = Some(self.user.session);
        let here = |arena: &mut Arena, command| Some((true, arena.user.send(command)));
        let there = |arena: &mut Arena, command| Some((false, arena.other.send(command)));
        match member {
            Member::Request => here(self, Command::CancelRequest { request, session: None }),
            Member::RequestFromElsewhere => there(self, Command::CancelRequest { request, session }),
            Member::Session => here(self, Command::CancelSession { session: None }),
            Member::SessionFromElsewhere => there(self, Command::CancelSession { session }),
            Member::Pipe(pipe) => here(self, Command::CancelPipe { pipe: Some(pipe), endpoint: None, device: None }),
            Member::PipeFromElsewhere(pipe) => {
                there(self, Command::CancelPipe { pipe: Some(pipe), endpoint: None, device: None })
            }
            Member::Pending => there(self, Command::CancelPending { device: None }),
            Member::Close => here(self, Command::Close {}),
            Member::Deadline => None,
            Member::Death => {
                self.user = self.way.connect(&self.rig);
                None
            }
        }
    }

    /// Everything is answered, once and rightly; then the device has got what the answers say.
    fn settle(
        &mut self,
        member: Member,
        asked: &[Issued],
        before: usize,
        cancel: Option<(bool, u64)>,
        pressed: Option<u64>,
    ) {
        if let Some((here, id)) = cancel {
            let answer = if here { self.user.answer(id) } else { self.other.answer(id) };
            let may_miss = matches!(member, Member::Request | Member::RequestFromElsewhere);
            let right = answer.status == Status::Success || may_miss && answer.status == Status::NotFound;
            assert!(right, "{:?}", answer.message);
            self.check_order(member, &asked[..before], id);
        }
        let mut moved = None;
        if member != Member::Death {
            let rest = self.user.send(Command::CancelSession { session: None });
            moved = Some(asked.iter().map(|asked| judge(*asked, &self.user.answer(asked.id), member)).sum::<u64>());
            self.user.answer(rest);
            assert_eq!(self.user.order.len(), self.user.distinct(), "one answer a request");
        }
        if let Some(pressed) = pressed {
            let answer = self.other.answer(pressed);
            assert!(matches!(answer.status, Status::Success | Status::Cancelled), "{:?}", answer.message);
        }
        match member {
            // The sequence made the device forget.
            Member::Pending | Member::Close | Member::Death => {
                if member != Member::Pending {
                    self.user.open("usbscan0");
                }
                self.other.done(vendor_out(FORGET, 0));
                assert_eq!(self.read_to_the_mark(), 0, "nothing of before is in it");
            }
            _ => assert_eq!(Some(self.read_to_the_mark()), moved, "what went out is what the answers say"),
        }
        self.user.done(Command::DisarmAbort {});
        self.other.done(vendor_out(FORGET, 0));
    }

    /// A cancel on the requests' own connection is behind them, and so its answer is behind theirs.
    fn check_order(&self, member: Member, before: &[Issued], cancel: u64) {
        let concerns = |asked: &&Issued| match member {
            Member::Session | Member::Close => true,
            Member::Pipe(pipe) => asked.kind.is_on(pipe),
            _ => false,
        };
        let place = |id| self.user.order.iter().position(|answered| *answered == id);
        for asked in before.iter().filter(concerns) {
            assert!(place(asked.id).is_some_and(|at| Some(at) < place(cancel)), "{asked:?} is answered first");
        }
    }

    /// Bytes that come back before the mark.
    fn read_to_the_mark(&mut self) -> u64 {
        self.other.write_all(&MARK);
        let mut came = 0;
        loop {
            let packet = self.other.read_all(512);
            if packet == MARK {
                return came;
            }
            came += packet.len() as u64;
        }
    }
}

/// It ended in a way that can be right. Returns the bytes that it moved out.
fn judge(asked: Issued, answer: &Answer, member: Member) -> u64 {
    let nothing = (0, 0);
    let brought = (answer.information, answer.payload.len());
    match (answer.status, asked.kind) {
        (Status::Success, Kind::Write { length }) => {
            assert_eq!(brought, (length as u64, 0));
            length as u64
        }
        (Status::Success, Kind::Control { length }) => {
            let counted: Vec<u8> = (0..length).map(|i| (7 + i) as u8).collect();
            assert_eq!((answer.information, &answer.payload[..]), (u64::from(length), &counted[..]));
            0
        }
        (Status::Success, Kind::Event) => {
            assert_eq!(answer.payload[..], PRESSED);
            0
        }
        (Status::Cancelled, Kind::Write { length }) => {
            assert_eq!(brought, nothing);
            assert!(answer.discarded < length as u64, "with all of it gone out it would be a success");
            answer.discarded
        }
        (Status::Cancelled, Kind::Control { .. } | Kind::Event) => {
            assert_eq!(brought, nothing);
            0
        }
        (Status::Timeout, kind) => {
            assert_eq!(member, Member::Deadline);
            if matches!(kind, Kind::Write { .. }) { answer.information } else { 0 }
        }
        (Status::NotFound, _) => {
            assert_eq!(member, Member::Close, "asked behind the close");
            0
        }
        (other, kind) => panic!("{kind:?}: {other}: {:?}", answer.message),
    }
}

#[test]
fn a_cancel_at_any_moment_of_writes_control_requests_and_events_gives_one_right_answer_each() {
    let rounds = from_environment("USBSCAN_MIXTURE_ROUNDS", 2000);
    let first = from_environment("USBSCAN_MIXTURE_SEED", 1);
    let arenas = [(1, Way::Socket), (4, Way::Socket), (1, Way::Memory), (4, Way::Memory)];
    let mut arenas = arenas.map(|(depth, way)| Arena::new(depth, way));
    for seed in first..first + rounds {
        let mut dice = Dice::new(seed);
        let member = FAMILY[dice.below(FAMILY.len())];
        let arena = &mut arenas[(seed % 4) as usize];
        // A panic names the round by this line; it is shown only then.
        println!("USBSCAN_MIXTURE_SEED={seed}: {member:?}");
        arena.round(member, &mut dice);
    }
}
