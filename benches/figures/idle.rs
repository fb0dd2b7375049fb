//! What the daemon costs while nobody uses it: usbscand, a program of its own, with eight scanners, or with one on a host
//! controller of this machine's own kernel. And how soon it is there.

use std::time::{Duration, Instant};

use crate::kernel::Plugged;
use crate::report::{Report, Series};
use crate::usbscand::Usbscand;
use crate::{Outcome, Wishes};

const SCANNERS: usize = 8;

pub fn measure(wishes: &Wishes, report: &mut Report) -> Outcome<()> {
    let mut arguments = vec!["--no-usb".to_owned()];
    arguments.extend((0..SCANNERS).map(|number| format!("--virtual=esci,serial=IDLE{number}")));
    of(wishes, report, &format!("usbscand with {SCANNERS} scanners"), &arguments)
}

/// With libusb, its hotplug and its thread.
pub fn measure_on_a_kernel(wishes: &Wishes, report: &mut Report) -> Outcome<()> {
    let controller = wishes.controller()?;
    let _scanner = Plugged::new(controller, "esci")?;
    of(wishes, report, &format!("usbscand with a scanner on {controller}"), &[])
}

fn of(wishes: &Wishes, report: &mut Report, who: &str, arguments: &[String]) -> Outcome<()> {
    let mut start_up = Series::new(format!("{who}: started until it says that it is ready"));
    for _ in 0..wishes.rounds(20) {
        let began = Instant::now();
        let daemon = Usbscand::start(arguments)?;
        start_up.values.push(began.elapsed().as_secs_f64() * 1e3);
        drop(daemon);
    }
    report.series(&start_up, "ms");

    let daemon = Usbscand::start(arguments)?;
    let session = daemon.session()?;
    session.open("usbscan0")?;
    let seconds = if wishes.quick { 3 } else { 20 };
    let before = daemon.switches()?;
    // Nothing is waited for: this is the time that is measured.
    std::thread::sleep(Duration::from_secs(seconds));
    let woken = daemon.switches()? - before;
    report.value(
        &format!("{who}: wake-ups of all its threads, one scanner open"),
        woken as f64 * 60.0 / seconds as f64,
        "a minute",
    );
    report.value(&format!("{who}: resident memory"), daemon.status("VmRSS:")? as f64 / 1024.0, "MiB");
    report.value(&format!("{who}: threads"), daemon.status("Threads:")? as f64, "");
    report.value(&format!("{who}: file descriptors"), daemon.listing("fd")?.len() as f64, "");
    Ok(())
}
