//! What an administrator or a user hands over: the configuration, tables of models, descriptions of virtual scanners,
//! pictures for their glass, captures to be replayed.

use std::path::Path;
use std::time::Instant;

use usbscan_daemon::Config;
use usbscan_daemon::quirks::Table;
use usbscan_virtual::glass::{Bits, Glass, Mode, View};
use usbscan_virtual::{Model, Replay};

pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // It names a folder to read, which is nobody's to look into from here.
    if text.contains("models") {
        return;
    }
    if let Err(error) = Config::parse(Path::new("fuzz.toml"), text) {
        assert!(error.to_string().contains("fuzz.toml") || error.to_string().contains("quirks"), "{error}");
    }
}

pub fn quirks(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut table = Table::default();
    if let Err(error) = table.add(Path::new("fuzz.toml"), text) {
        assert!(error.to_string().contains("fuzz.toml"), "{error}");
    }
}

/// A description of a virtual scanner.
pub fn spec(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // Files are another target's.
    if text.contains('/') {
        return;
    }
    if let Err(error) = usbscan_virtual::spec::parse(text) {
        assert!(!error.to_string().is_empty());
    }
}

/// A picture on the glass, looked at through a small window.
pub fn glass(bytes: &[u8]) {
    let Ok(glass) = Glass::png_bytes(bytes) else { return };
    let view = View { dpi: (50, 50), left: 3, top: 2, width: 40, height: 9 };
    for (mode, bits) in [(Mode::Color, Bits::Eight), (Mode::Gray, Bits::Sixteen)] {
        if let Ok(samples) = glass.render(&view, mode, bits) {
            assert!(samples.len() >= 40 * 9);
        }
    }
}

/// A capture, and a host that does what comes to its mind.
pub fn replay(bytes: &[u8]) {
    let Ok(mut replay) = Replay::of_bytes(bytes.to_vec(), None) else { return };
    let endpoints: Vec<_> = replay
        .descriptors()
        .configuration
        .interfaces
        .iter()
        .flat_map(|interface| interface.endpoints.iter().map(|endpoint| endpoint.address))
        .collect();
    let mut buffer = vec![0; 4096];
    for _ in 0..4 {
        for endpoint in &endpoints {
            let _ = replay.bulk_in(Instant::now(), *endpoint, &mut buffer);
            let _ = replay.interrupt_in(Instant::now(), *endpoint, &mut buffer[..64]);
            let _ = replay.bulk_out(Instant::now(), *endpoint, b"\x1b@");
            replay.clear_halt(*endpoint);
        }
        let _ =
            replay.control(Instant::now(), usbscan_usb::Setup::vendor(usbscan_usb::Direction::In, 0x12, 5, 0, 3), &[]);
    }
}
