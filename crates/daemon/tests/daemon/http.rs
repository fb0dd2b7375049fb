//! Abort sequences of sessions that read responses of HTTP: wherever the reader stops, the rest is read to its end, and no more.
//! The scanner is the loopback: what is written to it comes back.

use testkit::rig::{Client, Rig};
use usbscan_wire::{AbortReport, AbortStep, Command, HexBytes, HttpFraming};

const PACKET: u32 = 512;

/// Some packets, and a job's name.
fn response() -> Vec<u8> {
    let mut all = b"HTTP/1.1 201 Created\r\nLocation: /eSCL/ScanJobs/7\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for size in [700, 31, 1000] {
        all.extend_from_slice(format!("{size:x}\r\n").as_bytes());
        all.extend(std::iter::repeat_n(b'x', size));
        all.extend_from_slice(b"\r\n");
    }
    all.extend_from_slice(b"0\r\n\r\n");
    assert!(all.len() > 3 * PACKET as usize);
    all
}

fn arm(client: &mut Client, framing: HttpFraming, quiet: u32, delete_job_of: Option<&str>) {
    let drain = AbortStep::DrainHttp {
        endpoint: None,
        framing,
        quiet,
        timeout: 60_000,
        delete_job_of: delete_job_of.map(str::to_owned),
    };
    let end = AbortStep::Write { endpoint: None, bytes: HexBytes(b"end".to_vec()), timeout: 1000 };
    client.done(Command::ArmAbort { steps: vec![drain, end], settle: None });
}

fn cancel(client: &mut Client) -> AbortReport {
    client.done(Command::CancelPending { device: Some("usbscan0".to_owned()) }).body().expect("a report")
}

#[test]
fn wherever_a_reader_stops_the_rest_of_its_response_is_read_to_the_end() {
    let response = response();
    for packets in 0..=response.len().div_ceil(PACKET as usize) {
        let rig = Rig::new(&["loopback"]);
        let mut one = rig.open();
        arm(&mut one, HttpFraming::Head, 10_000, None);
        one.write_all(&response);
        let read: usize = (0..packets).map(|_| one.read_all(PACKET).len()).sum();
        let report = cancel(&mut rig.client());
        assert_eq!(
            (report.failed_step, report.drained),
            (None, (response.len() - read) as u64),
            "after {packets} packets"
        );
        let mut two = rig.open();
        assert_eq!(two.read_all(PACKET), b"end", "nothing else is left on the pipe, after {packets} packets");
    }
}

#[test]
fn a_reader_that_dies_leaves_a_clean_pipe() {
    let rig = Rig::new(&["loopback"]);
    let mut one = rig.open();
    arm(&mut one, HttpFraming::Head, 10_000, None);
    one.write_all(&response());
    one.read_all(PACKET);
    drop(one);
    let mut two = rig.open();
    assert_eq!(two.read_all(PACKET), b"end");
}

#[test]
fn a_body_is_followed_from_where_its_framing_says() {
    for framing in [HttpFraming::Length(1500), HttpFraming::Chunked] {
        let mut body = vec![b'y'; 1500];
        if framing == HttpFraming::Chunked {
            body = [b"5d7\r\n", &body[..1495], b"\r\n0\r\n\r\n"].concat();
        }
        let rig = Rig::new(&["loopback"]);
        let mut one = rig.open();
        arm(&mut one, framing, 10_000, None);
        one.write_all(&body);
        one.read_all(PACKET);
        let report = cancel(&mut rig.client());
        assert_eq!((report.failed_step, report.drained), (None, body.len() as u64 - u64::from(PACKET)), "{framing:?}");
    }
}

#[test]
fn a_job_that_only_its_response_names_is_deleted() {
    let response = response();
    let rig = Rig::new(&["loopback"]);
    let mut one = rig.open();
    arm(&mut one, HttpFraming::Head, 2000, Some("/eSCL"));
    one.write_all(&response);
    // The loopback answers DELETE with itself, which is no response; so the next rung drains what the last step has written.
    let delete = usbscan_escl::http::Request::delete("/eSCL/ScanJobs/7").expect("a path").to_bytes();
    let report = cancel(&mut rig.client());
    assert_eq!(report.drained, (response.len() + delete.len() + b"end".len()) as u64);
}

#[test]
fn a_response_that_was_perhaps_never_asked_for_may_not_come() {
    let rig = Rig::new(&["loopback"]);
    let mut one = rig.open();
    arm(&mut one, HttpFraming::Head, 50, Some("/eSCL"));
    let report = cancel(&mut rig.client());
    assert_eq!((report.failed_step, report.drained), (None, 0));
    assert_eq!(rig.open().read_all(PACKET), b"end", "the other steps are tried all the same");
}
