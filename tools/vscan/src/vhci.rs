//! Plugging a device into this kernel's virtual host controller (vhci_hcd), without any other program:
//! one end of a pair of sockets is handed to the kernel, USB/IP is spoken on the other.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use usbscan_usb::Speed;
use usbscan_virtual::{Model, Moved};

use crate::serve::Served;
use crate::usbip::speed_number;

const CONTROLLER: &str = "/sys/devices/platform/vhci_hcd.0";

/// Why a device can't be plugged in.
#[derive(Debug, thiserror::Error)]
pub enum VhciError {
    /// The kernel has no virtual host controller.
    #[error("{CONTROLLER} is not there; `modprobe vhci-hcd` makes it ({0})")]
    NoController(io::Error),
    /// All its ports are taken.
    #[error("no port of {CONTROLLER} is free")]
    NoPort,
    #[error("attach to port {port} of {CONTROLLER}: {source}")]
    Attach { port: u32, source: io::Error },
    #[error("a pair of sockets: {0}")]
    Socket(io::Error),
}

/// A device plugged into this kernel. Dropping it unplugs it.
#[derive(Debug)]
pub struct Plugged {
    pub port: u32,
    _served: Served<UnixStream>,
}

/// Plugs `model` in; `over` is told when it fell off or was detached, and gets it where it is to be plugged in again.
pub fn plug(model: Box<dyn Model>, over: impl FnOnce(Option<Moved>) + Send + 'static) -> Result<Plugged, VhciError> {
    let status = fs::read_to_string(Path::new(CONTROLLER).join("status")).map_err(VhciError::NoController)?;
    let speed = model.descriptors().speed;
    let port = free_port(&status, speed).ok_or(VhciError::NoPort)?;
    let (ours, kernels) = UnixStream::pair().map_err(VhciError::Socket)?;
    let served = Served::start(model, ours, over).map_err(VhciError::Socket)?;
    // Bus 1, device 1: numbers that only `usbip port` shows.
    let line = format!("{port} {} {} {}", kernels.as_raw_fd(), 1 << 16 | 1, speed_number(speed));
    // The kernel takes a reference of its own to the socket while it reads this.
    fs::write(Path::new(CONTROLLER).join("attach"), line).map_err(|source| VhciError::Attach { port, source })?;
    Ok(Plugged { port, _served: served })
}

/// The first free port for a speed, from the controller's `status` table: hub, port, status (004: free), …
fn free_port(status: &str, speed: Speed) -> Option<u32> {
    let hub = if matches!(speed, Speed::Super | Speed::SuperPlus) { "ss" } else { "hs" };
    status.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some(this), Some(port), Some("004")) if this == hub => port.parse().ok(),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "hub port sta spd dev      sockfd local_busid\n\
                          hs  0000 006 003 00010002 000003 1-1\n\
                          hs  0001 004 000 00000000 000000 0-0\n\
                          ss  0008 004 000 00000000 000000 0-0\n";

    #[test]
    fn a_free_port_of_the_right_hub_is_found() {
        assert_eq!(free_port(STATUS, Speed::High), Some(1));
        assert_eq!(free_port(STATUS, Speed::Super), Some(8));
        assert_eq!(free_port("hub port\nhs 0000 006", Speed::High), None);
        assert_eq!(free_port("", Speed::High), None);
    }
}
