//! Several programs with one scanner: none can harm another.

use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::process::Signal;
use usbscan_client::wire::{Command, Pipe, Status};
use usbscan_virtual::glass::{Glass, View};

use crate::page::{Page, PixelFormat};
use crate::program::Program;
use crate::rig::{Rig, eventually};

fn page_is_right(rig: &Rig) {
    rig.done(&["scan", "-r", "100", "--mode", "color", "--area", "0,0,50.8,50.8", "-o", "page.png"]);
    let view = View { dpi: (100, 100), left: 0, top: 0, width: 200, height: 200 };
    Page::read_png(&rig.path("page.png")).assert_shows(&Page::on_glass(&Glass::chart(), view, PixelFormat::Color8));
}

#[test]
fn while_one_hangs_in_a_read_another_lists_looks_waits_and_cancels() {
    let rig = Rig::new("loopback");
    let hanging = rig.session();
    hanging.open("usbscan0").expect("it opens");
    let read = hanging
        .start(
            Command::Read { endpoint: None, offset: None, length: 512, return_partial: false, timeout: None },
            Vec::new(),
        )
        .expect("sent");
    let event = Program::start(&mut rig.usbscan(&["wait-event"]));

    assert!(rig.done(&["list"]).contains("usbscan0"));
    let number = format!("{}/{}", hanging.number(), read.id());
    assert!(rig.done(&["status"]).contains(&number));
    // The loopback's vendor request 0x10 makes its data an interrupt packet.
    eventually("the other waits for an event", || {
        let status = rig.session().status(None).expect("a status");
        status[0].pipes.iter().any(|pipe| pipe.pipe == "event" && !pipe.pending.is_empty())
    });
    rig.done(&["raw", "control", "--direction", "out", "--request", "0x10", "--hex", "01 02 03"]);
    let ended = event.end();
    assert_eq!((ended.code, ended.stdout.trim()), (Some(0), "usbscan0: 010203"), "{}", ended.stderr);

    rig.done(&["cancel", "--request", &number]);
    let error = read.wait().expect_err("it was cancelled");
    assert_eq!(error.status(), Some(Status::Cancelled));
}

#[test]
fn ctrl_c_ends_a_program_that_waits_and_nothing_of_it_stays_pending() {
    let rig = Rig::new("loopback");
    let watcher = rig.session();
    let pending = || {
        let status = watcher.status(None).expect("a status");
        status.iter().flat_map(|device| &device.pipes).map(|pipe| pipe.pending.len()).sum::<usize>()
    };
    for arguments in [&["wait-event"][..], &["raw", "read"]] {
        let waiting = Program::start(&mut rig.usbscan(arguments));
        eventually("it waits", || pending() == 1);
        waiting.signal(Signal::INT);
        assert_eq!(waiting.end().code, Some(130), "{arguments:?}");
        eventually("nothing is pending", || pending() == 0);
    }
}

#[test]
fn an_index_chooses_the_endpoint_and_one_of_another_kind_is_refused() {
    let rig = Rig::new("loopback");
    let pipes = rig.json(&["raw", "pipes"]);
    let indexes: Vec<_> = pipes["pipes"].as_array().expect("a list").iter().map(|pipe| &pipe["bound"]).collect();
    assert_eq!(indexes, ["read", "write", "event"], "by index");
    assert!(rig.done(&["raw", "pipes"]).contains("0      bulk       in         0x81"));
    let there =
        ["raw", "write", "--hex", "1b40", "--write-index", "1", "--then-read", "9", "--read-index", "0", "--dump"];
    assert!(rig.done(&there).starts_with("000000  1b 40 "));
    for (arguments, words) in [
        (
            &["raw", "read", "--read-index", "1"][..],
            "\"read\": interface 0 of usbscan0 has no such endpoint with index 1",
        ),
        (&["raw", "write", "--hex", "00", "--write-index", "2"], "\"write\": interface 0"),
        (&["wait-event", "--event-index", "0"], "\"event\": interface 0"),
        (&["raw", "read", "--interface", "1"], "\"interface\": usbscan0 has no interface 1"),
    ] {
        let ended = rig.run(arguments);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(words), "{arguments:?}: {}", ended.stderr);
    }
    let ended = rig.run(&["wait-event", "--event-index", "2", "--timeout", "0.05"]);
    assert_eq!(ended.code, Some(10), "it waits there: {}", ended.stderr);
}

#[test]
fn bytes_go_around_a_loopback_by_hand() {
    let rig = Rig::new("loopback");
    let ended = rig.run(&["raw", "write", "--hex", "1b 40", "--then-read", "512", "--dump"]);
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(0), "000000  1b 40                                            .@\n")
    );
    let answered = rig.json(&["raw", "control", "--direction", "in", "--request", "0x12", "--value", "5", "-n", "4"]);
    assert_eq!(answered["bytes"], "05060708");
    let ended = rig.run(&["raw", "control", "--direction", "in", "--request", "0x77"]);
    assert_eq!(ended.code, Some(8), "a request that it does not know stalls: {}", ended.stderr);
    let ended = rig.run(&["raw", "read", "--timeout", "0.05"]);
    assert_eq!(ended.code, Some(10), "nothing to read: {}", ended.stderr);
    let ended = rig.run(&["wait-event", "--timeout", "0.05"]);
    assert_eq!(ended.code, Some(10), "no event: {}", ended.stderr);
    // What one command leaves unread is there for the next.
    rig.done(&["raw", "write", "--hex", "c0 ff ee"]);
    assert_eq!(rig.json(&["raw", "read"])["bytes"], "c0ffee");
    // A halt does not outlive the session that met it.
    rig.done(&["raw", "control", "--direction", "out", "--request", "0x11", "--value", "0x81"]);
    let ended = rig.run(&["raw", "read"]);
    assert_eq!(ended.code, Some(8), "it meets the halt: {}", ended.stderr);
    rig.done(&["raw", "write", "--hex", "aa", "--then-read", "512"]);
}

#[test]
fn what_raw_commands_leave_unread_is_no_harm_to_a_scan() {
    for dialect in ["fs", "esc"] {
        let rig = Rig::new(&format!("esci,dialect={dialect}"));
        // ESC I, whose answer nobody reads; then ESC G, the first block of a page.
        for bytes in ["1b 49", "1b 47"] {
            rig.done(&["raw", "write", "--hex", bytes]);
            page_is_right(&rig);
        }
    }
}

#[test]
fn a_scanner_that_is_in_use_says_by_whom() {
    let rig = Rig::new("esci");
    let holder = rig.session();
    holder.open("usbscan0").expect("it opens");
    holder.lock(false).expect("it is free");
    let ended = rig.run(&["scan", "-o", "page.png"]);
    assert_eq!(ended.code, Some(5), "{}", ended.stderr);
    assert!(ended.stderr.contains(&std::process::id().to_string()), "{}", ended.stderr);
    assert!(rig.done(&["status"]).contains("lock"));
    drop(holder);
    page_is_right(&rig);
}

/// Scans while `disturb` is called again and again, from before the scan until after it.
fn page_is_right_while(rig: &Rig, mut disturb: impl FnMut() + Send) {
    let over = AtomicBool::new(false);
    let (begun, begins) = crossbeam_channel::bounded(1);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                disturb();
                let _ = begun.try_send(());
            }
        });
        begins.recv().expect("it is disturbed already");
        // Whatever comes of it, the other ends.
        let outcome = catch_unwind(AssertUnwindSafe(|| page_is_right(rig)));
        over.store(true, Ordering::Relaxed);
        outcome.unwrap_or_else(|panic| resume_unwind(panic));
    });
}

#[test]
fn a_scan_comes_out_right_beside_a_client_that_floods() {
    let rig = Rig::new("esci");
    let flooding = rig.session();
    page_is_right_while(&rig, || {
        let command = || Command::CancelRequest { request: 999_999, session: None };
        let sent: Vec<_> = (0..200).filter_map(|_| flooding.start(command(), Vec::new()).ok()).collect();
        sent.into_iter().for_each(|pending| drop(pending.wait()));
    });
    flooding.cancel_pipe(Pipe::All, Some("usbscan0")).expect("it is still heard");
}

#[test]
fn a_scan_comes_out_right_beside_clients_that_send_garbage() {
    let rig = Rig::new("esci");
    let socket = rig.socket();
    let mut garbage =
        [&b"{}\n"[..], b"\xff\x00\n", b"{\"id\":1,\"command\":\"nonsense\"}\n", &[b'x'; 10_000]].into_iter().cycle();
    page_is_right_while(&rig, || {
        let mut stream = UnixStream::connect(&socket).expect("the daemon listens");
        // It disconnects when it has seen enough.
        let _ = stream.write_all(garbage.next().expect("it goes round"));
        let _ = stream.shutdown(Shutdown::Write);
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
}

#[test]
fn a_scan_comes_out_right_beside_a_client_that_does_not_read() {
    let rig = Rig::new("esci");
    let mut deaf = UnixStream::connect(rig.socket()).expect("the daemon listens");
    deaf.set_nonblocking(true).expect("a socket");
    // Until the socket takes no more, or the daemon disconnects it.
    for id in 0_u64.. {
        let line = format!("{{\"id\":{id},\"command\":\"list\"}}\n");
        if deaf.write_all(line.as_bytes()).is_err() {
            break;
        }
    }
    page_is_right(&rig);
}

#[test]
fn a_scan_comes_out_right_beside_a_client_that_stops_in_mid_message() {
    let rig = Rig::new("esci");
    let mut stream = UnixStream::connect(rig.socket()).expect("the daemon listens");
    stream.write_all(b"{\"id\":1,\"command\":\"write\",\"payload\":1000000}\nabc").expect("it is taken");
    page_is_right(&rig);
}
