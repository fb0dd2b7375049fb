//! What an eSCL scanner sends: HTTP responses in packets of any size, and XML documents.

use usbscan_client::Bytes;
use usbscan_escl::http::{Follower, HttpError, Limits, Part, Receiver};
use usbscan_escl::{JobPath, ROOT, ScanImageInfo, ScannerCapabilities, ScannerStatus};

/// One response: its status, its body, and bytes passed over in front of it.
type Response = (u16, Vec<u8>, u64);

/// The first byte is the size of packets; the rest is what the scanner sends. However that is cut, it is the same response.
pub fn http(bytes: &[u8]) {
    let Some((size, stream)) = bytes.split_first() else { return };
    let cut = receive(stream, usize::from(*size).max(1));
    assert_eq!(cut, receive(stream, 1 << 20));
    if let Ok(Some((_, body, skipped))) = cut {
        assert!(body.len() as u64 + skipped <= stream.len() as u64);
    }
    assert_eq!(follow(stream, usize::from(*size).max(1)), follow(stream, 1 << 20));
}

/// Where somebody is who only follows it: whether it is over, whether only silence ends it, and what it made.
fn follow(stream: &[u8], size: usize) -> (bool, bool, Option<(u16, String)>) {
    let mut follower = Follower::of_response();
    stream.chunks(size).for_each(|packet| follower.feed(packet));
    assert_eq!(follower.due() == 0, follower.is_over(), "what is not over is waited for");
    let made = follower.made().map(|(status, location)| (status, location.to_owned()));
    (follower.is_over(), follower.is_unframed(), made)
}

/// `None` of a stream that ends before the response does.
fn receive(stream: &[u8], size: usize) -> Result<Option<Response>, HttpError> {
    let mut receiver = Receiver::default();
    receiver.expect(Limits::document());
    let (mut status, mut body) = (0, Vec::new());
    let mut packets = stream.chunks(size);
    loop {
        match receiver.next_part()? {
            Some(Part::Head(head)) => {
                status = head.status;
                assert!(head.location.iter().chain(&head.server).all(|text| !text.contains(char::is_control)));
            }
            Some(Part::Body(bytes)) => body.extend_from_slice(&bytes),
            Some(Part::End) => return Ok(Some((status, body, receiver.skipped()))),
            None => {
                assert!(receiver.due() > 0, "something is expected");
                let Some(packet) = packets.next() else { return Ok(None) };
                receiver.push(Bytes::copy_from_slice(packet));
            }
        }
    }
}

/// Every document of what the scanner sends: each is understood or refused in words.
pub fn documents(bytes: &[u8]) {
    if let Ok(status) = ScannerStatus::parse(bytes) {
        for job in &status.jobs {
            if let Some(path) = JobPath::find(ROOT, &job.uri) {
                assert!(
                    path.as_str().starts_with("/eSCL/ScanJobs/") && path.as_str().bytes().all(|b| b.is_ascii_graphic())
                );
            }
        }
    }
    match ScannerCapabilities::parse(bytes) {
        Ok(all) => {
            let feeder = all.adf.iter().flat_map(|adf| [Some(&adf.simplex), adf.duplex.as_ref()]).flatten();
            for caps in all.platen.iter().chain(feeder) {
                assert!(caps.min_width <= caps.max_width && caps.min_height <= caps.max_height);
                assert!(!caps.modes.is_empty() && !caps.formats.is_empty());
                for (_, resolutions) in &caps.modes {
                    if let Some(range) = resolutions.square_range() {
                        assert!(range.min < range.max && range.step > 0);
                    }
                }
            }
        }
        Err(error) => assert!(!error.to_string().contains(char::is_control)),
    }
    let _ = ScanImageInfo::parse(bytes);
}
