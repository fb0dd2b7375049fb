//! `usbscan`: the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    usbscan_cli::main()
}
