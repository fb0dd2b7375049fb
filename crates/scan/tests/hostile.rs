//! Scanners that mean harm or are broken: a pipe that fails at any transfer of a page, an identity with absurd sizes, a stream
//! that never ends. All drivers: a page or an error in words, little read and made at once, and an end.

mod support;

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use support::{Bench, Cable, Rig, scan, timeouts};
use usbscan_scan::esci2::Esci2;
use usbscan_scan::{Constraint, Driver, Flow, PageFormat, PageSink, ScanError, Scanner, SinkError, Value};
use usbscan_usb::EndpointAddress;
use usbscan_virtual::{Descriptors, In, Model, Out, spec};

/// Scanners of all protocols and dialects.
const KINDS: [&str; 5] =
    ["esci,dialect=fs", "esci,dialect=esc", "esci,dialect=esc,level=D1", "esci2,sheets=9", "esci,dialect=fs,adf=9"];
const SMALL: [(&str, &str); 4] = [("mode", "gray"), ("resolution", "150"), ("br-x", "60"), ("br-y", "60")];
/// More than a driver may ask for at once: its largest block, and a line of the widest page that is believed.
const MOST_AT_ONCE: usize = 64 << 20;

/// Of a scanner that does not stop talking, nobody listens to more: two attempts, and what opening and giving up take.
const MOST_IN_ALL: u64 = 256 << 20;

/// Nor to more packets that hold nothing to speak of.
const MOST_PACKETS: usize = 10_000;

/// What a scanner does instead, given how many packets it took and how many items it gave.
trait Mischief: Send {
    fn takes(&mut self, _nth: usize) -> Option<Out> {
        None
    }

    fn gives(&mut self, _nth: usize, _room: &mut [u8]) -> Option<In> {
        None
    }

    fn says(&mut self, _words: &mut [u8]) {}
}

struct Hostile<M> {
    inner: Box<dyn Model>,
    mischief: Arc<Mutex<M>>,
    /// Items of at most so many bytes are words, not pixels.
    words: usize,
    taken: usize,
    given: usize,
}

impl<M: Mischief> Model for Hostile<M> {
    fn descriptors(&self) -> &Descriptors {
        self.inner.descriptors()
    }

    fn bulk_out(&mut self, now: Instant, endpoint: EndpointAddress, packet: &[u8]) -> Out {
        self.taken += 1;
        let instead = self.mischief.lock().takes(self.taken - 1);
        instead.unwrap_or_else(|| self.inner.bulk_out(now, endpoint, packet))
    }

    fn bulk_in(&mut self, now: Instant, endpoint: EndpointAddress, room: &mut [u8]) -> In {
        if let Some(instead) = self.mischief.lock().gives(self.given, room) {
            self.given += 1;
            return instead;
        }
        let answer = self.inner.bulk_in(now, endpoint, room);
        if let In::Data(n) = answer {
            self.given += 1;
            if n <= self.words {
                self.mischief.lock().says(&mut room[..n]);
            }
        }
        answer
    }

    fn reset(&mut self) {
        self.inner.reset();
    }
}

fn hostile<M: Mischief + 'static>(description: &str, mischief: M) -> (Bench, Arc<Mutex<M>>) {
    let inner = spec::parse(description).expect("a good description");
    let mischief = Arc::new(Mutex::new(mischief));
    let words = if description.starts_with("esci2") { 1024 } else { 128 };
    let model = Hostile { inner, mischief: mischief.clone(), words, taken: 0, given: 0 };
    (Arc::new(Mutex::new(Rig::new(Box::new(model)))), mischief)
}

fn open(bench: &Bench, description: &str) -> Result<Box<dyn Scanner>, ScanError> {
    match description.starts_with("esci2") {
        true => Esci2.open_with(timeouts(), Box::new(Cable::new(bench)), &mut |_| {}),
        false => support::open(bench),
    }
}

/// Does as it is told at one packet or item, once.
#[derive(Clone, Copy)]
struct Once {
    at: usize,
    at_in: Option<In>,
    at_out: Option<Out>,
    done: bool,
}

impl Mischief for Once {
    fn takes(&mut self, nth: usize) -> Option<Out> {
        let due = nth == self.at && !self.done;
        self.at_out.filter(|_| due).inspect(|_| self.done = true)
    }

    fn gives(&mut self, nth: usize, _room: &mut [u8]) -> Option<In> {
        let due = nth == self.at && !self.done;
        self.at_in.filter(|_| due).inspect(|_| self.done = true)
    }
}

#[test]
fn a_pipe_that_fails_at_any_transfer_ends_the_page_in_words_and_the_next_page_is_right() {
    let ins = [In::Stall, In::Babble, In::Garbled].map(|fault| (Some(fault), None));
    for kind in KINDS {
        let right = scan(&mut *open(&support::bench(kind), kind).expect("it opens"), &SMALL).expect("a page").bytes;
        for (at_in, at_out) in ins.into_iter().chain([(None, Some(Out::Stall))]) {
            for at in 0.. {
                let what = format!("{kind} {at_in:?} {at_out:?} at {at}");
                let (bench, mischief) = hostile(kind, Once { at, at_in, at_out, done: false });
                let first = open(&bench, kind).and_then(|mut scanner| scan(&mut *scanner, &SMALL));
                match first {
                    Ok(page) => assert!(page.is_whole && page.bytes == right, "{what}"),
                    Err(error) => assert!(!error.to_string().is_empty(), "{what}"),
                }
                if !mischief.lock().done {
                    assert!(at > 10, "{what}: a page takes more than that");
                    break;
                }
                let next = open(&bench, kind).and_then(|mut scanner| scan(&mut *scanner, &SMALL));
                assert!(next.unwrap_or_else(|error| panic!("{what}: {error}")).bytes == right, "{what}");
            }
        }
    }
}

/// Takes some of a page, and looks at what it is handed.
#[derive(Default)]
struct FewCalls {
    calls: usize,
    most: usize,
}

impl PageSink for FewCalls {
    fn begin(&mut self, format: &PageFormat) -> Result<(), SinkError> {
        assert!(format.width > 0 && format.bytes_per_line() > 0);
        Ok(())
    }

    fn lines(&mut self, lines: &[u8]) -> Result<Flow, SinkError> {
        self.calls += 1;
        self.most = self.most.max(lines.len());
        Ok(if self.calls == 4 { Flow::Stop } else { Flow::Continue })
    }

    fn end(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

/// The largest that an option can be.
fn largest(constraint: &Constraint) -> Option<Value> {
    match constraint {
        Constraint::IntRange { max, .. } => Some(Value::Int(*max)),
        Constraint::FixedRange { max, .. } => Some(Value::Fixed(*max)),
        Constraint::List(values) => values.last().cloned(),
        _ => None,
    }
}

/// A page as large as the scanner says that it can be, and a small one: whatever comes of them.
fn scan_what_it_offers(bench: &Bench, kind: &str, what: &str) {
    let Ok(mut scanner) = open(bench, kind) else { return };
    for greedy in [true, false] {
        if greedy {
            for name in ["resolution", "br-x", "br-y"] {
                let value = scanner.options_mut().get(name).ok().and_then(|option| largest(&option.constraint));
                if let Some(value) = value {
                    let _ = scanner.options_mut().set(name, value);
                }
            }
        } else {
            let _ = scanner.options_mut().set_all(SMALL);
        }
        let mut page = FewCalls::default();
        if let Err(error) = scanner.scan(&mut page, &mut |_| {}) {
            assert!(!error.to_string().is_empty(), "{what}");
        }
        assert!(page.most <= MOST_AT_ONCE, "{what}: {} bytes handed over at once", page.most);
    }
    assert!(bench.lock().most_read <= MOST_AT_ONCE, "{what}: {} bytes read at once", bench.lock().most_read);
}

/// Writes these bytes over what is said in the nth item, from an offset on.
struct Absurd {
    item: usize,
    offset: usize,
    bytes: Vec<u8>,
    items: usize,
    /// The item is longer than that.
    more: bool,
}

impl Mischief for Absurd {
    fn says(&mut self, words: &mut [u8]) {
        self.items += 1;
        if self.items - 1 != self.item {
            return;
        }
        self.more = self.offset < words.len();
        if let Some(place) = words.get_mut(self.offset..self.offset + self.bytes.len()) {
            place.copy_from_slice(&self.bytes);
        }
    }
}

/// Every place of every item that a scanner sends, with each of these there instead.
fn absurdities(kind: &str, step: usize, instead: &[&[u8]]) {
    for bytes in instead {
        for item in 0.. {
            for offset in (0..).step_by(step) {
                let what = format!("{kind}: {bytes:?} at {offset} of item {item}");
                let absurd = Absurd { item, offset, bytes: bytes.to_vec(), items: 0, more: false };
                let (bench, absurd) = hostile(kind, absurd);
                scan_what_it_offers(&bench, kind, &what);
                let absurd = absurd.lock();
                if absurd.items <= item {
                    assert!(item > 5, "{what}: it has more to say");
                    return;
                }
                if !absurd.more {
                    break;
                }
            }
        }
    }
}

#[test]
fn esc_i_identities_and_headers_with_absurd_numbers_end_in_a_page_or_in_words() {
    let words: [&[u8]; 3] = [&[0, 0], &[255, 255], &[1, 0]];
    let double_words: [&[u8]; 3] = [&[0; 4], &[255; 4], &[255, 255, 0, 0]];
    absurdities("esci,dialect=esc", 1, &words);
    absurdities("esci,dialect=esc,level=D1", 1, &words);
    absurdities("esci,dialect=fs", 1, &double_words);
}

#[test]
fn esc_i_2_tokens_with_absurd_numbers_end_in_a_page_or_in_words() {
    absurdities("esci2,sheets=9", 4, &[b"d000", b"d999", b"i0000000", b"i9999999", b"i-999999", b"xfffffff"]);
}

/// From some item on, nothing but this byte for ever, in full packets.
struct Endless {
    from: usize,
    byte: u8,
    bytes: u64,
}

impl Mischief for Endless {
    fn gives(&mut self, nth: usize, room: &mut [u8]) -> Option<In> {
        if nth < self.from {
            return None;
        }
        room.fill(self.byte);
        self.bytes += room.len() as u64;
        Some(In::Data(room.len()))
    }
}

#[test]
fn a_stream_that_never_ends_is_given_up_in_words() {
    for kind in KINDS {
        for byte in [0x00, 0x02, 0x06, 0x15, 0xff, b'x'] {
            for from in 0..12 {
                let what = format!("{kind}: {byte:#04x} for ever from item {from} on");
                let (bench, endless) = hostile(kind, Endless { from, byte, bytes: 0 });
                scan_what_it_offers(&bench, kind, &what);
                assert!(endless.lock().bytes < MOST_IN_ALL, "{what}: {} bytes listened to", endless.lock().bytes);
            }
        }
    }
}

/// From some item on, nothing but packets of this length for ever: each of them ends the read that it meets.
struct Crumbs {
    from: usize,
    length: usize,
    packets: usize,
}

impl Mischief for Crumbs {
    fn gives(&mut self, nth: usize, room: &mut [u8]) -> Option<In> {
        if nth < self.from {
            return None;
        }
        let length = self.length.min(room.len());
        room[..length].fill(0);
        self.packets += 1;
        Some(In::Data(length))
    }
}

#[test]
fn packets_of_no_bytes_and_of_one_without_an_end_are_given_up_in_words() {
    for kind in KINDS {
        for length in [0, 1] {
            for from in 0..12 {
                let what = format!("{kind}: packets of {length} bytes for ever from item {from} on");
                let (bench, crumbs) = hostile(kind, Crumbs { from, length, packets: 0 });
                scan_what_it_offers(&bench, kind, &what);
                assert!(crumbs.lock().packets < MOST_PACKETS, "{what}: {} of them taken", crumbs.lock().packets);
            }
        }
    }
}
