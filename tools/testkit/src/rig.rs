//! A daemon in this process with virtual scanners, and a client that sees every message in the order in which it came.

use std::collections::VecDeque;
use std::io::{BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use usbscan_daemon::{Config, Running};
use usbscan_shm::Received;
use usbscan_usb::Bus;
use usbscan_virtual::VirtualBus;
use usbscan_wire::{
    Answer, Command, ControlDirection, DAEMON_HEADER_LIMIT, DeviceStatus, Event, FromDaemon, ListBody, Request, Status,
    StatusBody, read_frame,
};

use crate::kernel::{self, Plugged};
use crate::shared::{ClientMemory, FdReader};

/// How long anything may take before it counts as hung.
pub const DEADLINE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub struct Rig {
    pub bus: VirtualBus,
    pub daemon: Running,
    /// Its scanner, where that is at a kernel's host controller and not on the bus in this process. Pulled out last.
    plugged: Option<Plugged>,
}

impl Rig {
    /// A daemon as an empty configuration file makes it.
    pub fn new(scanners: &[&str]) -> Rig {
        Rig::with(Config::default(), scanners)
    }

    pub fn with(config: Config, scanners: &[&str]) -> Rig {
        let bus = VirtualBus::new();
        for scanner in scanners {
            bus.plug_spec(scanner).expect("a description of a virtual scanner");
        }
        let daemon = Running::start(config, vec![Arc::new(bus.clone())]).expect("the daemon starts");
        Rig { bus, daemon, plugged: None }
    }

    /// With a loopback device, where the environment says so at this machine's kernel; see kernel.rs.
    pub fn anywhere(depth: usize) -> Rig {
        let Some(plugged) = kernel::plug_where_told() else { return Rig::depth(depth) };
        let config = Config { queue_depth: depth, ..Config::default() };
        let libusb = usbscan_libusb::LibusbBus::new().expect("libusb is new enough");
        let daemon = Running::start(config, vec![Arc::new(libusb)]).expect("the daemon starts");
        let rig = Rig { bus: VirtualBus::new(), daemon, plugged: Some(plugged) };
        rig.client().until_listed("usbscan0");
        rig
    }

    /// Whether the scanner is a gadget: its controller, dummy_hcd, keeps an IN packet of up to 64 bytes that nobody has
    /// read yet in a FIFO, and neither the gadget nor the host can empty that.
    pub fn has_a_fifo(&self) -> bool {
        self.plugged.as_ref().is_some_and(|plugged| plugged.is_gadget)
    }

    /// Whether the scanner is at this machine's kernel.
    pub fn is_at_a_kernel(&self) -> bool {
        self.plugged.is_some()
    }

    pub fn depth(depth: usize) -> Rig {
        Rig::with(Config { queue_depth: depth, ..Config::default() }, &["loopback"])
    }

    pub fn client(&self) -> Client {
        Client::new(self.daemon.connect().expect("a connection"))
    }

    /// A client of another user: of this number, or of one whom the kernel does not know.
    pub fn client_as(&self, uid: Option<u32>) -> Client {
        Client::new(self.daemon.connect_as(uid).expect("a connection"))
    }

    /// A client that has the first scanner open.
    pub fn open(&self) -> Client {
        let mut client = self.client();
        client.open("usbscan0");
        client
    }

    pub fn unplug(&self, at: usize) {
        let location = self.bus.list().expect("the bus lists")[at].location.clone();
        assert!(self.bus.unplug(&location));
    }
}

#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    reader: BufReader<FdReader>,
    shared: Option<ClientMemory>,
    /// The connection's number.
    pub session: u64,
    next_id: u64,
    /// Answers that nobody has asked for yet, in the order in which they came.
    answers: VecDeque<Answer>,
    events: VecDeque<Event>,
    /// The ids of all answers so far, in the order in which they came.
    pub order: Vec<u64>,
}

impl Client {
    pub fn new(stream: UnixStream) -> Client {
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        let reader = BufReader::new(FdReader::new(stream.try_clone().expect("a clone")));
        let (answers, events, order) = (VecDeque::new(), VecDeque::new(), Vec::new());
        let mut client = Client { stream, reader, shared: None, session: 0, next_id: 1, answers, events, order };
        match client.event() {
            // No two sessions of a daemon have requests of one number: what is waited for is nobody else's.
            Event::Hello { session, .. } => (client.session, client.next_id) = (session, session * 10_000 + 1),
            other => panic!("the daemon speaks first: {other:?}"),
        }
        client
    }

    pub fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// From now on its reads and writes go through memory that it shares with the daemon.
    pub fn share(&mut self, length: u32) {
        self.done(Command::ShareMemory { length });
        let received = self.received().expect("its descriptor comes with the answer");
        self.shared = Some(ClientMemory::new(received, length as usize));
    }

    /// The descriptor that came along, if one came that nobody has taken.
    pub fn descriptor(&mut self) -> Option<OwnedFd> {
        self.received().map(Received::into_descriptor)
    }

    /// The same, with what is known of its sender.
    pub fn received(&mut self) -> Option<Received> {
        self.reader.get_mut().descriptor.take()
    }

    // ---- saying

    pub fn send(&mut self, command: Command) -> u64 {
        self.send_with(command, Vec::new())
    }

    pub fn send_with(&mut self, command: Command, payload: Vec<u8>) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.send_as(id, command, payload);
        id
    }

    pub fn send_as(&mut self, id: u64, command: Command, payload: Vec<u8>) {
        let (command, payload) = match &mut self.shared {
            Some(shared) => shared.through(id, command, payload),
            None => (command, payload),
        };
        let mut bytes = Vec::new();
        Request { id, command, payload }.write_to(&mut bytes).expect("a vector takes all");
        self.stream.write_all(&bytes).expect("the daemon reads");
    }

    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the daemon reads");
    }

    pub fn read(&mut self, length: u32) -> u64 {
        self.send(Command::Read { endpoint: None, offset: None, length, return_partial: false, timeout: None })
    }

    pub fn write(&mut self, bytes: &[u8]) -> u64 {
        self.send_with(
            Command::Write { endpoint: None, offset: None, length: 0, zero_packet: false, timeout: None },
            bytes.to_vec(),
        )
    }

    // ---- hearing

    /// The next message; `None` at the end of the connection.
    pub fn hear(&mut self) -> Option<FromDaemon> {
        let frame = read_frame(&mut self.reader, DAEMON_HEADER_LIMIT).expect("a message in time")?;
        let mut message = FromDaemon::from_frame(frame).expect("a message of the protocol");
        if let FromDaemon::Answer(answer) = &mut message {
            self.order.extend(answer.id);
            self.shared.iter_mut().for_each(|shared| shared.fill(answer));
        }
        Some(message)
    }

    fn fetch(&mut self) {
        match self.hear().expect("the connection goes on") {
            FromDaemon::Answer(answer) => self.answers.push_back(answer),
            FromDaemon::Event(event) => self.events.push_back(event),
        }
    }

    pub fn answer(&mut self, id: u64) -> Answer {
        loop {
            if let Some(at) = self.answers.iter().position(|answer| answer.id == Some(id)) {
                return self.answers.remove(at).expect("it is there");
            }
            self.fetch();
        }
    }

    pub fn event(&mut self) -> Event {
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            self.fetch();
        }
    }

    /// Whether such an event is there already, likewise.
    pub fn has_event(&self, fits: impl Fn(&Event) -> bool) -> bool {
        self.events.iter().any(fits)
    }

    /// Whether an answer is there already, without waiting for the daemon to say anything.
    pub fn has(&self, id: u64) -> bool {
        self.answers.iter().any(|answer| answer.id == Some(id))
    }

    // ---- both

    pub fn call(&mut self, command: Command) -> Answer {
        let id = self.send(command);
        self.answer(id)
    }

    pub fn call_with(&mut self, command: Command, payload: Vec<u8>) -> Answer {
        let id = self.send_with(command, payload);
        self.answer(id)
    }

    /// A command that succeeds.
    pub fn done(&mut self, command: Command) -> Answer {
        let name = command.name();
        let answer = self.call(command);
        assert_eq!(answer.status, Status::Success, "{name}: {:?}", answer.message);
        answer
    }

    pub fn open(&mut self, device: &str) -> Answer {
        self.done(open(device))
    }

    pub fn write_all(&mut self, bytes: &[u8]) {
        let id = self.write(bytes);
        let answer = self.answer(id);
        assert_eq!((answer.status, answer.information), (Status::Success, bytes.len() as u64), "{:?}", answer.message);
    }

    pub fn read_all(&mut self, length: u32) -> Vec<u8> {
        let id = self.read(length);
        let answer = self.answer(id);
        assert_eq!(answer.status, Status::Success, "{:?}", answer.message);
        answer.payload.into()
    }

    /// How many requests were answered; each once if these are as many as there were answers.
    pub fn distinct(&self) -> usize {
        self.order.iter().collect::<std::collections::BTreeSet<_>>().len()
    }

    /// Asks `look` again and again until it says that something is so: for what the daemon tells nobody unasked. Each answer
    /// is the event that is waited for. `look` says what it saw instead.
    pub fn until(&mut self, mut look: impl FnMut(&mut Client) -> Result<(), String>) {
        let hung = Instant::now() + DEADLINE;
        while let Err(seen) = look(self) {
            assert!(Instant::now() < hung, "never came to it: {seen}");
            std::thread::yield_now();
        }
    }

    /// What `status` says of the first scanner.
    pub fn status(&mut self) -> DeviceStatus {
        let body: StatusBody =
            self.done(Command::Status { device: Some("usbscan0".to_owned()) }).body().expect("a status");
        body.devices.into_iter().next().expect("the one that was asked for")
    }

    /// Waits until the pipes have these requests.
    pub fn until_pending(&mut self, wanted: &[(u64, &str)]) {
        self.until(|client| {
            let pipes = client.status().pipes;
            let pending: Vec<(u64, &str)> = pipes
                .iter()
                .flat_map(|pipe| &pipe.pending)
                .map(|request| (request.request, request.state.as_str()))
                .collect();
            match wanted.iter().all(|request| pending.contains(request)) {
                true => Ok(()),
                false => Err(format!("{wanted:?}, but {pending:?}")),
            }
        });
    }

    /// Waits until what the loopback had to say has gone into the read that is in flight: it carries a control request out
    /// after what it had to do before.
    pub fn until_the_device_has_caught_up(&mut self) {
        self.done(vendor(COUNT, ControlDirection::In, 0, 1));
    }

    /// Waits until so many sessions have the first scanner open.
    pub fn until_sessions(&mut self, count: usize) {
        self.until(|client| {
            let sessions = client.status().sessions;
            if sessions.len() == count { Ok(()) } else { Err(format!("{sessions:?}")) }
        });
    }

    /// Waits until the daemon lists a scanner of this name or stable id.
    pub fn until_listed(&mut self, name: &str) {
        self.until(|client| {
            let list: ListBody =
                client.done(Command::List { device: None, descriptors: false }).body().expect("a list");
            match list.devices.iter().any(|device| device.name == name || device.stable_id == name) {
                true => Ok(()),
                false => Err(format!("{name} is not among {:?}", list.devices)),
            }
        });
    }

    /// The connection is at its end: everything that was underway has been said.
    pub fn hear_the_end(&mut self) -> Vec<FromDaemon> {
        std::iter::from_fn(|| self.hear()).collect()
    }
}

pub fn open(device: &str) -> Command {
    Command::Open {
        device: device.to_owned(),
        event: None,
        read: None,
        write: None,
        interface: None,
        faults: usbscan_wire::Faults::Freeze,
    }
}

/// A vendor request of the loopback device, see its model.
pub fn vendor(request: u8, direction: ControlDirection, value: u16, length: u16) -> Command {
    let (kind, recipient) = Default::default();
    Command::UsbRequest { request, value, index: 0, direction, length, kind, recipient, timeout: None }
}

pub fn vendor_out(request: u8, value: u16) -> Command {
    vendor(request, ControlDirection::Out, value, 0)
}

/// Makes its data an interrupt packet.
pub const EVENT: u8 = 0x10;
/// Halts an endpoint.
pub const HALT: u8 = 0x11;
/// Answers bytes that count up.
pub const COUNT: u8 = 0x12;
/// Is never answered.
pub const HANG: u8 = 0x13;
/// Queues KiB of pattern on bulk-in.
pub const PATTERN: u8 = 0x15;
/// Answers how often the halt of an endpoint was cleared.
pub const HALTS_CLEARED: u8 = 0x17;
