//! What the daemon costs while nobody uses it: usbscand, a program of its own, with eight scanners. And how soon it is
//! there.

use std::time::{Duration, Instant};

use crate::report::{Report, Series};
use crate::usbscand::Usbscand;
use crate::{Outcome, Wishes};

const SCANNERS: usize = 8;

pub fn measure(wishes: &Wishes, report: &mut Report) -> Outcome<()> {
    let mut start_up =
        Series::new(format!("usbscand with {SCANNERS} scanners: started until it says that it is ready"));
    for _ in 0..wishes.rounds(20) {
        let began = Instant::now();
        let daemon = with_scanners()?;
        start_up.values.push(began.elapsed().as_secs_f64() * 1e3);
        drop(daemon);
    }
    report.series(&start_up, "ms");

    let daemon = with_scanners()?;
    let session = daemon.session()?;
    session.open("usbscan0")?;
    let seconds = if wishes.quick { 3 } else { 20 };
    let before = daemon.switches()?;
    // Nothing is waited for: this is the time that is measured.
    std::thread::sleep(Duration::from_secs(seconds));
    let woken = daemon.switches()? - before;
    report.value("wake-ups of all its threads, one scanner open", woken as f64 * 60.0 / seconds as f64, "a minute");
    report.value("resident memory", daemon.status("VmRSS:")? as f64 / 1024.0, "MiB");
    report.value("threads", daemon.status("Threads:")? as f64, "");
    report.value("file descriptors", daemon.listing("fd")?.len() as f64, "");
    Ok(())
}

fn with_scanners() -> Outcome<Usbscand> {
    let mut arguments = vec!["--no-usb".to_owned()];
    arguments.extend((0..SCANNERS).map(|number| format!("--virtual=esci,serial=IDLE{number}")));
    Usbscand::start(&arguments)
}
