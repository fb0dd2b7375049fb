//! A daemon with a loopback device, and a client that sends whatever sequence of requests the input says: reads, writes,
//! cancels of every kind, resets, closes, ids used twice. Each is answered once, and the daemon goes on.

use std::collections::BTreeMap;
use std::io::{BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use usbscan_daemon::quirks::Table;
use usbscan_daemon::{Config, Running};
use usbscan_virtual::VirtualBus;
use usbscan_wire::{Command, ControlDirection, DAEMON_HEADER_LIMIT, FromDaemon, Pipe, Request, read_frame};

/// The loopback device, whose silence is over at once.
const HASTY: &str = r#"
vendor = "1209"
manufacturer = "pid.codes"
[[model]]
product = "0001"
name = "loopback"
notes = "Sends nothing of itself."
drain_ms = 1
"#;
/// What one input may hold.
const MOST: usize = 64;
/// A request without an answer by then gets none.
const DEADLINE: Duration = Duration::from_secs(20);

pub fn requests(bytes: &[u8]) {
    static DAEMON: OnceLock<Running> = OnceLock::new();
    let daemon = DAEMON.get_or_init(|| {
        let bus = VirtualBus::new();
        bus.plug_spec("loopback").expect("there is one");
        // A client that leaves in the middle has the scanner drained: else nearly all of the time is waited for its silence.
        let mut models = Table::default();
        models.add(Path::new("fuzz.toml"), HASTY).expect("a good table");
        Running::start(Config { queue_depth: 2, models, ..Config::default() }, vec![Arc::new(bus)]).expect("it starts")
    });
    let mut stream = daemon.connect().expect("a connection");
    stream.set_read_timeout(Some(DEADLINE)).expect("a deadline");
    let sent = send(&mut stream, bytes);
    stream.shutdown(std::net::Shutdown::Write).expect("it is connected");
    assert_eq!(answers(&stream), sent, "each id is answered as often as it was sent");
}

fn send(stream: &mut UnixStream, bytes: &[u8]) -> BTreeMap<u64, usize> {
    let mut sent = BTreeMap::new();
    let open = Command::Open {
        device: "usbscan0".to_owned(),
        event: None,
        read: None,
        write: None,
        interface: None,
        faults: usbscan_wire::Faults::Freeze,
    };
    let commands = std::iter::once((1, open, Vec::new())).chain(bytes.chunks_exact(2).take(MOST).map(understand));
    for (id, command, payload) in commands {
        let mut message = Vec::new();
        Request { id, command, payload }.write_to(&mut message).expect("a vector takes all");
        stream.write_all(&message).expect("the daemon reads");
        *sent.entry(id).or_insert(0) += 1;
    }
    sent
}

/// Two bytes are a request: what it is, and a number that it takes.
fn understand(pair: &[u8]) -> (u64, Command, Vec<u8>) {
    let (kind, number) = (pair[0] % 16, pair[1]);
    let id = u64::from(number % 32) + 2;
    let pipe = [Pipe::Read, Pipe::Write, Pipe::Event, Pipe::All][usize::from(number % 4)];
    let length = u32::from(number) * 37;
    let command = match kind {
        0..=2 => Command::Read { endpoint: None, offset: None, length, return_partial: number % 2 == 0, timeout: None },
        3 => Command::Read { endpoint: None, offset: None, length, return_partial: false, timeout: Some(0.001) },
        4 | 5 => {
            return (
                id,
                Command::Write { endpoint: None, offset: None, length: 0, zero_packet: number % 2 == 0, timeout: None },
                vec![number; length as usize],
            );
        }
        6 => Command::WaitEvent { endpoint: None, timeout: None },
        7 | 8 => Command::CancelRequest { request: u64::from(number / 8) + 2, session: None },
        9 => Command::CancelPipe { pipe: Some(pipe), endpoint: None, device: None },
        10 => Command::CancelPending { device: None },
        11 => Command::CancelSession { session: None },
        12 => Command::ResetPipe { pipe: Some(pipe), endpoint: None },
        13 => {
            let (kind, recipient) = Default::default();
            let (direction, value) = (ControlDirection::Out, u16::from(number));
            let request = 0x10 + number % 6;
            Command::UsbRequest { request, value, index: 0, direction, length: 0, kind, recipient, timeout: None }
        }
        14 => Command::Close {},
        _ => Command::Open {
            device: "usbscan0".to_owned(),
            event: None,
            read: None,
            write: None,
            interface: None,
            faults: usbscan_wire::Faults::Freeze,
        },
    };
    (id, command, Vec::new())
}

fn answers(stream: &UnixStream) -> BTreeMap<u64, usize> {
    let mut answered = BTreeMap::new();
    let mut reader = BufReader::new(stream);
    while let Some(frame) = read_frame(&mut reader, DAEMON_HEADER_LIMIT).expect("messages, until the end, in time") {
        if let FromDaemon::Answer(answer) = FromDaemon::from_frame(frame).expect("a message of the protocol") {
            *answered.entry(answer.id.expect("ids are whole numbers")).or_insert(0) += 1;
        }
    }
    answered
}
