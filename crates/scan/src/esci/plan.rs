//! One page as it is to be scanned: from the options of people to the numbers of the scanner. Values only.

use super::blocks::{ESC_HEADER_BYTES, ImageLayout, LINE_HEADER_BYTES};
use super::capabilities::{Capabilities, Dialect, Source};
use super::codes::{NO_CORRECTION, POSITIVE};
use super::options::{CORRECTIONS, DOUBLE_FEEDS, FILMS, FOCUSES, GRAY, LINEART};
use crate::options::names;
use crate::support::gamma::Gamma;
use crate::support::options::chosen_pixels;
use crate::{AreaError, Dpi, Options, PageFormat, PixelArea, Pixels};

/// Image data that is asked for at once. Two blocks are held: one being read, one being looked at. What is longer has fewer
/// pauses between blocks; but after a cancel the rest of a block is waited for: 512 KiB are half a second of a slow USB 2
/// scanner.
const BLOCK_BYTES: usize = 512 * 1024;
/// The same for a scanner that has refused more, or has no extended commands: those are older, and slower.
const SMALL_BLOCK_BYTES: usize = 128 * 1024;
/// As many lines as the byte for them can say.
const MOST_BLOCK_LINES: u32 = 255;
/// As many bytes as a header of ESC G can say.
const MOST_PLAIN_LINE_BYTES: u32 = 65_535;
/// As many as one read can bring, with the error byte behind them. No scanner comes near.
const MOST_LINE_BYTES: u32 = usbscan_client::wire::PAYLOAD_LIMIT as u32 - 1;

/// One page as it is to be scanned.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plan {
    /// What leaves us.
    pub page: PageFormat,
    pub source: Source,
    /// ESC N.
    pub film: u8,
    /// What the scanner is asked for: as wide as the page, or some pixels wider where it must be a multiple of 8.
    pub area: PixelArea,
    pub threshold: Option<u8>,
    pub brightness: i8,
    pub gamma: Gamma,
    pub sharpness: i8,
    /// ESC p.
    pub focus: Option<u8>,
    /// FS W, byte 39.
    pub double_feed: u8,
    /// Lines that lie between two colours of what the scanner sends.
    pub distance: u32,
    /// ESC M.
    pub correction: u8,
    /// Rows for red, green and blue, should ESC M say so.
    pub matrix: Option<[f64; 9]>,
    /// The page ends where its sheet does, if that is before the area's end.
    pub ends_with_sheet: bool,
    /// The image data that follows from it.
    pub asked: ImageLayout,
}

impl Plan {
    pub(super) fn new(capabilities: &Capabilities, options: &Options) -> Result<Plan, AreaError> {
        let pixels = pixels(options);
        let dpi = Dpi(options.int(names::RESOLUTION).and_then(|dpi| u32::try_from(dpi).ok()).unwrap_or(300));
        let place = capabilities.place(options.text(names::SOURCE));
        let most = capabilities.most_pixels(place, dpi);
        let (alignment, max_area) = (capabilities.alignment_of(place), capabilities.max_area(place));
        let mut wanted = chosen_pixels(options, alignment, max_area, (dpi, dpi), most)?;
        let distance = if pixels.channels() == 3 { capabilities.spacing.at(dpi) } else { 0 };
        keep_colors(&mut wanted, distance, most.1)?;
        let area = fit(capabilities, pixels, wanted, most.0)?;
        let (width, height) = (wanted.width, area.height);
        let ends_with_sheet = place.source.is_feeder() && capabilities.detects_page_end;
        // The colours of a line come with lines above and below it.
        let area = PixelArea { y: area.y - distance, height: height + 2 * distance, ..area };
        Ok(Plan {
            source: place.source,
            film: chosen(options, names::FILM_TYPE, &FILMS).unwrap_or(POSITIVE),
            page: PageFormat { width, height: (!ends_with_sheet).then_some(height), pixels, dpi: (dpi, dpi) },
            ends_with_sheet,
            area,
            threshold: options.int(names::THRESHOLD).and_then(|threshold| u8::try_from(threshold).ok()),
            brightness: small(options, names::BRIGHTNESS),
            gamma: Gamma::chosen(options),
            matrix: options.numbers(names::COLOR_MATRIX).and_then(|numbers| numbers.try_into().ok()),
            sharpness: small(options, names::SHARPNESS),
            focus: chosen(options, names::FOCUS, &FOCUSES),
            double_feed: chosen(options, names::DOUBLE_FEED, &DOUBLE_FEEDS).unwrap_or(0),
            distance,
            correction: chosen(options, names::COLOR_CORRECTION, &CORRECTIONS).unwrap_or(NO_CORRECTION),
            asked: asked(capabilities, pixels, area, ends_with_sheet),
        })
    }

    /// Lines of the whole area.
    pub(super) fn area_height(&self) -> u32 {
        self.asked.lines - 2 * self.distance
    }

    pub(super) fn is_color(&self) -> bool {
        self.page.pixels.channels() == 3
    }

    pub(super) fn depth(&self) -> u8 {
        // 1, 8 or 16.
        self.page.pixels.bits_per_sample() as u8
    }
}

fn pixels(options: &Options) -> Pixels {
    match (options.text(names::MODE), options.int(names::DEPTH)) {
        (Some(LINEART), _) => Pixels::Bit,
        (Some(GRAY), Some(16)) => Pixels::Gray16,
        (Some(GRAY), _) => Pixels::Gray8,
        (_, Some(16)) => Pixels::Rgb16,
        _ => Pixels::Rgb8,
    }
}

/// The scanner's number for the word that an option has; `None` where the scanner has no such option.
fn chosen(options: &Options, name: &str, words: &[(&str, u8)]) -> Option<u8> {
    let text = options.text(name)?;
    words.iter().find(|(word, _)| *word == text).map(|(_, number)| *number)
}

/// A number that may be below 0.
fn small(options: &Options, name: &str) -> i8 {
    options.int(name).and_then(|number| i8::try_from(number).ok()).unwrap_or(0)
}

/// The image data of an area.
fn asked(capabilities: &Capabilities, pixels: Pixels, area: PixelArea, ends_with_sheet: bool) -> ImageLayout {
    let line_bytes = pixels.bytes_per_line(area.width);
    let in_blocks = capabilities.has(b'd');
    // A page that ends with its sheet ends with a block: a small one has less of what lies below the sheet.
    let large = capabilities.takes_large_blocks && !ends_with_sheet;
    let most_bytes = if large { BLOCK_BYTES } else { SMALL_BLOCK_BYTES };
    ImageLayout {
        line_bytes,
        lines: area.height,
        block_lines: if in_blocks { block_lines(line_bytes, most_bytes) } else { 1 },
        header_bytes: if in_blocks { ESC_HEADER_BYTES } else { LINE_HEADER_BYTES },
    }
}

/// Where colours lie lines apart, the first and the last lines of the platen have not all of them, and are left out.
fn keep_colors(area: &mut PixelArea, distance: u32, most: u32) -> Result<(), AreaError> {
    let first = area.y.max(distance);
    let end = (area.y + area.height).min(most.saturating_sub(distance));
    if first >= end {
        return Err(AreaError::TooSmall { width: area.width, height: area.height, least_width: 8 });
    }
    (area.y, area.height) = (first, end - first);
    Ok(())
}

/// The area that the scanner takes for the one that is wanted (docs/esc-i.md, "A page").
fn fit(capabilities: &Capabilities, pixels: Pixels, wanted: PixelArea, most: u32) -> Result<PixelArea, AreaError> {
    let by_eight = capabilities.dialect == Dialect::Esc || pixels == Pixels::Bit;
    let mut area = wanted;
    if by_eight {
        let room = most / 8 * 8;
        area.width = wanted.width.next_multiple_of(8);
        if wanted.x.saturating_add(area.width) > room {
            // Of the right edge some pixels less than were asked for; white is put behind them.
            area.width = room.saturating_sub(wanted.x) / 8 * 8;
        }
        if area.width < 8 {
            return Err(AreaError::TooSmall { width: wanted.width, height: wanted.height, least_width: 8 });
        }
    }
    let pixels_in = |bytes: u32| bytes * 8 / (pixels.channels() * pixels.bits_per_sample());
    let longest = match capabilities.dialect {
        Dialect::Fs => capabilities.longest_line.unwrap_or(u32::MAX).min(pixels_in(MOST_LINE_BYTES)),
        Dialect::Esc => pixels_in(MOST_PLAIN_LINE_BYTES) / 8 * 8,
    };
    if area.width > longest {
        return Err(AreaError::TooWide { width: area.width, most: longest });
    }
    Ok(area)
}

/// An even number where there can be more than one, as Epson's own driver has it.
fn block_lines(line_bytes: usize, most_bytes: usize) -> u32 {
    let fit = (most_bytes / line_bytes.max(1)) as u32;
    match fit.min(MOST_BLOCK_LINES) {
        0 | 1 => 1,
        lines => lines / 2 * 2,
    }
}

#[cfg(test)]
mod tests {
    use super::super::capabilities::Place;
    use super::super::capabilities::tests::{plain, v850};
    use super::*;

    fn plan(capabilities: &Capabilities, values: &[(&str, &str)]) -> Result<Plan, AreaError> {
        let mut options = capabilities.options();
        options.set_all(values.iter().copied()).expect("good options");
        Plan::new(capabilities, &options)
    }

    #[test]
    fn a_page_has_exactly_the_pixels_that_were_asked_for() {
        let plan = plan(&v850(), &[("br-x", "210"), ("br-y", "297")]).expect("A4");
        assert_eq!((plan.page.width, plan.page.height), (2480, Some(3508)));
        assert_eq!(plan.asked, ImageLayout { line_bytes: 7440, lines: 3508, block_lines: 70, header_bytes: 6 });
    }

    #[test]
    fn where_the_scanner_wants_eights_a_little_more_is_scanned_than_shown() {
        let esc = plain(b"B7").expect("supported");
        let plan_75 = plan(&esc, &[("resolution", "75"), ("br-x", "210")]).expect("A4 at 75 dpi");
        assert_eq!((plan_75.page.width, plan_75.area.width), (620, 624));
        let lineart = plan(&v850(), &[("mode", "lineart"), ("tl-x", "10"), ("br-x", "20")]).expect("10 mm");
        assert_eq!((lineart.area.x, lineart.page.width, lineart.area.width), (118, 118, 120));
        assert_eq!(lineart.asked.line_bytes, 15);
    }

    #[test]
    fn the_paper_that_was_asked_for_is_the_paper_that_comes_whatever_multiple_the_scanner_wants() {
        let whole = plan(&v850(), &[("mode", "lineart")]).expect("the glass");
        assert_eq!((whole.page.width, whole.area.width), (2550, 2544));
        let coarse = plan(&v850(), &[("mode", "lineart"), ("resolution", "75")]).expect("the glass");
        assert_eq!((coarse.page.width, coarse.area.width), (637, 632));
        let sliver = plan(&v850(), &[("mode", "lineart"), ("tl-x", "215.5")]);
        assert_eq!(sliver, Err(AreaError::TooSmall { width: 5, height: 3510, least_width: 8 }));
    }

    #[test]
    fn where_colors_lie_lines_apart_more_lines_are_asked_for_than_shown() {
        let d1 = plain(b"D1").expect("supported");
        let whole = plan(&d1, &[]).expect("the glass");
        assert_eq!((whole.distance, whole.area.y, whole.area.height), (4, 0, 3510));
        assert_eq!((whole.page.height, whole.asked.lines), (Some(3502), 3510));
        let part = plan(&d1, &[("tl-y", "84.667"), ("br-y", "169.333")]).expect("a part");
        assert_eq!((part.area.y, part.asked.lines, part.page.height), (996, 1008, Some(1000)));
        let gray = plan(&d1, &[("mode", "gray")]).expect("the glass");
        assert_eq!((gray.distance, gray.page.height), (0, Some(3510)));
        assert!(plan(&d1, &[("br-y", "0.1")]).is_err(), "above all that has three colours");
    }

    #[test]
    fn a_page_that_ends_with_its_sheet_has_no_height_and_small_blocks() {
        let mut feeder = v850();
        feeder.places = vec![Place { source: Source::Feeder, area: (40_800, 67_200) }];
        assert_eq!(plan(&feeder, &[]).expect("a page").page.height, Some(4200));
        feeder.detects_page_end = true;
        let ends = plan(&feeder, &[]).expect("a page");
        assert_eq!((ends.page.height, ends.asked.lines, ends.asked.block_lines), (None, 4200, 16));
    }

    #[test]
    fn an_old_level_sends_line_by_line() {
        let asked = plan(&plain(b"B3").expect("supported"), &[]).expect("the glass").asked;
        assert_eq!((asked.block_lines, asked.header_bytes), (1, 4));
    }

    #[test]
    fn a_line_that_is_too_long_is_refused_with_what_can_be_had() {
        let error = plan(&v850(), &[("resolution", "12800")]).unwrap_err();
        assert_eq!(error, AreaError::TooWide { width: 108_800, most: 40_800 });
        let esc = plain(b"B7").expect("supported");
        let error = plan(&esc, &[("resolution", "3200")]).unwrap_err();
        assert_eq!(error, AreaError::TooWide { width: 27_200, most: 21_840 });
        assert!(plan(&esc, &[("resolution", "3200"), ("mode", "gray")]).is_ok());
    }

    #[test]
    fn an_identity_out_of_all_bounds_makes_no_line_that_can_not_be_read() {
        let mut absurd = v850();
        (absurd.places[0].area, absurd.longest_line) = ((9_999_999, 9_999_999), None);
        let error = plan(&absurd, &[("resolution", "4800")]).unwrap_err();
        assert_eq!(error, AreaError::TooWide { width: 9_999_999, most: 349_525 });
    }

    #[test]
    fn a_block_is_never_much_larger_than_asked_for_and_lines_are_even() {
        assert_eq!(
            [1, 600, 60_000, 70_000, 300_000].map(|bytes| block_lines(bytes, SMALL_BLOCK_BYTES)),
            [254, 218, 2, 1, 1]
        );
    }
}
