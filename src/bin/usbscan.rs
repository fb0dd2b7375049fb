//! `usbscan`: the command line. Joins src/cli with a daemon inside this process for `--virtual`.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use usbscan::cli::{self, Connect};
use usbscan::daemon::{Config, Running};

fn main() -> ExitCode {
    let read_actions = |named: Option<&Path>| Ok(Config::read(named)?.actions);
    cli::main(cli::Daemon { start_virtual, read_actions })
}

/// With what a daemon has by default; no configuration of this machine's is read.
fn start_virtual(models: &[String]) -> Result<Connect, Box<dyn std::error::Error + Send + Sync>> {
    let bus = virtual_scanner::VirtualBus::new();
    for model in models {
        bus.plug_spec(model)?;
    }
    let daemon = Running::start(Config::default(), vec![Arc::new(bus)])?;
    Ok(Box::new(move || daemon.connect()))
}
