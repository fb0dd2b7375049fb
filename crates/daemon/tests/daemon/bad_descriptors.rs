//! Devices that lie: about themselves in their descriptors, and on the wire. Whatever they say, each request ends in success
//! or in words, the daemon goes on, and an honest scanner beside them works.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use usbscan_daemon::{Config, Running};
use usbscan_usb::{
    Bus, Device, DeviceInfo, EndpointAddress, EndpointDescriptor, Error, InterfaceNumber, Location, TransferType, Watch,
};
use usbscan_virtual::{Descriptors, In, Loopback, Model, Out, VirtualBus};
use usbscan_wire::{Command, Pipe, Status};

use testkit::rig::{Client, DEADLINE, Rig, open};

/// How it answers a read.
type Answers = fn(&mut [u8]) -> In;

/// What it says of itself.
type Lie = fn(&mut Descriptors);

/// Says anything of itself, and takes everything.
struct Liar {
    descriptors: Descriptors,
    answers: Answers,
    /// So many times; then it says nothing.
    times: usize,
}

impl Liar {
    fn answer(&mut self, room: &mut [u8]) -> In {
        match self.times.checked_sub(1) {
            Some(left) => {
                self.times = left;
                (self.answers)(room)
            }
            None => In::Nak,
        }
    }
}

impl Model for Liar {
    fn descriptors(&self) -> &Descriptors {
        &self.descriptors
    }

    fn bulk_out(&mut self, _now: Instant, _endpoint: EndpointAddress, _packet: &[u8]) -> Out {
        Out::Ack
    }

    fn bulk_in(&mut self, _now: Instant, _endpoint: EndpointAddress, room: &mut [u8]) -> In {
        self.answer(room)
    }

    fn interrupt_in(&mut self, _now: Instant, _endpoint: EndpointAddress, room: &mut [u8]) -> In {
        self.answer(room)
    }
}

/// A packet that ends every read.
fn short(room: &mut [u8]) -> In {
    let n = room.len().min(3);
    room[..n].fill(b'!');
    In::Data(n)
}

/// Full packets without an end.
fn endless(room: &mut [u8]) -> In {
    room.fill(b'!');
    In::Data(room.len())
}

/// Empty packets, each of which ends a read.
fn empty(_room: &mut [u8]) -> In {
    In::Data(0)
}

/// An honest scanner, usbscan0, and beside it usbscan1, which lies so.
fn beside_an_honest_one(lie: impl FnOnce(&mut Descriptors), answers: Answers, times: usize) -> Rig {
    beside_an_honest_one_with(Config::default(), lie, answers, times)
}

fn beside_an_honest_one_with(
    config: Config,
    lie: impl FnOnce(&mut Descriptors),
    answers: Answers,
    times: usize,
) -> Rig {
    let rig = Rig::with(config, &["loopback"]);
    let mut descriptors = Loopback::with_serial("LIAR").descriptors().clone();
    lie(&mut descriptors);
    rig.bus.plug(Box::new(Liar { descriptors, answers, times }));
    rig
}

fn listed(client: &mut Client) -> usize {
    let list: usbscan_wire::ListBody =
        client.done(Command::List { device: None, descriptors: false }).body().expect("a list");
    list.devices.len()
}

/// The daemon lists what is plugged in when it hears of it; the first question may come before that.
fn is_a_scanner(client: &mut Client) -> bool {
    let hung = Instant::now() + DEADLINE;
    while listed(client) < 2 {
        if Instant::now() > hung {
            return false;
        }
        std::thread::yield_now();
    }
    true
}

/// Everything that a client can ask of a scanner, with short deadlines.
fn questions() -> Vec<(Command, Vec<u8>)> {
    let timeout = Some(0.05);
    let descriptor = |descriptor_type| Command::UsbDescriptor { descriptor_type, index: 0, language: 0 };
    vec![
        (Command::PipeConfiguration {}, vec![]),
        (Command::ChannelSizes {}, vec![]),
        (Command::DeviceDescriptor {}, vec![]),
        (descriptor(1), vec![]),
        (descriptor(2), vec![]),
        (descriptor(3), vec![]),
        (Command::Write { endpoint: None, offset: None, length: 0, zero_packet: false, timeout }, vec![7; 1000]),
        (Command::Write { endpoint: None, offset: None, length: 0, zero_packet: true, timeout }, vec![7; 1024]),
        (Command::Read { endpoint: None, offset: None, length: 1, return_partial: true, timeout }, vec![]),
        (Command::Read { endpoint: None, offset: None, length: 100_000, return_partial: false, timeout }, vec![]),
        (Command::WaitEvent { endpoint: None, timeout }, vec![]),
        (Command::ResetPipe { pipe: Some(Pipe::Read), endpoint: None }, vec![]),
        (Command::CancelPipe { pipe: Some(Pipe::Read), endpoint: None, device: None }, vec![]),
        (Command::CancelPending { device: None }, vec![]),
        (Command::ResetDevice { device: None }, vec![]),
        (Command::Status { device: None }, vec![]),
        (Command::Close {}, vec![]),
    ]
}

fn is_said(client: &mut Client, command: Command, payload: Vec<u8>, what: &str) -> bool {
    let name = command.name();
    let answer = client.call_with(command, payload);
    let message = answer.message.clone().unwrap_or_default();
    assert!(answer.status == Status::Success || !message.is_empty(), "{what}: {name}: {:?} in no words", answer.status);
    answer.status == Status::Success
}

fn honest_one_works(rig: &Rig, what: &str) {
    let mut client = rig.open();
    client.write_all(what.as_bytes());
    assert_eq!(client.read_all(what.len() as u32), what.as_bytes());
}

fn endpoints(of: &mut Descriptors) -> &mut Vec<EndpointDescriptor> {
    &mut of.configuration.interfaces[0].endpoints
}

/// What a device may say of itself, by name.
fn lies() -> Vec<(&'static str, Lie)> {
    vec![
        ("packets of no bytes", |of| endpoints(of).iter_mut().for_each(|e| e.max_packet_size = 0)),
        ("packets of one byte", |of| endpoints(of).iter_mut().for_each(|e| e.max_packet_size = 1)),
        ("packets of 65535 bytes", |of| endpoints(of).iter_mut().for_each(|e| e.max_packet_size = u16::MAX)),
        ("packets of no bytes for control", |of| of.device.max_packet_size_0 = 0),
        ("packets of 255 bytes for control", |of| of.device.max_packet_size_0 = 255),
        ("no endpoints", |of| endpoints(of).clear()),
        ("only a way in", |of| endpoints(of).truncate(1)),
        ("one address for all endpoints", |of| {
            endpoints(of).iter_mut().for_each(|e| e.address = EndpointAddress(0x81));
        }),
        ("endpoint zero as a bulk endpoint", |of| endpoints(of)[0].address = EndpointAddress(0x80)),
        ("addresses with all bits", |of| endpoints(of)[0].address = EndpointAddress(0xff)),
        ("isochronous endpoints", |of| {
            endpoints(of).iter_mut().for_each(|e| e.transfer_type = TransferType::Isochronous);
        }),
        ("control endpoints", |of| endpoints(of).iter_mut().for_each(|e| e.transfer_type = TransferType::Control)),
        ("a thousand endpoints", |of| {
            let first = endpoints(of)[0];
            endpoints(of)
                .extend((0..1000_u32).map(|n| EndpointDescriptor { address: EndpointAddress(n as u8), ..first }));
        }),
        ("256 interfaces with one number", |of| {
            let first = of.configuration.interfaces[0].clone();
            of.configuration.interfaces.extend((0..=255).map(|n| {
                let mut other = first.clone();
                other.alternate = n;
                other
            }));
        }),
        ("an interface that can't be", |of| {
            of.configuration.interfaces[0].number = InterfaceNumber(255);
            of.configuration.interfaces[0].alternate = 255;
        }),
        ("names without an end", |of| {
            of.manufacturer = "\u{7}\n\"".repeat(10_000);
            of.product = "\u{202e}\u{0}x".repeat(10_000);
            of.serial = Some("../\n ".repeat(10_000));
        }),
        ("no names", |of| {
            of.manufacturer.clear();
            of.product.clear();
            of.serial = Some(String::new());
        }),
    ]
}

#[test]
fn descriptors_that_lie_end_in_words_and_harm_nobody_else() {
    for (what, lie) in lies() {
        let rig = beside_an_honest_one(lie, short, 4);
        let mut client = rig.client();
        assert!(is_a_scanner(&mut client), "{what}: it has the class of a scanner");
        if is_said(&mut client, open("usbscan1"), Vec::new(), what) {
            for (command, payload) in questions() {
                is_said(&mut client, command, payload, what);
            }
        }
        is_said(&mut client, Command::Status { device: None }, Vec::new(), what);
        honest_one_works(&rig, what);
        assert!(rig.daemon.stop(DEADLINE), "{what}: all threads end");
    }
}

#[test]
fn a_stream_without_an_end_gives_what_was_asked_for_and_is_given_up_when_its_reader_dies() {
    // A drain of what has no end takes as long as it may.
    let mut config = Config::default();
    (config.recovery.total, config.recovery.longest_drain) = (Duration::from_millis(200), Duration::from_millis(500));
    let rig = beside_an_honest_one_with(config, |_| (), endless, usize::MAX);
    let mut client = rig.client();
    assert!(is_a_scanner(&mut client));
    client.open("usbscan1");
    for length in [1, 511, 512, 100_000, 1 << 20] {
        assert_eq!(client.read_all(length), vec![b'!'; length as usize]);
    }
    is_said(&mut client, Command::CancelPending { device: None }, Vec::new(), "a stream without an end");
    let _never_answered = client.read(1 << 20);
    drop(client);
    // Its job is aborted, which can't drain it; whoever comes next is told, or served.
    let mut next = rig.client();
    if is_said(&mut next, open("usbscan1"), Vec::new(), "after a death") {
        is_said(
            &mut next,
            Command::Read { endpoint: None, offset: None, length: 4096, return_partial: true, timeout: None },
            Vec::new(),
            "after a death",
        );
    }
    honest_one_works(&rig, "beside a stream without an end");
}

#[test]
fn babble_rubbish_and_stalls_are_errors_in_words_until_they_end() {
    let wrong: [(&str, Answers); 3] =
        [("babble", |_| In::Babble), ("rubbish", |_| In::Garbled), ("stalls", |_| In::Stall)];
    for (what, answers) in wrong {
        let rig = beside_an_honest_one(|_| (), answers, usize::MAX);
        let mut client = rig.client();
        assert!(is_a_scanner(&mut client));
        client.open("usbscan1");
        for _ in 0..3 {
            let read =
                Command::Read { endpoint: None, offset: None, length: 4096, return_partial: false, timeout: None };
            assert!(!is_said(&mut client, read, Vec::new(), what), "{what}");
            is_said(&mut client, Command::ResetPipe { pipe: Some(Pipe::Read), endpoint: None }, Vec::new(), what);
        }
        is_said(&mut client, Command::WaitEvent { endpoint: None, timeout: Some(0.05) }, Vec::new(), what);
        is_said(&mut client, Command::CancelPending { device: None }, Vec::new(), what);
        honest_one_works(&rig, what);
    }
}

#[test]
fn however_many_scanners_have_however_long_names_they_are_listed_in_a_header_that_clients_take() {
    // More than a header holds with all that they say of themselves.
    const MANY: usize = 40;
    let rig = Rig::new(&["loopback"]);
    for number in 0..MANY {
        let mut descriptors = Loopback::with_serial("LIAR").descriptors().clone();
        descriptors.manufacturer = "\u{7}".repeat(126);
        descriptors.product = "\u{7}".repeat(126);
        descriptors.serial = Some(format!("{number:x<126}"));
        rig.bus.plug(Box::new(Liar { descriptors, answers: short, times: 0 }));
    }
    let mut client = rig.client();
    let hung = Instant::now() + DEADLINE;
    // Its reader takes no longer header than any client does.
    while listed(&mut client) <= MANY {
        assert!(Instant::now() < hung, "all of them are listed");
        std::thread::yield_now();
    }
    let status: usbscan_wire::StatusBody = client.done(Command::Status { device: None }).body().expect("a status");
    assert_eq!(status.devices.len(), MANY + 1);
    honest_one_works(&rig, "beside many");
}

#[test]
fn empty_packets_without_an_end_end_each_read_and_hold_up_no_cancel_and_no_death() {
    let rig = beside_an_honest_one(|_| (), empty, usize::MAX);
    let mut client = rig.client();
    assert!(is_a_scanner(&mut client));
    client.open("usbscan1");
    for length in [1, 512, 1 << 20] {
        assert_eq!(client.read_all(length), b"");
    }
    is_said(&mut client, Command::CancelPending { device: None }, Vec::new(), "empty packets");
    let _never_answered = client.read(1 << 20);
    drop(client);
    let mut next = rig.client();
    is_said(&mut next, open("usbscan1"), Vec::new(), "after a death");
    honest_one_works(&rig, "beside empty packets");
    assert!(rig.daemon.stop(DEADLINE), "all threads end");
}

/// Interrupt packets without an end; counts those that were taken.
struct Chatterer {
    descriptors: Descriptors,
    taken: Arc<AtomicUsize>,
}

impl Model for Chatterer {
    fn descriptors(&self) -> &Descriptors {
        &self.descriptors
    }

    fn bulk_out(&mut self, _now: Instant, _endpoint: EndpointAddress, _packet: &[u8]) -> Out {
        Out::Ack
    }

    fn bulk_in(&mut self, _now: Instant, _endpoint: EndpointAddress, room: &mut [u8]) -> In {
        short(room)
    }

    fn interrupt_in(&mut self, _now: Instant, _endpoint: EndpointAddress, room: &mut [u8]) -> In {
        self.taken.fetch_add(1, Ordering::SeqCst);
        short(room)
    }
}

#[test]
fn interrupt_packets_in_a_flood_are_taken_while_somebody_listens_and_by_nobody_else() {
    const LISTENED: usize = 200;
    let rig = Rig::new(&["loopback"]);
    let taken = Arc::new(AtomicUsize::new(0));
    let descriptors = Loopback::with_serial("LIAR").descriptors().clone();
    rig.bus.plug(Box::new(Chatterer { descriptors, taken: taken.clone() }));
    let mut client = rig.client();
    assert!(is_a_scanner(&mut client));
    client.open("usbscan1");
    // Nobody listens: whatever is read meanwhile, the flood stays in the device.
    for _ in 0..100 {
        client.read_all(512);
    }
    assert_eq!(taken.load(Ordering::SeqCst), 0);
    for _ in 0..LISTENED {
        let event = client.done(Command::WaitEvent { endpoint: None, timeout: None });
        assert_eq!(event.payload, &b"!!!"[..]);
    }
    for _ in 0..100 {
        client.read_all(512);
    }
    assert_eq!(taken.load(Ordering::SeqCst), LISTENED, "a packet a question");
    honest_one_works(&rig, "beside a flood");
}

/// A bus whose one device says something else of itself each time that it is listed, and is what it was when it is opened.
struct Shifty {
    bus: VirtualBus,
    listed: AtomicUsize,
}

impl Bus for Shifty {
    fn name(&self) -> &str {
        "shifty"
    }

    fn list(&self) -> Result<Vec<DeviceInfo>, Error> {
        let mut devices = self.bus.list()?;
        let nth = self.listed.fetch_add(1, Ordering::SeqCst);
        for info in &mut devices {
            let interface = info.configuration.as_mut().map(|configuration| &mut configuration.interfaces[0]);
            match (nth % 6, interface) {
                (1, Some(interface)) => interface.endpoints.iter_mut().for_each(|e| e.address.0 ^= 0x07),
                (2, Some(interface)) => interface.number = InterfaceNumber(7),
                (3, Some(interface)) => interface.endpoints.clear(),
                (4, _) => info.configuration = None,
                (5, _) => info.serial = Some(format!("SHIFTY{nth}")),
                _ => {}
            }
        }
        Ok(devices)
    }

    fn descriptors(&self, location: &Location) -> Option<Vec<u8>> {
        self.bus.descriptors(location)
    }

    fn open(&self, location: &Location) -> Result<Box<dyn Device>, Error> {
        self.bus.open(location)
    }

    fn watch(&self, bell: Sender<()>) -> Result<Box<dyn Watch>, Error> {
        self.bus.watch(bell)
    }
}

#[test]
fn a_device_that_says_something_else_of_itself_at_each_look_ends_in_words_and_harms_nobody_else() {
    const LOOKS: usize = 24;
    let (bus, other) = (VirtualBus::new(), VirtualBus::new());
    bus.plug_spec("loopback,serial=SHIFTY").expect("there is one");
    other.plug_spec("loopback,serial=HONEST").expect("there is one");
    let shifty = Arc::new(Shifty { bus, listed: AtomicUsize::new(0) });
    let daemon = Running::start(Config::default(), vec![shifty.clone(), Arc::new(other)]).expect("the daemon starts");
    let client = || Client::new(daemon.connect().expect("a connection"));
    let hung = Instant::now() + DEADLINE;
    while shifty.listed.load(Ordering::SeqCst) < LOOKS {
        assert!(Instant::now() < hung, "it looks when it is told to");
        // Reads the configuration again, and looks.
        daemon.reconfigure(Config::default());
        let mut client = client();
        let list: usbscan_wire::ListBody =
            client.done(Command::List { device: None, descriptors: false }).body().expect("a list");
        let others = list.devices.iter().filter(|device| !device.stable_id.ends_with("HONEST"));
        let Some(name) = others.map(|device| device.name.clone()).next() else { continue };
        let what = format!("{:?}", list.devices);
        if is_said(&mut client, open(&name), Vec::new(), &what) {
            for (command, payload) in questions() {
                is_said(&mut client, command, payload, &what);
            }
        }
    }
    let mut good = client();
    good.open("1209:0001:HONEST");
    good.write_all(b"unharmed");
    assert_eq!(good.read_all(512), b"unharmed");
    assert!(daemon.stop(DEADLINE), "all threads end");
}
