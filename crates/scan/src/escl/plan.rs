//! One page as it is to be scanned: from the options of people to the settings of a job. Values only.

use usbscan_escl::{ColorMode, Format, InputSource, Region, ScanSettings, UNITS_PER_INCH};

use super::capabilities::{COMPRESSION_FACTOR, Capabilities, INTENT, NO_INTENT, Place};
use crate::options::names;
use crate::support::options::{chosen_pixels, modes};
use crate::{Dpi, OptionError, Options, PageFormat, PixelArea, Pixels, ScanError, Unsupported};

/// One page as it is to be scanned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    /// What leaves us.
    pub page: PageFormat,
    /// Pixels of the scanner's picture left of the page and above it: it is asked for more where it can't do so little, or
    /// where the edge of a pixel is none of a unit.
    pub offset: (u32, u32),
    /// The most lines of the page.
    pub most_lines: u32,
    /// Shades below this become black, in lineart.
    pub threshold: u8,
    /// What the scanner is asked for.
    pub settings: ScanSettings,
}

impl Plan {
    /// The same page as a document that the scanner makes: it is as large as the scanner can do, and lineart is the scanner's.
    ///
    /// # Errors
    /// [`ScanError::NotSupported`] for lineart of a scanner that has none.
    pub(super) fn into_pdf(mut self, capabilities: &Capabilities) -> Result<Plan, ScanError> {
        self.settings.format = Format::Pdf;
        self.settings.has_format_ext = capabilities.has_format_ext(self.settings.source, Format::Pdf);
        if self.page.pixels == Pixels::Bit {
            let lineart = ColorMode::BlackAndWhite1;
            if !capabilities.has_mode(self.settings.source, lineart) {
                let (model, formats) = (capabilities.all.make_and_model.clone(), Format::Pdf.media_type().to_owned());
                let known = Format::Jpeg.media_type();
                return Err(ScanError::NotSupported(Unsupported::Format { model, formats, known }));
            }
            self.settings.mode = lineart;
        }
        Ok(self)
    }

    pub(super) fn new(capabilities: &Capabilities, options: &Options) -> Result<Plan, ScanError> {
        let place = capabilities.place(options.text(names::SOURCE));
        let (pixels, mode) = match options.text(names::MODE) {
            Some(modes::LINEART) => (Pixels::Bit, ColorMode::Grayscale8),
            Some(modes::GRAY) => (Pixels::Gray8, ColorMode::Grayscale8),
            _ => (Pixels::Rgb8, ColorMode::Rgb24),
        };
        let dpi = options.int(names::RESOLUTION).and_then(|dpi| u32::try_from(dpi).ok()).unwrap_or(300);
        let dpi = resolution(&place, mode, dpi)?;
        let (wanted, region) = areas(&place, options, dpi)?;
        let start = |units: u32| (u64::from(units) * u64::from(dpi) / u64::from(UNITS_PER_INCH)) as u32;
        let offset = (wanted.x.saturating_sub(start(region.x)), wanted.y.saturating_sub(start(region.y)));
        // A sheet may be shorter than the area.
        let height = Some(wanted.height).filter(|_| place.source == InputSource::Platen);
        let caps = &place.caps;
        let number = |name, range: Option<usbscan_escl::Range>| {
            options.int(name).filter(|value| range.is_some_and(|range| range.has(*value) && range.normal != *value))
        };
        let all = &capabilities.all;
        let format = Format::Jpeg;
        let settings = ScanSettings {
            version: all.version.clone(),
            intent: options.text(INTENT).filter(|intent| *intent != NO_INTENT).map(str::to_owned),
            region,
            source: place.source,
            mode,
            format,
            has_format_ext: caps.formats_ext.contains(&format),
            resolution: dpi,
            brightness: number(names::BRIGHTNESS, all.brightness),
            contrast: number(names::CONTRAST, all.contrast),
            sharpen: number(names::SHARPNESS, all.sharpen),
            threshold: None,
            compression: number(COMPRESSION_FACTOR, all.compression),
        };
        Ok(Plan {
            page: PageFormat { width: wanted.width, height, pixels, dpi: (Dpi(dpi), Dpi(dpi)) },
            offset,
            most_lines: wanted.height,
            threshold: options.int(names::THRESHOLD).and_then(|value| u8::try_from(value).ok()).unwrap_or(128),
            settings,
        })
    }

    pub(super) fn is_fed(&self) -> bool {
        self.settings.source != InputSource::Platen
    }

    /// More bytes than the scanner's picture has as JPEG, however bad: two for each sample of each pixel, and its headers.
    pub(super) fn most_bytes(&self) -> u64 {
        let Region { width, height, .. } = self.settings.region;
        let side = |units: u32| u64::from(units) * u64::from(self.settings.resolution) / u64::from(UNITS_PER_INCH) + 64;
        side(width) * side(height) * 6 + (16 << 20)
    }
}

/// What this mode has with this source: some devices have fewer resolutions in colour.
fn resolution(place: &Place, mode: ColorMode, dpi: u32) -> Result<u32, OptionError> {
    let caps = place.caps.resolutions(mode);
    let listed = caps.map(|caps| caps.square()).unwrap_or_default();
    let range = caps.and_then(|caps| caps.square_range());
    let in_range = range
        .is_some_and(|range| i32::try_from(dpi).is_ok_and(|dpi| range.has(dpi) && (dpi - range.min) % range.step == 0));
    if in_range || listed.contains(&dpi) {
        return Ok(dpi);
    }
    let mut possible: Vec<String> = listed.iter().map(u32::to_string).collect();
    possible.extend(range.map(|range| format!("from {} to {} in steps of {}", range.min, range.max, range.step)));
    let possible = format!("with this mode and source: {} dpi", possible.join(", "));
    Err(OptionError::Value { name: names::RESOLUTION.to_owned(), value: dpi.to_string(), possible })
}

/// The page in pixels, and the region that the scanner is asked for. That begins and ends where a border of its units is one
/// of pixels too, and is as large as the scanner needs it.
fn areas(place: &Place, options: &Options, dpi: u32) -> Result<(PixelArea, Region), ScanError> {
    let most = (pixels(place.caps.max_width, dpi), pixels(place.caps.max_height, dpi));
    let wanted = chosen_pixels(options, place.alignment, place.max_area(), (Dpi(dpi), Dpi(dpi)), most)?;
    let caps = &place.caps;
    let (x, width) = side(wanted.x, wanted.width, dpi, caps.min_width, caps.max_width);
    let (y, height) = side(wanted.y, wanted.height, dpi, caps.min_height, caps.max_height);
    Ok((wanted, Region { x, y, width, height }))
}

fn pixels(units: u32, dpi: u32) -> u32 {
    (u64::from(units) * u64::from(dpi) / u64::from(UNITS_PER_INCH)) as u32
}

/// One side of the region, in units: where it begins, and how long it is.
fn side(start: u32, length: u32, dpi: u32, least: u32, most: u32) -> (u32, u32) {
    // Every so many units there is a border of pixels.
    let grid = u64::from(UNITS_PER_INCH / gcd(UNITS_PER_INCH, dpi));
    let units = |pixels: u64| pixels * u64::from(UNITS_PER_INCH);
    let first = units(start.into()) / u64::from(dpi) / grid * grid;
    let last = units(u64::from(start) + u64::from(length)).div_ceil(dpi.into()).next_multiple_of(grid);
    let (least, most) = (u64::from(least), u64::from(most));
    let mut last = last.min(most).max(first + 1);
    let mut first = first;
    if last - first < least {
        last = first + least.min(most);
        if last > most {
            first = (most - least.min(most)) / grid * grid;
            last = most;
        }
    }
    (first as u32, (last - first) as u32)
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::capabilities::tests::scanner;
    use super::*;

    fn plan(values: &[(&str, &str)]) -> Result<Plan, ScanError> {
        let capabilities = scanner();
        let mut options = capabilities.options();
        options.set_all(values.iter().copied()).expect("good options");
        Plan::new(&capabilities, &options)
    }

    #[test]
    fn a_page_is_its_settings() {
        let a4 = plan(&[("br-x", "210"), ("br-y", "297")]).expect("A4");
        assert_eq!((a4.page.width, a4.page.height, a4.offset), (2480, Some(3508), (0, 0)));
        assert_eq!(a4.settings.region, Region { x: 0, y: 0, width: 2480, height: 3508 });
        assert_eq!((a4.settings.mode, a4.settings.source), (ColorMode::Rgb24, InputSource::Platen));
        assert_eq!((a4.settings.brightness, a4.settings.intent.as_deref()), (None, None));
        let feeder = plan(&[("source", "adf duplex"), ("mode", "lineart"), ("threshold", "90")]).expect("a sheet");
        assert_eq!((feeder.page.height, feeder.page.pixels, feeder.threshold), (None, Pixels::Bit, 90));
        assert_eq!((feeder.settings.mode, feeder.settings.source), (ColorMode::Grayscale8, InputSource::FeederDuplex));
        let tuned = plan(&[("brightness", "3"), ("intent", "photo"), ("compression-factor", "7")]).expect("a page");
        assert_eq!((tuned.settings.brightness, tuned.settings.compression), (Some(3), Some(7)));
        assert_eq!(tuned.settings.intent.as_deref(), Some("Photo"));
    }

    #[test]
    fn an_area_that_is_too_small_for_the_scanner_is_cut_out_of_a_larger_one() {
        // The glass wants 16 units, the feeder 591.
        let spot = plan(&[("tl-x", "100"), ("tl-y", "100"), ("br-x", "100.5"), ("br-y", "101")]).expect("a spot");
        assert_eq!((spot.page.width, spot.page.height), (6, Some(12)));
        assert_eq!((spot.settings.region.width, spot.settings.region.height), (16, 16));
        let corner = [("tl-x", "210"), ("br-x", "215"), ("br-y", "10"), ("page-width", "215.9")];
        let corner = plan(&[&[("source", "automatic document feeder")], &corner[..]].concat()).expect("a corner");
        let region = corner.settings.region;
        assert_eq!((region.width, region.x + region.width), (591, 2550));
        assert_eq!(corner.offset.0, 2480 - region.x);
    }

    #[test]
    fn the_area_of_a_feeder_that_holds_sheets_at_the_right_counts_from_the_edge_of_the_sheet() {
        let a5 = [("source", "adf duplex"), ("resolution", "300"), ("br-x", "148"), ("br-y", "210")];
        let whole = plan(&a5).expect("A5");
        assert_eq!((whole.page.width, whole.offset), (1748, (0, 0)));
        assert_eq!((whole.settings.region.x, whole.settings.region.width), (2550 - 1748, 1748));
        let part =
            plan(&[&a5[..], &[("tl-x", "20"), ("br-x", "128"), ("page-width", "148")]].concat()).expect("a part");
        assert_eq!(part.settings.region.x, 2550 - 1748 + 236);
        let glass = plan(&[("source", "flatbed"), ("br-x", "148"), ("br-y", "210")]).expect("A5");
        assert_eq!(glass.settings.region.x, 0);
    }

    #[test]
    fn a_resolution_that_the_mode_has_not_is_refused_in_words() {
        let error = plan(&[("mode", "color"), ("resolution", "1200")]).expect_err("gray only").to_string();
        assert_eq!(error, "resolution can't be 1200; possible: with this mode and source: 75, 200, 300, 600 dpi");
        plan(&[("mode", "gray"), ("resolution", "1200")]).expect("in gray");
    }

    proptest! {
        #[test]
        fn every_region_has_the_page_in_it_and_is_one_that_the_scanner_can_do(
            start in 0u32..2000, length in 1u32..4000, dpi in prop::sample::select(vec![50u32, 75, 96, 100, 150, 200, 240, 300, 400, 600, 1200, 2400]),
            least in prop::sample::select(vec![1u32, 16, 118, 576, 1748]),
        ) {
            let most = 2550;
            let all = pixels(most, dpi);
            let start = start.min(all - 1);
            let length = length.min(all - start);
            let (x, width) = side(start, length, dpi, least, most);
            prop_assert!(width >= least && x + width <= most);
            let offset = u64::from(x) * u64::from(dpi);
            prop_assert_eq!(offset % u64::from(UNITS_PER_INCH), 0, "it begins at a pixel");
            let first = offset / u64::from(UNITS_PER_INCH);
            let last = u64::from(x + width) * u64::from(dpi) / u64::from(UNITS_PER_INCH);
            prop_assert!(first <= u64::from(start) && last >= u64::from(start + length));
        }
    }
}
