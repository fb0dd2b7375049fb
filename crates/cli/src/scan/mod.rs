//! `usbscan scan`: from the glass or the feeder to files. Whatever ends it early leaves the scanner idle; a file that is
//! not whole never appears, and those that are whole stay.

mod choice;
mod files;
mod name;
mod pages;
mod prompt;
mod report;

use usbscan_image::{FileFormat, Quality};
use usbscan_scan::{Progress, Scanner, SessionTransport};
use usbscan_wire::DeviceEntry;

use super::args::{Device, Scan, Source};
use super::context::Context;
use super::device::chosen;
use super::failure::Failure;
use super::interrupt::Listening;
use choice::{choose, is_fed};
use files::Files;
use name::Name;
use pages::{More, Pages, ended};
use report::Reporter;

/// Scans.
pub fn run(context: &Context<'_>, wish: &Scan) -> Result<(), Failure> {
    // In this order, so that nothing is scanned that can't be kept.
    let name = Name::of(wish)?;
    let format = name.format(wish.format)?;
    let quality = quality(wish, format)?;
    let fed = matches!(wish.source, Some(Source::Adf | Source::AdfDuplex));
    check_room(wish, &name, format, fed)?;
    let files = Files::open(name.clone(), format, quality, &context.leftover)?;
    let mut opened = open_to_scan(context, wish)?;
    let fed = is_fed(opened.scanner.options());
    check_room(wish, &name, format, fed)?;
    format.check(&opened.scanner.page_format()?, quality).map_err(Failure::Unwritable)?;
    scan_pages(context, wish, &mut opened, files, fed)
}

/// A scanner that is open, in sync and idle. Signals cancel what it does.
pub struct Opened {
    /// It.
    pub scanner: Box<dyn Scanner>,
    /// As the daemon lists it.
    pub device: DeviceEntry,
    _listening: Listening,
}

/// Opens a scanner with the driver of its protocol.
///
/// # Errors
/// The daemon's or the driver's; [`Failure::Interrupted`].
pub fn open_scanner(
    context: &Context<'_>,
    device: &Device,
    progress: &mut dyn FnMut(Progress),
) -> Result<Opened, Failure> {
    let session = context.connect()?;
    let name = chosen(&session, device)?;
    let (transport, device) = SessionTransport::open(session, &name)?;
    let cancel = transport.cancel_handle();
    let bar = context.bar.clone();
    let listening = context.interrupts.on_first(move |signal| {
        bar.ending(signal);
        cancel.cancel();
    });
    let scanner = usbscan_scan::open(&device.protocol, Box::new(transport), progress)
        .map_err(|error| ended(context.interrupts.caught(), error))?;
    Ok(Opened { scanner, device, _listening: listening })
}

fn open_to_scan(context: &Context<'_>, wish: &Scan) -> Result<Opened, Failure> {
    context.bar.begin(None);
    let opened = open_scanner(context, &wish.device, &mut |progress| context.bar.show(progress));
    context.bar.clear();
    let mut opened = opened?;
    choose(opened.scanner.options_mut(), wish)?;
    Ok(opened)
}

fn quality(wish: &Scan, format: FileFormat) -> Result<Quality, Failure> {
    match wish.quality {
        Some(Quality::Jpeg(_)) if !matches!(format, FileFormat::Jpeg | FileFormat::Pdf) => {
            Err(Failure::Quality(format))
        }
        Some(Quality::Lossless) if format == FileFormat::Jpeg => {
            Err(Failure::Unwritable(usbscan_image::ImageError::Lossy))
        }
        quality => Ok(quality.unwrap_or_default()),
    }
}

/// Whether all pages that may come have a place.
fn check_room(wish: &Scan, name: &Name, format: FileFormat, fed: bool) -> Result<(), Failure> {
    let many = (fed || wish.batch) && wish.pages != Some(1);
    let room = matches!(name, Name::Each(_)) || format.holds_many_pages();
    if many && !room { Err(Failure::OnePage { format }) } else { Ok(()) }
}

fn scan_pages(context: &Context<'_>, wish: &Scan, opened: &mut Opened, files: Files, fed: bool) -> Result<(), Failure> {
    let mut ask = |page| prompt::ask(context, page);
    let reporter = Reporter { context, device: &opened.device.name, many: fed || wish.batch };
    let pages = Pages {
        more: match (fed, wish.batch) {
            (true, _) => More::Fed,
            (false, true) => More::Ask(&mut ask),
            (false, false) => More::No,
        },
        most: wish.pages,
        keep_partial: wish.keep_partial,
        caught: &|| context.interrupts.caught(),
        bar: &context.bar,
        report: &mut |page| reporter.page(page),
    };
    match pages.scan(&mut *opened.scanner, files)? {
        Some(file) => reporter.file(&file),
        None => Ok(()),
    }
}
