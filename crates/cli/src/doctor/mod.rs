//! `usbscan doctor`: checks this machine's scanning setup, and prints each problem with the command that fixes it. It
//! changes nothing. Runs on the caller's thread; the daemon gets ten seconds to answer.

mod device;
mod finding;
mod holder;
mod host;
mod ipp_usb;
mod sane;
mod service;
mod socket;
mod user;

use std::path::Path;

pub use finding::{Finding, Level, Report};
use host::Host;
use socket::Probe;

/// The default socket.
const SOCKET: &str = "/run/usbscan/usbscand.sock";

/// Runs all checks, in the order in which things depend on each other: the first problem is the one to fix first.
pub fn run(socket: &Path) -> Report {
    check_host(&Host::this(), socket)
}

fn check_host(host: &Host, socket: &Path) -> Report {
    let user = user::user(host);
    let probe = socket::probe(socket);
    let listed = match &probe {
        Probe::Answered { devices, .. } => Some(devices.as_slice()),
        _ => None,
    };
    let mut findings = service::findings(host);
    findings.extend(socket::findings(host, socket, user::group_id(host), &user, &probe));
    let devices = device::devices(host);
    findings.extend(device::findings(host, &devices, listed, |device| holder::holders(host, &device.node())));
    findings.extend(sane::findings(host));
    Report { findings }
}
