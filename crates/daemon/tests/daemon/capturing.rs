//! Captures: bounded whatever their client does, and gone when it is.

use std::time::Instant;

use usbscan_daemon::Config;
use usbscan_daemon::config::Limits;
use usbscan_wire::{Command, ReadCaptureBody, Status};

use testkit::rig::{Client, DEADLINE, Rig};

fn capture() -> Command {
    Command::Capture { device: "usbscan0".to_owned() }
}

/// Reads to the end; gives back the whole file and the count of what is missing.
fn read_to_the_end(client: &mut Client, mut file: Vec<u8>) -> (Vec<u8>, u64) {
    loop {
        let answer = client.done(Command::ReadCapture {});
        assert_eq!(answer.information, answer.payload.len() as u64);
        let ReadCaptureBody { dropped, over } = answer.body().expect("its body");
        file.extend(answer.payload);
        if over {
            return (file, dropped);
        }
    }
}

fn rig(captures: usize, capture_bytes: usize) -> Rig {
    let limits = Limits { captures, capture_bytes, ..Limits::default() };
    Rig::with(Config { limits, ..Config::default() }, &["loopback"])
}

#[test]
fn what_a_slow_client_has_no_room_for_is_counted_and_the_transfers_go_on() {
    let rig = rig(1, 65536);
    let mut slow = rig.client();
    let beginning = slow.done(capture()).payload.into();
    let mut busy = rig.open();
    for _ in 0..64 {
        busy.write_all(&[0xa5; 16384]);
    }
    slow.done(Command::StopCapture {});
    let (file, dropped) = read_to_the_end(&mut slow, beginning);
    // Three of the 64 writes fit, and the ends of all, which have no data.
    assert!(dropped >= 60, "{dropped} of 128 records");
    assert!(file.len() < 65536 + 16384, "{}", file.len());
    // The last block's last option, if_ifdrop.
    let at = file.len() - 16;
    assert_eq!(u64::from_le_bytes(file[at..at + 8].try_into().unwrap()), dropped);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("lossy.pcapng");
    std::fs::write(&path, file).expect("written");
    let refused = rig.bus.plug_spec(&format!("replay,file={}", path.display())).unwrap_err().to_string();
    assert!(refused.contains("records are missing"), "{refused}");
}

#[test]
fn a_client_that_waits_for_something_to_be_captured_can_cancel_that() {
    let rig = Rig::new(&["loopback"]);
    let mut client = rig.client();
    client.done(capture());
    // What the device says of itself is there at once; then there is nothing.
    client.done(Command::ReadCapture {});
    let waiting = client.send(Command::ReadCapture {});
    assert_eq!(client.call(Command::ReadCapture {}).status, Status::Busy);
    client.done(Command::CancelRequest { request: waiting, session: None });
    assert_eq!(client.answer(waiting).status, Status::Cancelled);
    let again = client.send(Command::ReadCapture {});
    client.done(Command::CancelSession { session: None });
    assert_eq!(client.answer(again).status, Status::Cancelled);
    let last = client.send(Command::ReadCapture {});
    client.done(Command::StopCapture {});
    assert_eq!(client.answer(last).status, Status::Success);
}

#[test]
fn there_are_no_more_captures_than_configured_and_one_ends_with_its_connection() {
    let rig = rig(1, 65536);
    let (mut first, mut second) = (rig.client(), rig.client());
    first.done(capture());
    assert_eq!(first.call(capture()).status, Status::InvalidParameter);
    let refused = second.call(capture());
    assert_eq!(refused.status, Status::InsufficientResources);
    assert!(refused.message.unwrap().starts_with("1 captures are under way"));
    // While it waits: its answer must not keep the connection alive.
    first.send(Command::ReadCapture {});
    drop(first);
    let hung = Instant::now() + DEADLINE;
    while second.call(capture()).status != Status::Success {
        assert!(Instant::now() < hung, "the capture outlives its connection");
    }
}

#[test]
fn a_capture_ends_when_its_scanner_is_unplugged() {
    let rig = Rig::new(&["loopback"]);
    let mut client = rig.client();
    let beginning = client.done(capture()).payload;
    client.done(Command::ReadCapture {});
    let waiting = client.send(Command::ReadCapture {});
    rig.unplug(0);
    let answer = client.answer(waiting);
    assert_eq!(answer.status, Status::Success);
    assert!(answer.body::<ReadCaptureBody>().unwrap().over);
    assert!(!beginning.is_empty());
}

#[test]
fn without_a_capture_there_is_nothing_to_read_or_to_stop() {
    let rig = Rig::new(&["loopback"]);
    let mut client = rig.client();
    assert_eq!(client.call(Command::ReadCapture {}).status, Status::NotFound);
    assert_eq!(client.call(Command::StopCapture {}).status, Status::NotFound);
    assert_eq!(client.call(Command::Capture { device: "usbscan7".to_owned() }).status, Status::NoDevice);
}
