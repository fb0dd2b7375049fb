//! `usbscan watch`: prints events, one per line, until a signal ends it. Runs on the main thread; see [`watcher`] for the
//! other threads.

mod buttons;
mod event;
mod watcher;

use std::io::{self, Write};

use super::args::Watch;
use super::context::Context;
use super::failure::Failure;

pub use event::WatchEvent;
pub use watcher::{Filter, Watcher};

/// Prints events as text, or as JSON Lines with `--json`.
pub fn run(context: &Context<'_>, args: &Watch) -> Result<(), Failure> {
    let filter = Filter { device: args.device.clone(), buttons: !args.no_buttons };
    let mut watcher = Watcher::start(context.connector(), filter)?;
    loop {
        let event = watcher.wait()?;
        print(&event, context.json()).map_err(Failure::Stdout)?;
    }
}

/// Flushes each line: a reader waits for it.
fn print(event: &WatchEvent, json: bool) -> io::Result<()> {
    let line = if json { serde_json::to_string(event)? } else { event.to_string() };
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush())
}
