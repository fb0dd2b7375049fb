//! How a scan goes on, on a terminal's standard error; nothing at all elsewhere.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use scan::Progress;

/// How often the bar is drawn.
const TICK: Duration = Duration::from_millis(100);

/// The bar, or nothing.
#[derive(Debug)]
pub struct Bar {
    bar: Option<ProgressBar>,
}

impl Bar {
    /// A bar, if standard error is a terminal and `wanted`; for this page of several.
    pub fn new(wanted: bool, page: Option<u32>) -> Bar {
        let bar = (wanted && io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
            bar.set_style(words());
            bar.set_prefix(page.map(|page| format!("page {page}  ")).unwrap_or_default());
            // Drawn at most so often, so that the last lines before a silence would not show otherwise.
            bar.enable_steady_tick(TICK);
            bar
        });
        Bar { bar }
    }

    /// Shows this.
    pub fn show(&self, progress: Progress) {
        log::debug!("{progress:?}");
        let Some(bar) = &self.bar else { return };
        match progress {
            Progress::Recovering => bar.set_message("somebody left the scanner in mid-page; bringing it back to idle"),
            Progress::WarmingUp { waited } => bar.set_message(format!("warming up, {} s", waited.as_secs())),
            Progress::Starting => bar.set_message("starting"),
            Progress::Cancelling => {
                bar.set_style(words());
                bar.set_message("bringing the scanner back to idle; Ctrl-C does not wait for that");
            }
            Progress::Lines { done, total } => lines(bar, done, total),
        }
    }

    /// Takes it away.
    pub fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
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
