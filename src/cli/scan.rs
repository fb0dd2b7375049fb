//! `usbscan scan`: one page, from the glass to a file. Whatever ends it early leaves the scanner idle and the file as it
//! was.

use std::io::IsTerminal;
use std::path::Path;

use image::{FileFormat, PageWriter};
use scan::{Area, AreaError, Constraint, Glass, Options, Progress, ScanError, Scanner, SessionTransport, names};
use serde_json::json;
use wire::DeviceEntry;

use super::area::AreaWish;
use super::args::{Device, Format, Mode, Scan};
use super::context::Context;
use super::device::chosen;
use super::failure::Failure;
use super::interrupt::Listening;
use super::output::{Output, OutputError};
use super::progress::Bar;

/// A named paper may be so much larger than the glass, in mm: scanners for A4 are often a little short of it.
const PAPER_TOLERANCE: f64 = 2.0;

/// Scans.
pub fn run(context: &Context<'_>, wish: &Scan) -> Result<(), Failure> {
    // In this order, so that nothing is scanned that can't be kept.
    let format = file_format(wish)?;
    let output = open_output(context, wish)?;
    let bar = Bar::new(!context.json());
    let scanned = scan_to(context, wish, format, output, &bar);
    bar.clear();
    scanned
}

/// A scanner that is open, in step and idle. Signals cancel what it does.
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
    let listening = context.interrupts.on_first(move || cancel.cancel());
    let scanner = scan::open(&device.protocol, Box::new(transport), progress).map_err(|error| ended(context, error))?;
    Ok(Opened { scanner, device, _listening: listening })
}

/// A scan's error, or the signal that was its cause.
fn ended(context: &Context<'_>, error: ScanError) -> Failure {
    match context.interrupts.caught() {
        Some(signal) => Failure::Interrupted { signal, idle: !matches!(error, ScanError::Cancelled { idle: false }) },
        None => error.into(),
    }
}

fn scan_to(context: &Context<'_>, wish: &Scan, format: FileFormat, output: Output, bar: &Bar) -> Result<(), Failure> {
    let mut show = |progress| bar.show(progress);
    let mut opened = open_scanner(context, &wish.device, &mut show)?;
    choose(opened.scanner.options_mut(), wish)?;
    opened.scanner.page_format()?;
    let mut page = PageWriter::new(format, output.writer()?);
    let scanned = opened.scanner.scan(&mut page, &mut show).map_err(|error| ended(context, error));
    // A signal that came after the last line is obeyed all the same: nobody expects the file then.
    let scanned = scanned.and_then(|_| match context.interrupts.caught() {
        Some(signal) => Err(Failure::Interrupted { signal, idle: true }),
        None => Ok(()),
    });
    bar.clear();
    match scanned {
        Ok(()) => finish(context, wish, &opened, &page, output),
        Err(failure) => {
            if wish.keep_partial {
                keep(wish, page, output)?;
            }
            Err(failure)
        }
    }
}

fn finish(
    context: &Context<'_>,
    wish: &Scan,
    opened: &Opened,
    page: &PageWriter,
    output: Output,
) -> Result<(), Failure> {
    let bytes = output.length();
    let through_stdout = output.is_stdout();
    output.finish()?;
    let Some(format) = page.page() else { return Ok(()) };
    let file = wish.output.as_deref().unwrap_or(Path::new("-"));
    let report = json!({
        "device": opened.device.name,
        "file": file,
        "width": format.width,
        "height": page.lines_taken(),
        "pixels": format.pixels,
        "dpi": [format.dpi.0, format.dpi.1],
        "bytes": bytes,
    });
    if through_stdout {
        log::info!("{report}");
        return Ok(());
    }
    context.print(&report, |out| {
        let (width, height) = (format.width, page.lines_taken());
        write!(out, "{}: {width} x {height} pixels, {}", file.display(), format.dpi.0)?;
        match bytes {
            Some(bytes) => writeln!(out, ", {}", size(bytes)),
            None => writeln!(out),
        }
    })
}

/// Keeps what came, white below.
fn keep(wish: &Scan, mut page: PageWriter, output: Output) -> Result<(), Failure> {
    let came = page.lines_taken();
    if !page.fill()? {
        return Ok(());
    }
    output.finish()?;
    let file = wish.output.as_deref().unwrap_or(Path::new("standard output"));
    eprint_line(&format!("usbscan: {} has the {came} lines that came", file.display()));
    Ok(())
}

fn eprint_line(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} bytes"),
        10_000..10_000_000 => format!("{} kB", bytes / 1000),
        _ => format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10),
    }
}

fn file_format(wish: &Scan) -> Result<FileFormat, Failure> {
    if let Some(format) = wish.format {
        return Ok(match format {
            Format::Png => FileFormat::Png,
            Format::Pnm => FileFormat::Pnm,
        });
    }
    let Some(path) = wish.output.as_deref().filter(|path| *path != Path::new("-")) else { return Ok(FileFormat::Png) };
    let ending = path.extension().map(|ending| ending.to_ascii_lowercase());
    match ending.as_deref().and_then(|ending| ending.to_str()) {
        Some("png") => Ok(FileFormat::Png),
        Some("pnm" | "pbm" | "pgm" | "ppm") => Ok(FileFormat::Pnm),
        _ => Err(Failure::NoFormat { name: path.display().to_string() }),
    }
}

fn open_output(context: &Context<'_>, wish: &Scan) -> Result<Output, OutputError> {
    match wish.output.as_deref() {
        None if std::io::stdout().is_terminal() => Err(OutputError::Terminal),
        Some(path) if path != Path::new("-") => Output::create(path, &context.leftover),
        _ => Output::stdout(),
    }
}

/// Sets what was asked for; mode first, because others depend on it.
fn choose(options: &mut Options, wish: &Scan) -> Result<(), Failure> {
    if let Some(mode) = wish.mode {
        let word = match mode {
            Mode::Color => "Color",
            Mode::Gray => "Gray",
            Mode::Lineart => "Lineart",
        };
        options.set(names::MODE, word.into())?;
    }
    if let Some(depth) = wish.depth {
        options.set_text(names::DEPTH, &depth.to_string())?;
    }
    if let Some(resolution) = wish.resolution {
        options.set_text(names::RESOLUTION, &resolution.to_string())?;
    }
    if let Some(area) = wish.area {
        choose_area(options, area)?;
    }
    options.set_all(wish.settings.iter().map(|(name, value)| (name.as_str(), value.as_str())))?;
    Ok(())
}

fn choose_area(options: &mut Options, wish: AreaWish) -> Result<(), Failure> {
    let most = |name: &str| -> Result<f64, Failure> {
        Ok(match options.get(name)?.constraint {
            Constraint::FixedRange { max, .. } => max,
            Constraint::IntRange { max, .. } => max.into(),
            _ => f64::INFINITY,
        })
    };
    let glass = Glass { width: most(names::BR_X)?, height: most(names::BR_Y)? };
    let tolerance = if wish.paper.is_some() { PAPER_TOLERANCE } else { 0.1 };
    let edge = |start: f64, length: f64, most: f64| {
        let end = start + length;
        (end <= most + tolerance).then_some(end.min(most))
    };
    let right = edge(wish.left, wish.width, glass.width);
    let bottom = edge(wish.top, wish.height, glass.height);
    let (Some(right), Some(bottom)) = (right, bottom) else {
        let area = Area { left: wish.left, top: wish.top, width: wish.width, height: wish.height };
        return Err(ScanError::Area(AreaError::OffGlass { area, glass }).into());
    };
    options.set(names::TL_X, wish.left.into())?;
    options.set(names::TL_Y, wish.top.into())?;
    options.set(names::BR_X, right.into())?;
    options.set(names::BR_Y, bottom.into())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::args::{Arguments, Command};
    use super::*;

    fn wish(line: &str) -> Scan {
        let arguments = Arguments::parse_from(["usbscan", "scan"].into_iter().chain(line.split_whitespace()));
        let Command::Scan(wish) = arguments.command else { panic!("another command") };
        wish
    }

    #[test]
    fn the_ending_of_the_name_says_the_format_unless_another_is_asked_for() {
        let format = |line| file_format(&wish(line));
        assert_eq!(format("-o page.png").ok(), Some(FileFormat::Png));
        assert_eq!(format("-o page.PPM").ok(), Some(FileFormat::Pnm));
        assert_eq!(format("-o page.ppm --format png").ok(), Some(FileFormat::Png));
        assert_eq!(format("-o -").ok(), Some(FileFormat::Png));
        assert!(matches!(format("-o page"), Err(Failure::NoFormat { .. })));
        assert!(matches!(format("-o page.jpg"), Err(Failure::NoFormat { .. })));
    }

    #[test]
    fn a_size_is_short() {
        assert_eq!([9_999, 10_000, 12_345_678].map(size), ["9999 bytes", "10 kB", "12.3 MB"]);
    }
}
