//! Sets the scanner's options from the command line.

use usbscan_scan::{
    Area, AreaError, Constraint, MM_PER_INCH, MaxArea, Options, ScanError, SourceKind, Unit, Value, names, source_kind,
    sources,
};

use super::super::area::{AreaArgument, Part};
use super::super::args::{Mode, Scan, Source};
use super::super::failure::Failure;

/// How much larger than the glass a named paper size may be, in mm: the glass of A4 scanners is often a little shorter.
const PAPER_TOLERANCE: f64 = 2.0;

/// Sets all options. Source and mode go first, because other options depend on them.
///
/// # Errors
/// [`Failure::Setting`], or [`ScanError::Area`].
pub fn apply(options: &mut Options, args: &Scan) -> Result<(), Failure> {
    check_conflicts(args)?;
    if let Some(source) = args.source {
        apply_source(options, source)?;
    }
    let settings = || args.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    options.set_all(settings().filter(|(name, _)| *name == names::SOURCE))?;
    if let Some(mode) = args.mode {
        let word = match mode {
            Mode::Color => "Color",
            Mode::Gray => "Gray",
            Mode::Lineart => "Lineart",
        };
        options.set(names::MODE, word.into())?;
    }
    match args.depth {
        // A scanner without the option has no other depth.
        Some(8) if options.get(names::DEPTH).is_err() => {}
        Some(_) if options.get(names::DEPTH).is_err() => return Err(Failure::Depth),
        Some(depth) => options.set_text(names::DEPTH, &depth.to_string())?,
        None => {}
    }
    if let Some(resolution) = args.resolution {
        apply_resolution(options, resolution)?;
    }
    if let Some(area) = args.area {
        apply_area(options, area)?;
    }
    options.set_all(settings().filter(|(name, _)| *name != names::SOURCE))?;
    Ok(())
}

/// Refuses a flag together with `--set` for the same option: they may disagree, and neither is the obvious winner.
fn check_conflicts(args: &Scan) -> Result<(), Failure> {
    let flags: [(&'static str, bool, &[&str]); 5] = [
        ("--source", args.source.is_some(), &[names::SOURCE]),
        ("--mode", args.mode.is_some(), &[names::MODE]),
        ("--depth", args.depth.is_some(), &[names::DEPTH]),
        ("--resolution", args.resolution.is_some(), &[names::RESOLUTION]),
        ("--area", args.area.is_some(), &[names::TL_X, names::TL_Y, names::BR_X, names::BR_Y]),
    ];
    for (flag, _, options) in flags.into_iter().filter(|flag| flag.1) {
        if let Some((option, _)) = args.settings.iter().find(|(name, _)| options.contains(&name.as_str())) {
            return Err(Failure::Conflict { flag, option: option.clone() });
        }
    }
    Ok(())
}

/// Whether the options select a document feeder.
pub fn uses_feeder(options: &Options) -> bool {
    let source = options.text(names::SOURCE).and_then(source_kind);
    matches!(source, Some(SourceKind::Feeder | SourceKind::FeederDuplex))
}

/// Some backends of SANE have two options for it, of which the second may follow the first by itself.
fn apply_resolution(options: &mut Options, resolution: u32) -> Result<(), Failure> {
    let text = resolution.to_string();
    let (across, down) = ("x-resolution", "y-resolution");
    if options.get(names::RESOLUTION).is_ok() || options.get(across).is_err() {
        return Ok(options.set_text(names::RESOLUTION, &text)?);
    }
    options.set_text(across, &text)?;
    if options.value(down).is_some() {
        options.set_text(down, &text)?;
    }
    Ok(())
}

fn apply_source(options: &mut Options, source: Source) -> Result<(), Failure> {
    let word = match source {
        // A scanner with one source may not have the option.
        Source::Flatbed if options.get(names::SOURCE).is_err() => return Ok(()),
        Source::Flatbed => sources::FLATBED,
        Source::Adf => sources::FEEDER,
        Source::AdfDuplex => sources::FEEDER_DUPLEX,
        Source::Transparency => sources::TRANSPARENCY,
    };
    Ok(options.set(names::SOURCE, word.into())?)
}

fn apply_area(options: &mut Options, area: AreaArgument) -> Result<(), Failure> {
    let across = units_per_mm(options, names::BR_X, &[names::RESOLUTION, "x-resolution"])?;
    let down = units_per_mm(options, names::BR_Y, &[names::RESOLUTION, "y-resolution", "x-resolution"])?;
    let most = |name: &str, per_mm: f64| -> Result<f64, Failure> {
        Ok(match options.get(name)?.constraint {
            Constraint::FixedRange { max, .. } => max / per_mm,
            Constraint::IntRange { max, .. } => f64::from(max) / per_mm,
            _ => f64::INFINITY,
        })
    };
    let max_area = MaxArea { width: most(names::BR_X, across)?, height: most(names::BR_Y, down)? };
    let part = match area {
        AreaArgument::Part(part) => part,
        AreaArgument::Max => Part { left: 0.0, top: 0.0, width: max_area.width, height: max_area.height, paper: None },
    };
    let tolerance = if part.paper.is_some() { PAPER_TOLERANCE } else { 0.1 };
    let edge = |start: f64, length: f64, most: f64| {
        let end = start + length;
        (end <= most + tolerance).then_some(end.min(most))
    };
    let right = edge(part.left, part.width, max_area.width);
    let bottom = edge(part.top, part.height, max_area.height);
    let (Some(right), Some(bottom)) = (right, bottom) else {
        let area = Area { left: part.left, top: part.top, width: part.width, height: part.height };
        return Err(ScanError::Area(AreaError::OutsideMaxArea { area, max_area }).into());
    };
    // Some backends of SANE keep the edges in order: the far ones first, while the near ones are at 0.
    let edges = [
        (names::BR_X, right, across),
        (names::BR_Y, bottom, down),
        (names::TL_X, part.left, across),
        (names::TL_Y, part.top, down),
    ];
    for (name, mm, per_mm) in edges {
        let is_whole = matches!(options.get(name)?.constraint, Constraint::IntRange { .. });
        let value = mm * per_mm;
        options.set(name, Value::Fixed(if is_whole { value.round() } else { value }))?;
    }
    Ok(())
}

/// What an edge counts for each millimetre: 1, or pixels of the resolution that is chosen.
fn units_per_mm(options: &Options, edge: &str, resolutions: &[&str]) -> Result<f64, Failure> {
    if options.get(edge)?.unit != Unit::Pixel {
        return Ok(1.0);
    }
    let dpi = resolutions.iter().find_map(|name| options.fixed(name)).filter(|dpi| *dpi > 0.0);
    Ok(dpi.unwrap_or(MM_PER_INCH) / MM_PER_INCH)
}
