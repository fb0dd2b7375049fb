//! How long a cancel takes on a host controller of this machine's own kernel: libusb in a bare loop, and the ways through the
//! daemon, on one and the same device. On vhci also while a second device streams; dummy_hcd has room for one.
//!
//! For a guest, as root: `tools/bench --guest vhci`.

use std::time::{Duration, Instant};

use usbscan_client::Session;
use usbscan_wire::Pipe;

use crate::cancel::{BESIDE_A_STREAM, cancels, compare, tell, ways, while_streaming};
use crate::kernel::{Plugged, bare_cancels, only_device, stream};
use crate::report::Report;
use crate::usbscand::Usbscand;
use crate::{Outcome, Wishes};

pub fn measure(wishes: &Wishes, report: &mut Report) -> Outcome<()> {
    let controller = wishes.controller()?;
    let rounds = wishes.rounds(300);
    let _device = Plugged::new(controller, "loopback")?;
    let alone = format!("{controller}, libusb in a bare loop");
    let bare = bare_cancels(rounds)?;
    for (what, value) in ["p50", "p99", "most"].iter().zip(bare) {
        report.value(&format!("{alone}: {what}"), value, "us");
    }
    let daemon = Usbscand::start(&[])?;
    let (session, other) = (daemon.session()?, daemon.session()?);
    let name = only_device(&session)?;
    session.open(&name)?;
    let place = format!("{controller}, ");
    let mut ways = ways(&place, &session, &other, &name, rounds)?;
    if controller == "vhci" {
        ways.push((format!("{place}{BESIDE_A_STREAM}"), beside_a_stream(&session, &other, &name, rounds)?));
    }
    ways.iter().for_each(|(what, took)| tell(report, what, took));
    compare(report, (&alone, bare[0]), &ways);
    Ok(())
}

fn beside_a_stream(quiet: &Session, busy: &Session, name: &str, rounds: usize) -> Outcome<Vec<f64>> {
    let _second = Plugged::new("vhci", "loopback,serial=STREAM")?;
    busy.open(&other_device(busy, name)?)?;
    while_streaming(|| stream(busy), || cancels(quiet, name, 8, rounds, |_| quiet.cancel_pipe(Pipe::Read, None)))
}

/// The second device, when the daemon has heard of it.
fn other_device(session: &Session, first: &str) -> Outcome<String> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(entry) = session.list()?.into_iter().find(|entry| entry.name != first) {
            return Ok(entry.name);
        }
        if Instant::now() > deadline {
            return Err("usbscand does not find the second device".into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
