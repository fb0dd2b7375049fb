//! How a scan goes on, on a terminal's standard error; nothing at all elsewhere.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use parking_lot::Mutex;
use usbscan_scan::Progress;

use super::interrupt::Signal;

/// How often the bar is drawn.
const TICK: Duration = Duration::from_millis(100);

/// The last line of the terminal, or nothing: how a page goes on, or that the program waits for its end. Shared with the
/// thread that hears of signals, which has something to say at once.
#[derive(Debug, Clone)]
pub struct Bar {
    shown: bool,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    bar: Option<ProgressBar>,
    ending: bool,
}

impl Bar {
    /// Nothing yet; and nothing ever, unless standard error is a terminal and it is `wanted`.
    pub fn new(wanted: bool) -> Bar {
        Bar { shown: wanted && io::stderr().is_terminal(), state: Arc::default() }
    }

    /// Something begins: a page, of this number if there are several.
    pub fn begin(&self, page: Option<u32>) {
        let mut state = self.state.lock();
        if self.shown && !state.ending {
            state.bar = Some(spinner(page.map(|page| format!("page {page}  ")).unwrap_or_default()));
        }
    }

    /// Shows this.
    pub fn show(&self, progress: Progress) {
        log::debug!("{progress:?}");
        let state = self.state.lock();
        let Some(bar) = state.bar.as_ref().filter(|_| !state.ending) else { return };
        match progress {
            Progress::Recovering => bar.set_message("somebody left the scanner in mid-page; bringing it back to idle"),
            Progress::WarmingUp { waited } => bar.set_message(format!("warming up, {} s", waited.as_secs())),
            Progress::Starting => bar.set_message("starting"),
            Progress::Cancelling => say(bar, "cancelled; bringing the scanner back to idle".to_owned()),
            Progress::Lines { done, total } => lines(bar, done, total),
        }
    }

    /// A signal has come, and what it ended goes on until the scanner is idle: that stands there until [`Bar::wipe`].
    pub fn ending(&self, signal: Signal) {
        let mut state = self.state.lock();
        state.ending = true;
        if self.shown {
            let words = format!("{signal}; bringing the scanner back to idle (Ctrl-C again: end at once)");
            let bar = state.bar.get_or_insert_with(|| spinner(String::new()));
            match bar.is_hidden() {
                // A terminal that can't go back in a line (TERM is dumb, or not set) has no bar, but must hear this. One that
                // is gone has no use for it.
                true => drop(writeln!(io::stderr(), "{words}")),
                false => say(bar, words),
            }
        }
    }

    /// What was begun is over.
    pub fn clear(&self) {
        let mut state = self.state.lock();
        if !state.ending {
            state.wipe();
        }
    }

    /// Takes everything away, for the last words. Whether something was being ended.
    pub fn wipe(&self) -> bool {
        let mut state = self.state.lock();
        state.wipe();
        state.ending
    }
}

impl State {
    fn wipe(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn spinner(prefix: String) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
    bar.set_style(words());
    bar.set_prefix(prefix);
    // Drawn at most so often, so that the last lines before a silence would not show otherwise.
    bar.enable_steady_tick(TICK);
    bar
}

fn say(bar: &ProgressBar, message: String) {
    bar.set_style(words());
    bar.set_message(message);
    bar.tick();
}

fn lines(bar: &ProgressBar, done: u32, total: Option<u32>) {
    match total {
        Some(total) if bar.length() != Some(total.into()) => {
            bar.set_length(total.into());
            bar.set_style(
                ProgressStyle::with_template("{prefix}{bar:30} {percent:>3} %  {pos} of {len} lines  {eta} left")
                    .expect("the template is right"),
            );
            // Warming up is not scanning: what is left is told from here on.
            bar.reset_eta();
        }
        Some(_) => {}
        None => bar.set_message(format!("{done} lines")),
    }
    bar.set_position(done.into());
}

fn words() -> ProgressStyle {
    ProgressStyle::with_template("{prefix}{spinner} {msg}").expect("the template is right")
}
