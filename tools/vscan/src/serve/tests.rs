//! A USB/IP client without a kernel, over a pair of sockets.

use std::os::unix::net::UnixStream;
use std::time::Duration;

use crossbeam_channel::bounded;
use usbscan_usb::{Direction, Setup};
use usbscan_virtual::{Loopback, spec};

use super::*;

const NO_SETUP: Setup = Setup { request_type: 0, request: 0, value: 0, index: 0, length: 0 };
/// How long anything may take before it counts as hung.
const DEADLINE: Duration = Duration::from_secs(60);

struct UsbipClient {
    socket: UnixStream,
    served: Served<UnixStream>,
    over: Receiver<()>,
}

#[derive(Debug, PartialEq, Eq)]
enum Answered {
    Submit { sequence: u32, status: i32, data: Vec<u8>, actual: u32 },
    Unlink { sequence: u32, status: i32 },
}

impl UsbipClient {
    fn new(model: Box<dyn Model>) -> UsbipClient {
        let (socket, theirs) = UnixStream::pair().expect("a pair of sockets");
        socket.set_read_timeout(Some(DEADLINE)).expect("a deadline");
        let (tell, over) = bounded(1);
        let over_is_told = move |_moved| tell.send(()).expect("the test listens");
        let served = Served::start(model, theirs, over_is_told).expect("it serves");
        UsbipClient { socket, served, over }
    }

    fn send(&mut self, words: [u32; 10], setup: Setup, data: &[u8]) {
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        bytes.extend(setup.to_bytes());
        bytes.extend(data);
        self.socket.write_all(&bytes).expect("the server listens");
    }

    fn read(&mut self, sequence: u32, endpoint: u32, length: u32) {
        self.send([1, sequence, 1, 1, endpoint, 0, length, 0, 0, 0], NO_SETUP, &[]);
    }

    fn write(&mut self, sequence: u32, data: &[u8]) {
        self.send([1, sequence, 1, 0, 2, 0, data.len() as u32, 0, 0, 0], NO_SETUP, data);
    }

    fn vendor_out(&mut self, sequence: u32, request: u8, value: u16) {
        let setup = Setup::vendor(Direction::Out, request, value, 0, 0);
        self.send([1, sequence, 1, 0, 0, 0, 0, 0, 0, 0], setup, &[]);
    }

    fn unlink(&mut self, sequence: u32, victim: u32) {
        self.send([2, sequence, 1, 0, 0, victim, 0, 0, 0, 0], NO_SETUP, &[]);
    }

    /// The next answer; `carries` says whether data follows an answer to this transfer.
    fn answer(&mut self, carries: impl Fn(u32) -> bool) -> Answered {
        let mut header = [0; HEADER];
        self.socket.read_exact(&mut header).expect("an answer");
        let word = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let (sequence, status, actual) = (word(4), word(20) as i32, word(24));
        match word(0) {
            3 => {
                let mut data = vec![0; if carries(sequence) { actual as usize } else { 0 }];
                self.socket.read_exact(&mut data).expect("its data");
                Answered::Submit { sequence, status, data, actual }
            }
            4 => Answered::Unlink { sequence, status },
            other => panic!("an answer of type {other}"),
        }
    }

    fn expect_in(&mut self, sequence: u32, status: i32, data: &[u8]) {
        let expected = Answered::Submit { sequence, status, data: data.to_vec(), actual: data.len() as u32 };
        assert_eq!(self.answer(|_| true), expected);
    }

    fn expect_out(&mut self, sequence: u32, status: i32, actual: u32) {
        assert_eq!(self.answer(|_| false), Answered::Submit { sequence, status, data: Vec::new(), actual });
    }

    fn expect_unlinked(&mut self, sequence: u32) {
        assert_eq!(self.answer(|_| false), Answered::Unlink { sequence, status: 0 });
    }
}

fn loopback() -> UsbipClient {
    UsbipClient::new(Box::new(Loopback::new()))
}

#[test]
fn what_is_written_comes_back() {
    let mut client = loopback();
    client.write(1, b"hello");
    client.expect_out(1, 0, 5);
    client.read(2, 1, 512);
    client.expect_in(2, 0, b"hello");
    client.write(3, &[]);
    client.expect_out(3, 0, 0);
    client.read(4, 1, 512);
    client.expect_in(4, 0, b"");
}

#[test]
fn descriptors_are_answered() {
    let mut client = loopback();
    client.send([1, 1, 1, 1, 0, 0, 64, 0, 0, 0], Setup::get_descriptor(1, 0, 0, 64), &[]);
    client.expect_in(1, 0, &Loopback::new().descriptors().device.to_bytes());
    client.send([1, 2, 1, 1, 0, 0, 255, 0, 0, 0], Setup::get_descriptor(9, 0, 0, 255), &[]);
    client.expect_in(2, -32, b"");
}

/// The kernel asks for these 18 bytes when it has reset the port, and waits for the answer.
#[test]
fn a_device_that_leaves_in_a_reset_answers_the_sign_of_it_before_it_hangs_up() {
    for effect in ["moves:0", "gone"] {
        let model = spec::parse(&format!("loopback,reset={effect}")).expect("a good description");
        let mut client = UsbipClient::new(model);
        let configure = Setup { request_type: 0, request: 9, value: 1, index: 0, length: 0 };
        client.send([1, 1, 1, 0, 0, 0, 0, 0, 0, 0], configure, &[]);
        client.expect_out(1, 0, 0);
        client.send([1, 2, 1, 1, 0, 0, 64, 0, 0, 0], Setup::get_descriptor(1, 0, 0, 64), &[]);
        client.expect_in(2, -108, b"");
        assert_eq!(client.socket.read(&mut [0]).expect("the end"), 0, "{effect}");
        client.over.recv_timeout(DEADLINE).expect("it is over");
    }
}

#[test]
fn a_cancelled_read_brings_what_had_arrived() {
    let mut client = loopback();
    client.read(1, 1, 4096);
    client.write(2, &[7; 512]);
    client.expect_out(2, 0, 512);
    // Once this one is answered, the packet has gone into the read.
    client.vendor_out(3, 0x10, 0);
    client.expect_out(3, 0, 0);
    client.unlink(4, 1);
    client.expect_in(1, -104, &[7; 512]);
    client.expect_unlinked(4);
}

#[test]
fn an_unlink_that_comes_first_is_kept_for_its_transfer() {
    let mut client = loopback();
    client.write(1, b"x");
    client.expect_out(1, 0, 1);
    client.unlink(3, 2);
    client.read(2, 1, 512);
    client.expect_in(2, -104, b"");
    client.expect_unlinked(3);
    client.read(4, 1, 512);
    client.expect_in(4, 0, b"x");
}

#[test]
fn an_unlink_of_what_was_answered_changes_nothing() {
    let mut client = loopback();
    client.write(1, b"x");
    client.expect_out(1, 0, 1);
    client.unlink(2, 1);
    client.expect_unlinked(2);
}

#[test]
fn a_halted_endpoint_stalls_until_it_is_cleared() {
    let mut client = loopback();
    client.vendor_out(1, 0x11, 0x81);
    client.expect_out(1, 0, 0);
    for sequence in 2..4 {
        client.read(sequence, 1, 512);
        client.expect_in(sequence, -32, b"");
    }
    let clear = Setup { request_type: 0x02, request: 1, value: 0, index: 0x81, length: 0 };
    client.send([1, 4, 1, 0, 0, 0, 0, 0, 0, 0], clear, &[]);
    client.expect_out(4, 0, 0);
    client.write(5, b"x");
    client.expect_out(5, 0, 1);
    client.read(6, 1, 512);
    client.expect_in(6, 0, b"x");
}

#[test]
fn more_than_the_buffer_holds_is_an_overflow_with_no_byte_too_many() {
    let mut client = loopback();
    client.write(1, &[9; 512]);
    client.expect_out(1, 0, 512);
    client.read(2, 1, 100);
    client.expect_in(2, -75, &[9; 100]);
}

#[test]
fn a_hung_control_request_can_be_unlinked() {
    let mut client = loopback();
    client.vendor_out(1, 0x13, 0);
    client.unlink(2, 1);
    client.expect_out(1, -104, 0);
    client.expect_unlinked(2);
    client.vendor_out(3, 0x14, 0);
    client.expect_out(3, 0, 0);
}

#[test]
fn a_device_that_falls_off_ends_the_connection_after_its_answers() {
    let mut client = UsbipClient::new(spec::parse("loopback,fault=unplug@0").expect("a good description"));
    client.read(1, 1, 512);
    client.read(2, 1, 512);
    client.write(3, b"x");
    let mut ended: Vec<Answered> = (0..3).map(|_| client.answer(|_| false)).collect();
    ended.sort_unstable_by_key(|answer| match answer {
        Answered::Submit { sequence, .. } | Answered::Unlink { sequence, .. } => *sequence,
    });
    let gone = |sequence| Answered::Submit { sequence, status: -108, data: Vec::new(), actual: 0 };
    assert_eq!(ended[..2], [gone(1), gone(2)]);
    client.over.recv_timeout(DEADLINE).expect("it is told");
    assert_eq!(client.socket.read(&mut [0]).expect("the connection ended"), 0);
}

#[test]
fn a_client_that_talks_rubbish_is_left() {
    let mut client = loopback();
    client.send([77; 10], NO_SETUP, &[]);
    client.over.recv_timeout(DEADLINE).expect("it is told");
    assert_eq!(client.socket.read(&mut [0]).expect("the connection ended"), 0);
}

#[test]
fn dropping_the_server_ends_the_connection() {
    let mut client = loopback();
    client.read(1, 1, 512);
    drop(client.served);
    let mut rest = Vec::new();
    client.socket.read_to_end(&mut rest).expect("the connection ended");
}
