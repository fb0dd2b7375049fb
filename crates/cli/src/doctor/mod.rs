//! `usbscan doctor`: goes through everything that scanning needs on this machine, and says for each thing that is wrong
//! what is wrong and the one command that mends it. Changes nothing. Runs on the caller's thread; the daemon gets ten
//! seconds to answer.

mod device;
mod finding;
mod holder;
mod host;
mod person;
mod sane;
mod service;
mod socket;

use std::path::Path;

pub use finding::{Finding, Level, Report};
use host::Host;
use socket::Talk;

/// Where the socket is when nobody says otherwise.
const SOCKET: &str = "/run/usbscan/usbscand.sock";

/// Looks at everything. The order is that in which things depend on each other, so the first problem is the one to mend
/// first.
pub fn examine(socket: &Path) -> Report {
    examine_host(&Host::this(), socket)
}

fn examine_host(host: &Host, socket: &Path) -> Report {
    let person = person::person(host);
    let talk = socket::talk(socket);
    let listed = match &talk {
        Talk::Answered { devices, .. } => Some(devices.as_slice()),
        _ => None,
    };
    let mut findings = service::findings(host);
    findings.extend(socket::findings(host, socket, person::group_id(host), &person, &talk));
    let devices = device::devices(host);
    findings.extend(device::findings(host, &devices, listed, |device| holder::holders(host, &device.node())));
    findings.extend(sane::findings(host));
    Report { findings }
}
