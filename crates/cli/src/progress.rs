//! The progress bar on standard error, if that is a terminal.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use parking_lot::Mutex;
use usbscan_scan::Progress;

use super::signal::Signal;

/// How often the bar is drawn.
const TICK: Duration = Duration::from_millis(100);

/// The progress bar in the last line of the terminal. Shared with the signal thread, which shows at once that the scan
/// is being cancelled.
#[derive(Debug, Clone)]
pub struct Bar {
    /// Prints JSON lines instead of a bar.
    json: bool,
    shown: bool,
    state: Arc<Mutex<ProgressState>>,
}

#[derive(Debug, Default)]
struct ProgressState {
    bar: Option<ProgressBar>,
    interrupted: bool,
    page: u32,
    /// The last line of JSON that was printed.
    last: Option<(&'static str, u32)>,
}

impl Bar {
    /// A bar, if standard error is a terminal; with `json` lines of JSON on standard error, for programs with a bar of their
    /// own. [`Bar::hidden`] shows neither.
    pub fn new(json: bool) -> Bar {
        Bar { json, shown: !json && io::stderr().is_terminal(), state: Arc::default() }
    }

    #[cfg(test)]
    pub fn hidden() -> Bar {
        Bar { json: false, shown: false, state: Arc::default() }
    }

    /// Starts a page, with its number if there are several.
    pub fn begin(&self, page: Option<u32>) {
        let mut state = self.state.lock();
        (state.page, state.last) = (page.unwrap_or(1), None);
        if self.shown && !state.interrupted {
            state.bar = Some(spinner(page.map(|page| format!("page {page}  ")).unwrap_or_default()));
        }
    }

    pub fn show(&self, progress: Progress) {
        log::debug!("{progress:?}");
        let mut state = self.state.lock();
        if self.json {
            state.print_json(progress);
        }
        let Some(bar) = state.bar.as_ref().filter(|_| !state.interrupted) else { return };
        match progress {
            Progress::Recovering => bar.set_message("the last scan was interrupted; returning the scanner to idle"),
            Progress::WarmingUp { waited } => bar.set_message(format!("warming up, {} s", waited.as_secs())),
            Progress::Starting => bar.set_message("starting"),
            Progress::Cancelling => show_message(bar, "cancelled; returning the scanner to idle".to_owned()),
            Progress::Lines { done, total } => lines(bar, done, total),
        }
    }

    /// Shows, until [`Bar::wipe`], that a signal came and the scanner is being returned to idle.
    pub fn interrupted(&self, signal: Signal) {
        let mut state = self.state.lock();
        state.interrupted = true;
        if self.shown {
            let words = format!("{signal}; returning the scanner to idle (press Ctrl-C again to exit at once)");
            let bar = state.bar.get_or_insert_with(|| spinner(String::new()));
            match bar.is_hidden() {
                // A terminal without cursor control (TERM is dumb or unset) has no bar, but this is worth a line. The write
                // fails if the terminal is gone.
                true => drop(writeln!(io::stderr(), "{words}")),
                false => show_message(bar, words),
            }
        }
    }

    /// Removes the bar at the end of a page.
    pub fn clear(&self) {
        let mut state = self.state.lock();
        if !state.interrupted {
            state.wipe();
        }
    }

    /// Removes everything, so that an error can be printed. Returns whether a signal had come.
    pub fn wipe(&self) -> bool {
        let mut state = self.state.lock();
        state.wipe();
        state.interrupted
    }
}

/// Per cent between two lines of JSON.
const JSON_STEP: u32 = 5;
/// Lines between two lines of JSON, of a page whose height is not known.
const JSON_LINES: u32 = 500;

impl ProgressState {
    /// Prints a line when the state changes, and every few per cent of a page.
    fn print_json(&mut self, progress: Progress) {
        let (name, lines) = match progress {
            Progress::Recovering => ("recovering", None),
            Progress::WarmingUp { .. } => ("warming-up", None),
            Progress::Starting => ("starting", None),
            Progress::Cancelling => ("cancelling", None),
            Progress::Lines { done, total } => ("scanning", Some((done, total))),
        };
        let percent = |done: u32, total: u32| {
            u32::try_from(u64::from(done) * 100 / u64::from(total.max(1))).unwrap_or(100).min(100)
        };
        let step = match lines {
            None => 0,
            Some((done, Some(total))) => percent(done, total) / JSON_STEP,
            Some((done, None)) => done / JSON_LINES,
        };
        if self.last == Some((name, step)) {
            return;
        }
        self.last = Some((name, step));
        let mut value = serde_json::json!({ "page": self.page, "state": name });
        if let Some((done, total)) = lines {
            value["lines"] = done.into();
            if let Some(total) = total {
                value["total"] = total.into();
                value["percent"] = percent(done, total).into();
            }
        }
        // Standard error is closed: nothing to tell.
        let _ = writeln!(io::stderr(), "{}", serde_json::json!({ "progress": value }));
    }

    fn wipe(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn spinner(prefix: String) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
    bar.set_style(spinner_style());
    bar.set_prefix(prefix);
    // Draws are rate limited; without a tick the last update before a pause would not be drawn.
    bar.enable_steady_tick(TICK);
    bar
}

fn show_message(bar: &ProgressBar, message: String) {
    bar.set_style(spinner_style());
    bar.set_message(message);
    bar.tick();
}

fn lines(bar: &ProgressBar, done: u32, total: Option<u32>) {
    match total {
        Some(total) if bar.length() != Some(total.into()) => {
            bar.set_length(total.into());
            bar.set_style(
                ProgressStyle::with_template("{prefix}{bar:30} {percent:>3} %  {pos} of {len} lines  {eta} left")
                    .expect("the template is valid"),
            );
            // The remaining time is estimated without the warm-up.
            bar.reset_eta();
        }
        Some(_) => {}
        None => bar.set_message(format!("{done} lines")),
    }
    bar.set_position(done.into());
}

fn spinner_style() -> ProgressStyle {
    ProgressStyle::with_template("{prefix}{spinner} {msg}").expect("the template is valid")
}
