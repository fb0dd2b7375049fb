//! A loopback device at a host controller of this machine's own kernel, for what the in-process bus can't show.
//!
//! For a guest (tools/guest), as root. `USBSCAN_DAEMON_RIG` says how: `vhci:/path/to/vscan` over USB/IP, or
//! `functionfs:/path/to/vscan` with dummy_hcd. The daemon runs in this process all the same, on libusb.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};

/// `vscan` while its device is plugged in; dropping it pulls it out.
#[derive(Debug)]
pub struct Plugged {
    child: Child,
    /// Whether it is a gadget at dummy_hcd.
    pub is_gadget: bool,
}

/// Plugs a loopback device in where the environment says so.
pub fn plug_where_told() -> Option<Plugged> {
    let rig = std::env::var("USBSCAN_DAEMON_RIG").ok()?;
    let (controller, vscan) = rig.split_once(':').expect("USBSCAN_DAEMON_RIG=vhci:/path/to/vscan");
    let mut command = Command::new(vscan);
    command.args([controller, "loopback"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{vscan} does not start: {error}"));
    let mut line = String::new();
    let said = BufReader::new(child.stdout.as_mut().expect("it is piped")).read_line(&mut line);
    assert!(said.is_ok() && line.starts_with("ready"), "vscan says {line:?}");
    Some(Plugged { child, is_gadget: controller == "functionfs" })
}

/// Prints what the kernel says of its USB just now, for the reader of a test that failed: afterwards it is too late.
pub fn show() {
    for (program, arguments) in [("dmesg", &[][..]), ("lsusb", &[]), ("lsusb", &["-t"])] {
        let said = match Command::new(program).args(arguments).output() {
            Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
            Err(error) => format!("{error}\n"),
        };
        let lines: Vec<&str> = said.lines().collect();
        let end = &lines[lines.len().saturating_sub(60)..];
        eprintln!("---- {program} {} ----\n{}", arguments.join(" "), end.join("\n"));
    }
}

impl Drop for Plugged {
    fn drop(&mut self) {
        if std::thread::panicking() {
            show();
        }
        // Its output ends with it; it may have ended by itself.
        let _ = self.child.stdin.take().map(|mut orders| orders.write_all(b"quit\n"));
        let _ = self.child.stdout.take().map(|mut rest| rest.read_to_end(&mut Vec::new()));
        let _ = self.child.wait();
    }
}
