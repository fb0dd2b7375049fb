//! `usbscan watch`: what happens at the scanners, a line each, until a signal ends it. Runs on the main thread; see
//! [`watcher`] for the others.

mod buttons;
mod sighting;
mod watcher;

use std::io::{self, Write};

use super::args::Watch;
use super::context::Context;
use super::failure::Failure;

pub use sighting::Sighting;
pub use watcher::{Watcher, Wish};

/// Prints what happens as it happens: text, or with `--json` one object a line.
pub fn run(context: &Context<'_>, wish: &Watch) -> Result<(), Failure> {
    let wish = Wish { device: wish.device.clone(), buttons: !wish.no_buttons };
    let mut watcher = Watcher::start(context.connector(), wish)?;
    loop {
        let sighting = watcher.wait()?;
        print(&sighting, context.json()).map_err(Failure::Stdout)?;
    }
}

/// Each line is written at once: whoever reads it waits for it.
fn print(sighting: &Sighting, json: bool) -> io::Result<()> {
    let line = if json { serde_json::to_string(sighting)? } else { sighting.to_string() };
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush())
}
