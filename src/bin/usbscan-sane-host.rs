//! `usbscan-sane-host`: calls one SANE backend for another program, which starts it. Nobody else does.

use std::process::ExitCode;

fn main() -> ExitCode {
    usbscan_sane_host::main()
}
