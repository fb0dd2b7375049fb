//! `usbscan`: the command line program.

use std::process::ExitCode;

fn main() -> ExitCode {
    usbscan_cli::main()
}
