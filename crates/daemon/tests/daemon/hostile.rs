//! Clients that mean harm, many at once, beside one that means well: limits hold, memory stays flat, bytes stay right.

use std::io::{BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use usbscan_daemon::{Config, Limits};
use usbscan_wire::{Command, DAEMON_HEADER_LIMIT, FromDaemon, Status, read_frame};

use testkit::rig::{Client, DEADLINE, PATTERN, Rig, vendor_out};

/// Half a page of text; the loopback's own pattern repeats after so many bytes.
const PERIOD: usize = 251;

/// What the device was told to send comes, whole and in order.
fn reads_are_right(client: &mut Client, rounds: usize) {
    for _ in 0..rounds {
        client.done(vendor_out(PATTERN, 256));
        let bytes: Vec<u8> = (0..4).flat_map(|_| client.read_all(65536)).collect();
        assert_eq!(bytes.len(), 256 * 1024);
        let right = bytes.iter().enumerate().all(|(at, byte)| usize::from(*byte) == at % PERIOD);
        assert!(right, "the pattern, byte for byte");
    }
}

/// Those that measure the memory of the process take turns: the tests beside them are threads of it.
static MEASURES: Mutex<()> = Mutex::new(());

fn measure_alone() -> MutexGuard<'static, ()> {
    MEASURES.lock().unwrap_or_else(PoisonError::into_inner)
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("resident memory");
    line.trim().trim_end_matches("kB").trim().parse::<u64>().expect("a number") * 1024
}

/// What the daemon says first to a connection that nobody reads from otherwise.
fn first_word(stream: &UnixStream) -> FromDaemon {
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    let frame = read_frame(&mut BufReader::new(stream), DAEMON_HEADER_LIMIT).expect("in time").expect("it speaks");
    FromDaemon::from_frame(frame).expect("a message")
}

#[test]
fn of_a_thousand_connections_at_once_as_many_as_the_limits_are_served_and_the_rest_are_told() {
    let rig = Rig::new(&["loopback"]);
    let mut good = rig.open();
    let streams: Vec<UnixStream> = (0..1000).map(|_| rig.daemon.connect().expect("a connection")).collect();
    let mut greeted = 0;
    for stream in &streams {
        match first_word(stream) {
            FromDaemon::Event(usbscan_wire::Event::Hello { .. }) => greeted += 1,
            FromDaemon::Answer(answer) => assert_eq!(answer.status, Status::InsufficientResources),
            other => panic!("{other:?}"),
        }
    }
    let reserve = 2;
    assert_eq!(greeted, Limits::default().connections_per_user - 1 + reserve, "one is the good client's");
    reads_are_right(&mut good, 2);
    drop(streams);
    // Their places are free again: the daemon hears of their ends in its own time.
    let until = std::time::Instant::now() + DEADLINE;
    while matches!(first_word(&rig.daemon.connect().expect("a connection")), FromDaemon::Answer(_)) {
        assert!(std::time::Instant::now() < until, "their places are never free again");
    }
}

#[test]
fn payloads_that_never_come_cost_no_memory_and_stop_nobody() {
    let _alone = measure_alone();
    let limits = Limits { connections: 128, connections_per_user: 64, ..Limits::default() };
    let rig = Rig::with(Config { limits, ..Config::default() }, &["loopback"]);
    let mut good = rig.open();
    reads_are_right(&mut good, 1);
    let before = resident();
    let half: Vec<Client> = (0..40)
        .map(|_| {
            let mut client = rig.client();
            client.send_raw(b"{\"id\":1,\"command\":\"write\",\"payload\":1048576}\nabc");
            client
        })
        .collect();
    reads_are_right(&mut good, 4);
    // Forty announced a mebibyte each.
    let grown = resident().saturating_sub(before);
    assert!(grown < 20 << 20, "{grown} bytes for payloads that never came");
    drop(half);
    reads_are_right(&mut good, 1);
}

#[test]
fn headers_of_every_bad_kind_end_their_own_connection_at_most() {
    let rig = Rig::new(&["loopback"]);
    let mut good = rig.open();
    let deep = [vec![b'['; 4000], vec![b'\n']].concat();
    let nested = format!("{{\"id\":1,\"command\":{}\n", "{\"a\":".repeat(500));
    let many = format!("{{\"id\":1{}}}\n", ",\"a\":1".repeat(500));
    let cases: Vec<&[u8]> = vec![
        b"\0\0\0\0\n",
        b"\xff\xfe\xfd\n",
        b"{\"id\":18446744073709551616,\"command\":\"list\"}\n",
        b"{\"id\":1.5,\"command\":\"list\"}\n",
        b"{\"id\":\"1\",\"command\":\"list\"}\n",
        b"{\"id\":1,\"command\":[]}\n",
        b"{\"id\":1,\"command\":null}\n",
        b"{\"id\":1}\n",
        b"{\"id\":1,\"command\":\"read\",\"length\":-1}\n",
        b"{\"id\":1,\"command\":\"read\",\"length\":99999999999}\n",
        b"{\"id\":1,\"command\":\"read\",\"length\":4294967295}\n",
        b"{\"id\":1,\"command\":\"read\",\"length\":5,\"timeout\":-1}\n",
        b"{\"id\":1,\"command\":\"read\",\"length\":5,\"timeout\":1e400}\n",
        b"{\"id\":1,\"command\":\"open\",\"device\":\"\xc0\"}\n",
        b"{\"id\":1,\"command\":\"write\",\"payload\":-1}\n",
        b"{\"id\":1,\"command\":\"write\",\"payload\":\"x\"}\n",
        b"{\"id\":1,\"id\":2,\"command\":\"list\"}\n",
        b"{\"id\":1,\"command\":\"list\"} trailing\n",
        b"GET / HTTP/1.1\r\n\r\n",
        &deep,
        nested.as_bytes(),
        many.as_bytes(),
    ];
    for bytes in cases {
        let mut client = rig.client();
        client.send_raw(bytes);
        client.stream().shutdown(std::net::Shutdown::Write).expect("it is connected");
        for message in client.hear_the_end() {
            let FromDaemon::Answer(answer) = message else { continue };
            assert!(answer.status != Status::Success, "{}", String::from_utf8_lossy(bytes));
        }
    }
    reads_are_right(&mut good, 1);
}

#[test]
fn floods_of_cancels_from_many_harm_no_request_that_they_do_not_name() {
    let rig = Rig::new(&["loopback"]);
    let mut good = rig.open();
    let floods: Vec<UnixStream> = (0..8)
        .map(|_| {
            let client = rig.client();
            let mut stream = client.stream().try_clone().expect("a clone");
            let line = b"{\"id\":1,\"command\":\"cancel-request\",\"request\":999999,\"session\":999999}\n\
                         {\"id\":2,\"command\":\"cancel-session\"}\n";
            let mut answers = stream.try_clone().expect("a clone");
            std::thread::spawn(move || drop(std::io::copy(&mut answers, &mut std::io::sink())));
            let mut out = stream.try_clone().expect("a clone");
            std::thread::spawn(move || while out.write_all(&line.repeat(50)).is_ok() {});
            stream.flush().expect("a socket keeps nothing back");
            stream
        })
        .collect();
    reads_are_right(&mut good, 8);
    for stream in &floods {
        stream.shutdown(std::net::Shutdown::Both).expect("it is connected");
    }
    reads_are_right(&mut good, 1);
}

#[test]
fn readers_that_never_read_are_bounded_by_their_own_budget() {
    let _alone = measure_alone();
    // Long enough that they are not simply ended.
    let config = Config { stall: DEADLINE, ..Config::default() };
    let rig = Rig::with(config, &["loopback", "loopback,serial=OTHER"]);
    let mut good = rig.client();
    good.open("usbscan1");
    reads_are_right(&mut good, 1);
    let before = resident();
    let mut deaf: Vec<Client> = (0..8).map(|_| rig.open()).collect();
    for client in &mut deaf {
        // Far more than a session may have outstanding; each answer would be 64 KiB.
        for _ in 0..16 {
            client.send(vendor_out(PATTERN, 1024));
        }
        for _ in 0..100 {
            client.read(65536);
        }
    }
    reads_are_right(&mut good, 8);
    let grown = resident().saturating_sub(before);
    let most = Limits::default().all_bytes + (32 << 20);
    assert!(grown < most, "{grown} bytes for answers that nobody reads");
    drop(deaf);
    reads_are_right(&mut good, 1);
}

#[test]
fn half_open_connections_and_those_that_leave_at_once_leave_nothing_behind() {
    let rig = Rig::new(&["loopback"]);
    let mut good = rig.open();
    for round in 0..300 {
        let mut stream = rig.daemon.connect().expect("a connection");
        match round % 4 {
            // Gone before the greeting, in mid-header, in mid-payload, and with an answer that it does not wait for.
            0 => {}
            1 => stream.write_all(b"{\"id\":1,\"comm").expect("it is taken"),
            2 => drop(stream.write_all(b"{\"id\":1,\"command\":\"write\",\"payload\":9}\nabc")),
            _ => drop(stream.write_all(b"{\"id\":1,\"command\":\"list\"}\n")),
        }
    }
    reads_are_right(&mut good, 1);
    good.until_sessions(1);
    // A side that is shut for writing still hears its answers, and then the end.
    let mut stream = rig.daemon.connect().expect("a connection");
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    stream.write_all(b"{\"id\":1,\"command\":\"list\"}\n").expect("it is taken");
    stream.shutdown(std::net::Shutdown::Write).expect("it is connected");
    let mut said = String::new();
    stream.read_to_string(&mut said).expect("the end comes");
    assert!(said.contains("\"id\":1") && said.contains("success"), "{said}");
    assert!(rig.daemon.stop(Duration::from_secs(30)), "nothing of them is left to wait for");
}

#[test]
fn memory_whose_descriptor_a_client_keeps_goes_back_to_the_system_with_its_connection() {
    use std::os::unix::fs::MetadataExt;

    let rig = Rig::new(&["loopback"]);
    let mut good = rig.open();
    let mut kept = Vec::new();
    while kept.len() < 50 {
        let mut client = rig.client();
        // Refused while those before have not quite gone.
        if client.call(Command::ShareMemory { length: 8 << 20 }).status == Status::Success {
            kept.push(std::fs::File::from(client.descriptor().expect("its descriptor comes with the answer")));
        }
    }
    let held = |file: &std::fs::File| file.metadata().expect("it is open").blocks();
    let hung = std::time::Instant::now() + DEADLINE;
    while kept.iter().map(held).sum::<u64>() > 0 {
        assert!(std::time::Instant::now() < hung, "of 400 MiB some are never the system's again");
        std::thread::yield_now();
    }
    reads_are_right(&mut good, 1);
}

#[test]
fn answers_that_nobody_reads_count_as_the_memory_that_they_are_and_all_come_in_the_end() {
    let _alone = measure_alone();
    const EACH: usize = 250;
    // They are not ended for that, however slow this machine is.
    let config = Config { stall: Duration::from_secs(3600), ..Config::default() };
    let scanners: Vec<String> = (0..60).map(|number| format!("loopback,serial=WITH-A-LONG-NAME-{number:03}")).collect();
    let rig = Rig::with(config, &scanners.iter().map(|spec| &**spec).collect::<Vec<_>>());
    let mut good = rig.open();
    reads_are_right(&mut good, 1);
    let before = resident();
    let mut deaf: Vec<Client> = (0..9).map(|_| rig.client()).collect();
    let sent: Vec<Vec<u64>> = deaf
        .iter_mut()
        .map(|client| (0..EACH).map(|_| client.send(Command::Status { device: None })).collect())
        .collect();
    reads_are_right(&mut good, 4);
    let grown = resident().saturating_sub(before);
    assert!(grown < 48 << 20, "{grown} bytes for answers that nobody reads");
    // None of them was closed for what the others had.
    for (client, sent) in deaf.iter_mut().zip(sent) {
        for id in sent {
            let status = client.answer(id).status;
            assert!(matches!(status, Status::Success | Status::InsufficientResources), "{status:?}");
        }
    }
    reads_are_right(&mut good, 1);
}
