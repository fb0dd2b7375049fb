//! `usbscan scan`: from the glass or the feeder to files. However it ends, the scanner is returned to idle; incomplete
//! files never appear, and completed ones are kept.

mod batch;
mod destination;
mod files;
mod hosted;
mod prompt;
mod report;
mod settings;

use usbscan_client::{Endpoints, Session};
use usbscan_image::{FileFormat, PageWriter, Quality};
use usbscan_scan::{Progress, Scanner, SessionTransport};
use usbscan_wire::{DeviceEntry, Status};

use super::args::{DeviceArg, Driver, Scan, Source};
use super::context::Context;
use super::device::select_device;
use super::failure::{DeviceState, Failure};
use super::interrupt::ActionGuard;
use super::output::OutputError;
use batch::{Batch, NextPage, signal_or_error};
use destination::Destination;
use files::Files;
use report::Reporter;
use settings::{apply, uses_feeder};

pub fn run(context: &Context<'_>, args: &Scan) -> Result<(), Failure> {
    // Everything about the output is checked before the scanner is opened, so that no page is scanned and then lost.
    let destination = Destination::from_args(args)?;
    let format = destination.format(args.format)?;
    let quality = quality(args, format)?;
    let max_pages = check_numbers(args, &destination)?;
    let fed = matches!(args.source, Some(Source::Adf | Source::AdfDuplex));
    check_page_count(args, &destination, format, fed)?;
    let files =
        Files::open(destination.clone(), format, quality, &context.temp_file, Some(context.interrupts.clone()))?;
    let mut opened = open_to_scan(context, args)?;
    let fed = uses_feeder(opened.scanner.options());
    check_page_count(args, &destination, format, fed)?;
    check_documents(args, &destination, &*opened.scanner, PageWriter::passes_pdf(format, quality), fed)?;
    format.check(&opened.scanner.page_format()?, quality).map_err(Failure::Unwritable)?;
    scan_pages(context, args, &mut opened, files, fed, max_pages)
}

/// An open scanner, idle and with nothing left of an earlier command. A signal cancels its scan.
pub struct Opened {
    pub scanner: Box<dyn Scanner>,
    pub device: DeviceEntry,
    _signal_guard: ActionGuard,
}

/// Opens a scanner with the driver for its protocol.
///
/// # Errors
/// The daemon's or the driver's; [`Failure::Interrupted`].
pub fn open_scanner(
    context: &Context<'_>,
    device: &DeviceArg,
    driver: &Driver,
    progress: &mut dyn FnMut(Progress),
) -> Result<Opened, Failure> {
    let session = context.connect()?;
    let name = select_device(&session, device)?;
    if let Some(backend) = driver.driver.as_deref().and_then(|driver| driver.strip_prefix(usbscan_scan::hosted::PREFIX))
    {
        return hosted::open(context, session, &name, backend, driver.host_folder.as_deref(), progress);
    }
    let endpoints = endpoints_of(&session, &name, driver)?;
    let opened = SessionTransport::open_at(session, &name, endpoints);
    let (transport, device) = opened.map_err(|error| open_failure(context, &name, error))?;
    let cancel = transport.cancel_handle();
    let bar = context.bar.clone();
    let signal_guard = context.interrupts.on_first(move |signal| {
        bar.interrupted(signal);
        cancel.cancel();
    });
    let scanner = usbscan_scan::open(&device.protocol, Box::new(transport), progress)
        .map_err(|error| signal_or_error(context.interrupts.caught(), error))?;
    Ok(Opened { scanner, device, _signal_guard: signal_guard })
}

/// Why a scanner could not be opened. Another client of usbscand is named by the refusal; a program that has the device past it is
/// what `problem` in the list of scanners tells of, as far as that can be seen.
fn open_failure(context: &Context<'_>, device: &str, error: usbscan_client::Error) -> Failure {
    let is_held = || {
        let entry = context.connect().ok().and_then(|session| session.find(device).ok());
        entry.is_some_and(|entry| entry.problem.is_some())
    };
    if error.status() == Some(Status::Busy) && is_held() { Failure::HeldElsewhere(error) } else { error.into() }
}

/// The interface of the driver that is asked for.
fn endpoints_of(session: &Session, device: &str, driver: &Driver) -> Result<Endpoints, Failure> {
    let Some(wanted) = driver.driver.as_deref() else { return Ok(Endpoints::default()) };
    let entry = session.find(device)?;
    let ways = entry.drivers.iter().map(|way| (way.driver.as_str(), way.interface));
    let all: Vec<_> = if entry.drivers.is_empty() { vec![(&*entry.protocol, entry.interface)] } else { ways.collect() };
    match all.iter().find(|(name, _)| *name == wanted) {
        Some((_, interface)) => Ok(Endpoints { interface: Some(*interface), ..Endpoints::default() }),
        None => {
            let known = all.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
            Err(Failure::NoDriver { device: entry.name.clone(), wanted: wanted.to_owned(), known })
        }
    }
}

fn open_to_scan(context: &Context<'_>, args: &Scan) -> Result<Opened, Failure> {
    context.bar.begin(None);
    let opened = open_scanner(context, &args.device, &args.driver, &mut |progress| context.bar.show(progress));
    context.bar.clear();
    let mut opened = opened?;
    apply(opened.scanner.options_mut(), args).map_err(|failure| match context.interrupts.caught() {
        // A backend of SANE may ask its scanner for each option, and have been interrupted in that.
        Some(signal) => Failure::Interrupted { signal, state: DeviceState::Recovering },
        None => failure,
    })?;
    Ok(opened)
}

fn quality(args: &Scan, format: FileFormat) -> Result<Quality, Failure> {
    match args.quality {
        Some(Quality::Jpeg(_)) if !matches!(format, FileFormat::Jpeg | FileFormat::Pdf) => {
            Err(Failure::Quality(format))
        }
        Some(Quality::Lossless) if format == FileFormat::Jpeg => {
            Err(Failure::Unwritable(usbscan_image::ImageError::Lossy))
        }
        // Lines of a page that fails can be kept; a part of a JPEG as it came can't: so it is decoded, and encoded again.
        None if args.keep_partial => Ok(Quality::Jpeg(Quality::OFFICE)),
        quality => Ok(quality.unwrap_or_default()),
    }
}

/// Checks the flags for numbered files. Returns how many pages may be scanned.
fn check_numbers(args: &Scan, destination: &Destination) -> Result<Option<u32>, Failure> {
    let Destination::PerPage(_) = destination else {
        let flags = [("--start", args.start.is_some()), ("--increment", args.increment.is_some())];
        let given = flags.into_iter().chain([("--overwrite", args.overwrite)]).find(|flag| flag.1);
        return given.map_or(Ok(args.pages), |(flag, _)| Err(Failure::NotNumbered(flag)));
    };
    let max_pages = [args.pages, destination.max_pages()].into_iter().flatten().min();
    if !args.overwrite {
        // A folder that can't be read, or is not there, is found when the first file is opened.
        let existing = destination.existing_files(max_pages).unwrap_or_default();
        if let Some(first) = existing.first() {
            return Err(OutputError::Exists { path: first.clone(), others: existing.len() - 1 }.into());
        }
    }
    Ok(max_pages)
}

/// Refuses a single-page format where there may be several pages.
fn check_page_count(args: &Scan, destination: &Destination, format: FileFormat, fed: bool) -> Result<(), Failure> {
    let many = (fed || args.batch) && args.pages != Some(1);
    let fits = matches!(destination, Destination::PerPage(_)) || format.holds_many_pages();
    if many && !fits { Err(Failure::OnePage { format }) } else { Ok(()) }
}

/// Refuses what can't be had of a scanner that sends PDF documents only.
fn check_documents(
    args: &Scan,
    destination: &Destination,
    scanner: &dyn Scanner,
    is_pdf: bool,
    fed: bool,
) -> Result<(), Failure> {
    let many = (fed || args.batch) && args.pages != Some(1);
    match scanner.sends_only_pdf() {
        true if !is_pdf => Err(Failure::OnlyPdf),
        true if many && !matches!(destination, Destination::PerPage(_)) => {
            Err(Failure::Unwritable(usbscan_image::ImageError::OneDocument))
        }
        _ => Ok(()),
    }
}

fn scan_pages(
    context: &Context<'_>,
    args: &Scan,
    opened: &mut Opened,
    files: Files,
    fed: bool,
    max_pages: Option<u32>,
) -> Result<(), Failure> {
    let mut ask = |page| prompt::ask(context, page);
    let reporter = Reporter { context, device: &opened.device.name, many: fed || args.batch };
    let batch = Batch {
        next_page: match (fed, args.batch) {
            (true, _) => NextPage::Feeder,
            (false, true) => NextPage::Prompt(&mut ask),
            (false, false) => NextPage::None,
        },
        max_pages,
        keep_partial: args.keep_partial,
        caught: &|| context.interrupts.caught(),
        bar: &context.bar,
        report: &mut |page| reporter.page(page),
    };
    match batch.scan(&mut *opened.scanner, files)? {
        Some(file) => reporter.file(&file),
        None => Ok(()),
    }
}
