//! Captures: what goes over a scanner's pipes, recorded as it goes, for the clients that asked for it. The pipes' workers record,
//! on their threads, and never wait: a capture whose client is slow has no room, and then what is not recorded is counted.
//! A capture opens nothing and claims nothing; where nobody uses the scanner there is nothing to see.

mod pcapng;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use usbscan_usb::{Buffer, Completion, DeviceInfo, EndpointAddress, Setup, TransferType};
use usbscan_wire::{PAYLOAD_LIMIT, ReadCaptureBody};

use self::pcapng::{IN_PROGRESS, NOT_SUBMITTED, Record, RecordKind, errno};
use crate::failure::{Failure, Limit};
use crate::payload::Payload;
use crate::reply::responder::Responder;
use crate::version::SERVER;

/// US English, of strings.
const LANGUAGE: u16 = 0x0409;

/// The captures of one scanner.
#[derive(Debug, Default)]
pub(crate) struct Taps {
    /// Whether there is one: all that recording costs while there is none.
    any: AtomicBool,
    captures: Mutex<Vec<Arc<Capture>>>,
    /// Users who have the scanner open.
    users: Mutex<Vec<Option<u32>>>,
    next_urb: AtomicU64,
}

impl Taps {
    /// Users who have the scanner open. What they move is theirs, and others' captures have no data of it.
    pub fn set_users(&self, users: Vec<Option<u32>>) {
        *self.users.lock() = users;
    }

    /// Begins a capture. It starts with what the device says of itself, as if it had just been asked.
    pub fn begin(&self, capture: Arc<Capture>, info: &DeviceInfo) {
        describe(&capture, info, || self.next_urb());
        self.captures.lock().push(capture);
        self.any.store(true, Ordering::Relaxed);
    }

    /// Ends one: no record any more. What it has can still be read.
    pub fn end(&self, capture: &Arc<Capture>) {
        let mut captures = self.captures.lock();
        captures.retain(|other| !Arc::ptr_eq(other, capture));
        self.any.store(!captures.is_empty(), Ordering::Relaxed);
        drop(captures);
        capture.finish();
    }

    /// The scanner is gone: all end.
    pub fn end_all(&self) {
        let captures = std::mem::take(&mut *self.captures.lock());
        self.any.store(false, Ordering::Relaxed);
        captures.iter().for_each(|capture| capture.finish());
    }

    fn next_urb(&self) -> u64 {
        self.next_urb.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn record(&self, record: &Record<'_>) {
        let captures = self.captures.lock().clone();
        let users = self.users.lock().clone();
        for capture in captures {
            match record.data.is_none() || capture.may_see(&users) {
                true => capture.push(record),
                false => capture.push(&Record { data: None, ..*record }),
            }
        }
    }
}

/// How one endpoint's transfers are recorded. Its pipe's worker has it.
#[derive(Debug, Clone)]
pub(crate) struct Tap {
    pub taps: Arc<Taps>,
    pub endpoint: EndpointAddress,
    pub transfer: TransferType,
    /// Where the device is.
    pub bus: u8,
    pub address: u8,
}

impl Tap {
    /// A transfer is about to be handed to the host; gives back the number of its end.
    pub fn submit(&self, buffer: &Buffer) -> u64 {
        let urb = self.taps.next_urb();
        if self.taps.any.load(Ordering::Relaxed) {
            let bytes = buffer.bytes();
            let (setup, data) = self.parts(&bytes);
            let endpoint = self.directed(setup);
            let length = setup.map_or(data.len(), |setup| usize::from(setup.length)) as u32;
            let data = (!endpoint.is_in()).then_some(data);
            self.record(urb, RecordKind::Submit, endpoint, (setup, IN_PROGRESS, length, data));
        }
        urb
    }

    /// The host did not take it.
    pub fn rejected(&self, urb: u64, buffer: &Buffer) {
        if self.taps.any.load(Ordering::Relaxed) {
            let endpoint = self.directed(self.parts(&buffer.bytes()).0);
            self.record(urb, RecordKind::Rejected, endpoint, (None, NOT_SUBMITTED, 0, None));
        }
    }

    pub fn completed(&self, urb: u64, completion: &Completion) {
        if self.taps.any.load(Ordering::Relaxed) {
            let bytes = completion.buffer.bytes();
            let (setup, data) = self.parts(&bytes);
            let endpoint = self.directed(setup);
            let moved = &data[..completion.actual.min(data.len())];
            let data = endpoint.is_in().then_some(moved);
            self.record(
                urb,
                RecordKind::Complete,
                endpoint,
                (None, errno(completion.status), moved.len() as u32, data),
            );
        }
    }

    fn record(
        &self,
        urb: u64,
        kind: RecordKind,
        endpoint: EndpointAddress,
        (setup, status, length, data): (Option<Setup>, i32, u32, Option<&[u8]>),
    ) {
        let Tap { transfer, bus, address, .. } = *self;
        self.taps.record(&Record { urb, kind, transfer, endpoint, bus, address, setup, status, length, data });
    }

    /// A control transfer's buffer begins with the request.
    fn parts<'a>(&self, buffer: &'a [u8]) -> (Option<Setup>, &'a [u8]) {
        match buffer.split_first_chunk::<{ Setup::BYTES }>() {
            Some((setup, data)) if self.transfer == TransferType::Control => (Some(Setup::from_bytes(*setup)), data),
            _ => (None, buffer),
        }
    }

    fn directed(&self, setup: Option<Setup>) -> EndpointAddress {
        match setup {
            Some(setup) => EndpointAddress(setup.request_type & 0x80),
            None => self.endpoint,
        }
    }
}

/// One capture. Its session reads it.
#[derive(Debug)]
pub(crate) struct Capture {
    sees: Sees,
    room: usize,
    state: Mutex<CaptureState>,
    _permit: CapturePermit,
}

/// Whose data a capture has.
#[derive(Debug, Clone, Copy)]
enum Sees {
    Everything,
    /// This user's, while nobody else has the scanner open.
    Of(u32),
    NoData,
}

#[derive(Debug, Default)]
struct CaptureState {
    blocks: VecDeque<Vec<u8>>,
    /// Of the first block, those that were read.
    read: usize,
    bytes: usize,
    recorded: u64,
    dropped: u64,
    /// Of those, not written down yet.
    unsaid: u64,
    over: bool,
    waiting: Option<Responder>,
}

impl Capture {
    /// One with room for so many bytes. Root, and the user whom the daemon runs as, may see everything; an unknown user
    /// sees no data at all.
    pub fn new(uid: Option<u32>, room: usize, permit: CapturePermit) -> Arc<Capture> {
        let own = rustix::process::geteuid().as_raw();
        let sees = match uid {
            Some(uid) if uid == 0 || uid == own => Sees::Everything,
            Some(uid) => Sees::Of(uid),
            None => Sees::NoData,
        };
        Arc::new(Capture { sees, room, state: Mutex::default(), _permit: permit })
    }

    /// How its file begins.
    pub fn beginning(interface: &str) -> Vec<u8> {
        pcapng::beginning(SERVER, interface)
    }

    fn may_see(&self, users: &[Option<u32>]) -> bool {
        match self.sees {
            Sees::Everything => true,
            Sees::Of(user) => users.iter().all(|other| *other == Some(user)),
            Sees::NoData => false,
        }
    }

    fn push(&self, record: &Record<'_>) {
        let now = now();
        let mut state = self.state.lock();
        if state.over {
            return;
        }
        // Reckoned before it is built: a slow client must not cost the scan a copy either.
        if state.bytes + record.data.map_or(0, <[u8]>::len) > self.room {
            state.dropped += 1;
            state.unsaid += 1;
            return;
        }
        let unsaid = std::mem::take(&mut state.unsaid);
        state.recorded += 1;
        state.put(pcapng::packet(record, now, unsaid));
        answer(state);
    }

    fn finish(&self) {
        let mut state = self.state.lock();
        if !std::mem::replace(&mut state.over, true) {
            let (recorded, dropped) = (state.recorded, state.dropped);
            state.put(pcapng::end(now(), recorded, dropped));
        }
        answer(state);
    }

    /// `read-capture`: answered as soon as there is something, with as much as one message carries. When it is over and
    /// everything was read, there is nothing.
    ///
    /// # Errors
    /// With the answer, when another one waits.
    pub fn read(&self, asked: Responder) -> Result<(), Responder> {
        let mut state = self.state.lock();
        if state.waiting.is_some() {
            return Err(asked);
        }
        state.waiting = Some(asked);
        answer(state);
        Ok(())
    }

    /// Answers the request that waits `cancelled`. Returns whether one did; `request` is `None` for all.
    pub fn leave(&self, request: Option<u64>) -> bool {
        let mut state = self.state.lock();
        let left = match request {
            Some(id) => state.waiting.take_if(|waiting| waiting.id() == id),
            None => state.waiting.take(),
        };
        drop(state);
        left.is_some()
    }
}

impl CaptureState {
    fn put(&mut self, block: Vec<u8>) {
        self.bytes += block.len();
        self.blocks.push_back(block);
    }

    fn take(&mut self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.bytes.min(PAYLOAD_LIMIT));
        while let Some(block) = self.blocks.front() {
            let left = &block[self.read..];
            let taken = left.len().min(PAYLOAD_LIMIT - bytes.len());
            bytes.extend_from_slice(&left[..taken]);
            self.read += taken;
            if self.read < block.len() {
                break;
            }
            self.blocks.pop_front();
            self.read = 0;
        }
        self.bytes -= bytes.len();
        bytes
    }
}

/// Answers the request that waits, if there is something to say; not under the lock.
fn answer(mut state: parking_lot::MutexGuard<'_, CaptureState>) {
    if state.bytes == 0 && !state.over {
        return;
    }
    let Some(waiting) = state.waiting.take() else { return };
    let (bytes, dropped) = (state.take(), state.dropped);
    let over = state.over && state.bytes == 0;
    drop(state);
    waiting.done_with_body_and_payload(&ReadCaptureBody { dropped, over }, Payload::from(bytes));
}

fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// The captures that there are: each user's.
pub(crate) type CaptureCounts = Mutex<HashMap<Option<u32>, usize>>;

/// The right to one capture of all that there may be, and of those that its user may have. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct CapturePermit {
    counts: Arc<CaptureCounts>,
    uid: Option<u32>,
}

impl CapturePermit {
    /// One more, if there are not `most` already, nor `most_of_user` of this user.
    ///
    /// # Errors
    /// [`Limit::Captures`], [`Limit::UserCaptures`].
    pub fn take(
        counts: &Arc<CaptureCounts>,
        uid: Option<u32>,
        most: usize,
        most_of_user: usize,
    ) -> Result<CapturePermit, Failure> {
        let mut all = counts.lock();
        if all.values().sum::<usize>() >= most {
            return Err(Failure::Limit(Limit::Captures(most)));
        }
        let of_user = all.entry(uid).or_default();
        if *of_user >= most_of_user {
            return Err(Failure::Limit(Limit::UserCaptures(most_of_user)));
        }
        *of_user += 1;
        drop(all);
        Ok(CapturePermit { counts: counts.clone(), uid })
    }
}

impl Drop for CapturePermit {
    fn drop(&mut self) {
        let mut all = self.counts.lock();
        let of_user = all.entry(self.uid).or_default();
        *of_user = of_user.saturating_sub(1);
        if *of_user == 0 {
            all.remove(&self.uid);
        }
    }
}

/// What the device says of itself, as the requests by which a host asks for it when it is plugged in: a reader of
/// the file finds the endpoints in it.
fn describe(capture: &Capture, info: &DeviceInfo, next_urb: impl Fn() -> u64) {
    let device = &info.descriptor;
    let strings = [
        (device.manufacturer_index, &info.manufacturer),
        (device.product_index, &info.product),
        (device.serial_index, &info.serial),
    ];
    let mut answers = vec![(Setup::get_descriptor(1, 0, 0, 18), device.to_bytes().to_vec())];
    if let Some(configuration) = &info.configuration {
        let bytes = configuration.to_bytes();
        answers.push((Setup::get_descriptor(2, 0, 0, bytes.len() as u16), bytes));
    }
    for (index, text) in strings {
        if let (1.., Some(text)) = (index, text) {
            answers.push((Setup::get_descriptor(3, index, LANGUAGE, 255), string_descriptor(text)));
        }
    }
    for (setup, bytes) in answers {
        let urb = next_urb();
        let asked = Record {
            urb,
            kind: RecordKind::Submit,
            transfer: TransferType::Control,
            endpoint: EndpointAddress(0x80),
            bus: info.location.bus,
            address: info.location.address,
            setup: Some(setup),
            status: IN_PROGRESS,
            length: setup.length.into(),
            data: None,
        };
        capture.push(&asked);
        let length = bytes.len() as u32;
        capture.push(&Record {
            kind: RecordKind::Complete,
            setup: None,
            status: 0,
            length,
            data: Some(&bytes),
            ..asked
        });
    }
}

fn string_descriptor(text: &str) -> Vec<u8> {
    let units: Vec<u16> = text.encode_utf16().take(126).collect();
    let mut bytes = vec![2 + 2 * units.len() as u8, 3];
    bytes.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nobody who runs tests.
    const ALICE: Option<u32> = Some(654_321);
    const BOB: Option<u32> = Some(654_322);

    #[test]
    fn a_user_has_his_share_of_the_captures_and_gets_it_back() {
        let counts: Arc<CaptureCounts> = Arc::default();
        let take = |uid| CapturePermit::take(&counts, uid, 3, 2);
        let (first, second) = (take(ALICE).expect("one"), take(ALICE).expect("two"));
        assert!(matches!(take(ALICE), Err(Failure::Limit(Limit::UserCaptures(2)))));
        let of_bob = take(BOB).expect("the third");
        assert!(matches!(take(BOB), Err(Failure::Limit(Limit::Captures(3)))), "there are no more of them");
        drop((first, of_bob));
        assert!(take(ALICE).is_ok());
        drop(second);
        assert!(counts.lock().is_empty(), "nobody is remembered who has none");
    }

    fn capture_of(uid: Option<u32>) -> (Tap, Arc<Capture>) {
        let taps: Arc<Taps> = Arc::default();
        let permit = CapturePermit::take(&Arc::default(), uid, 1, 1).unwrap();
        let capture = Capture::new(uid, 1 << 20, permit);
        taps.captures.lock().push(capture.clone());
        taps.any.store(true, Ordering::Relaxed);
        let endpoint = EndpointAddress(0x02);
        (Tap { taps, endpoint, transfer: TransferType::Bulk, bus: 1, address: 2 }, capture)
    }

    fn holds(capture: &Capture, bytes: &[u8]) -> bool {
        capture.state.lock().take().windows(bytes.len()).any(|window| window == bytes)
    }

    #[test]
    fn a_capture_has_its_users_data_and_nobody_elses() {
        let (tap, capture) = capture_of(ALICE);
        tap.taps.set_users(vec![ALICE, ALICE]);
        tap.submit(&b"a letter of alice".to_vec().into());
        assert!(holds(&capture, b"a letter of alice"));
        for users in [vec![BOB], vec![ALICE, BOB], vec![None], vec![ALICE, None]] {
            tap.taps.set_users(users);
            tap.submit(&b"a letter of bob".to_vec().into());
            assert!(!holds(&capture, b"a letter of bob"));
        }
        assert_eq!(capture.state.lock().recorded, 5, "that there was one is no secret");
    }

    #[test]
    fn root_captures_everybodys_data() {
        let (tap, capture) = capture_of(Some(0));
        tap.taps.set_users(vec![ALICE, BOB]);
        tap.submit(&b"a letter of bob".to_vec().into());
        assert!(holds(&capture, b"a letter of bob"));
    }
}
