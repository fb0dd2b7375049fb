//! The scanner's options, as the command line wishes them.

use usbscan_scan::{Area, AreaError, Constraint, MaxArea, Options, ScanError, names, sources};

use super::super::area::AreaWish;
use super::super::args::{Mode, Scan, Source};
use super::super::failure::Failure;

/// A named paper may be so much larger than the scan area, in mm: scanners for A4 are often a little short of it.
const PAPER_TOLERANCE: f64 = 2.0;

/// Sets what was asked for; source and mode first, because others depend on them.
///
/// # Errors
/// [`Failure::Setting`], or [`ScanError::Area`].
pub fn choose(options: &mut Options, wish: &Scan) -> Result<(), Failure> {
    if let Some(source) = wish.source {
        choose_source(options, source)?;
    }
    let settings = || wish.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    options.set_all(settings().filter(|(name, _)| *name == names::SOURCE))?;
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
    options.set_all(settings().filter(|(name, _)| *name != names::SOURCE))?;
    Ok(())
}

/// Whether the scanner takes its pages from a feeder, with the options as they are.
pub fn is_fed(options: &Options) -> bool {
    matches!(options.text(names::SOURCE), Some(sources::FEEDER | sources::FEEDER_DUPLEX))
}

fn choose_source(options: &mut Options, source: Source) -> Result<(), Failure> {
    let word = match source {
        // A scanner that has nothing else may not ask.
        Source::Flatbed if options.get(names::SOURCE).is_err() => return Ok(()),
        Source::Flatbed => sources::FLATBED,
        Source::Adf => sources::FEEDER,
        Source::AdfDuplex => sources::FEEDER_DUPLEX,
        Source::Transparency => sources::TRANSPARENCY,
    };
    Ok(options.set(names::SOURCE, word.into())?)
}

fn choose_area(options: &mut Options, wish: AreaWish) -> Result<(), Failure> {
    let most = |name: &str| -> Result<f64, Failure> {
        Ok(match options.get(name)?.constraint {
            Constraint::FixedRange { max, .. } => max,
            Constraint::IntRange { max, .. } => max.into(),
            _ => f64::INFINITY,
        })
    };
    let max_area = MaxArea { width: most(names::BR_X)?, height: most(names::BR_Y)? };
    let tolerance = if wish.paper.is_some() { PAPER_TOLERANCE } else { 0.1 };
    let edge = |start: f64, length: f64, most: f64| {
        let end = start + length;
        (end <= most + tolerance).then_some(end.min(most))
    };
    let right = edge(wish.left, wish.width, max_area.width);
    let bottom = edge(wish.top, wish.height, max_area.height);
    let (Some(right), Some(bottom)) = (right, bottom) else {
        let area = Area { left: wish.left, top: wish.top, width: wish.width, height: wish.height };
        return Err(ScanError::Area(AreaError::OutsideMaxArea { area, max_area }).into());
    };
    options.set(names::TL_X, wish.left.into())?;
    options.set(names::TL_Y, wish.top.into())?;
    options.set(names::BR_X, right.into())?;
    options.set(names::BR_Y, bottom.into())?;
    Ok(())
}
