//! One page as it is to be scanned: from the options of people to the scanner's parameters. Values only.

use super::capabilities::{COMPRESSION, Capabilities, JPEG, LINEAR_WORD, Place, QUALITY, Source};
use super::message::{integer, number};
use crate::options::names;
use crate::support::gamma::Gamma;
use crate::support::options::{chosen_pixels, modes};
use crate::{AreaError, Dpi, Options, PageFormat, PixelArea, Pixels};

/// Image data that is asked for at once. Two such chunks are held: one being looked at, one on its way.
const CHUNK_BYTES: u32 = 128 * 1024;
/// Widths that scanners state as their own are multiples of this.
const PIXELS: u32 = 8;

/// One page as it is to be scanned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub place: Place,
    /// What leaves us.
    pub page: PageFormat,
    /// What the scanner is asked for: as wide as the page or some pixels wider.
    pub area: PixelArea,
    pub is_jpeg: bool,
    /// The block of PARA.
    pub parameters: Vec<u8>,
}

impl Plan {
    pub(super) fn new(capabilities: &Capabilities, options: &Options) -> Result<Plan, AreaError> {
        let pixels = match (options.text(names::MODE), options.int(names::DEPTH)) {
            (Some(modes::LINEART), _) => Pixels::Bit,
            (Some(modes::GRAY), Some(16)) => Pixels::Gray16,
            (Some(modes::GRAY), _) => Pixels::Gray8,
            (_, Some(16)) => Pixels::Rgb16,
            _ => Pixels::Rgb8,
        };
        let place = capabilities.place(options.text(names::SOURCE));
        let dpi = Dpi(options.int(names::RESOLUTION).and_then(|dpi| u32::try_from(dpi).ok()).unwrap_or(300));
        let most = place.most_pixels(dpi);
        let wanted = chosen_pixels(options, place.alignment, place.max_area(), (dpi, dpi), most)?;
        let area = fit(wanted, pixels, most.0, capabilities.most_pixels.0)?;
        let is_jpeg = match options.text(COMPRESSION) {
            Some(word) => word == JPEG,
            None => !capabilities.raw,
        };
        // A sheet may be shorter than the area; the scanner says so behind it.
        let height = Some(area.height).filter(|_| place.source == Source::Flatbed);
        let page = PageFormat { width: wanted.width, height, pixels, dpi: (dpi, dpi) };
        let mut plan = Plan { place, page, area, is_jpeg, parameters: Vec::new() };
        plan.parameters = plan.parameters(capabilities, options);
        Ok(plan)
    }

    /// Images that a job has.
    pub(super) fn images(&self) -> u32 {
        if self.place.source == Source::FeederDuplex { 2 } else { 1 }
    }

    /// Bytes of a line as the scanner sends it raw, without its dummy bytes.
    pub(super) fn line_bytes(&self) -> usize {
        self.page.pixels.bytes_per_line(self.area.width)
    }

    /// In the order in which Epson's own driver has them.
    fn parameters(&self, capabilities: &Capabilities, options: &Options) -> Vec<u8> {
        let (source, color) = (self.place.source, self.page.pixels);
        let mut all = match source {
            Source::Flatbed => "#FB ",
            Source::Feeder => "#ADF",
            Source::FeederDuplex => "#ADFDPLX",
        }
        .to_owned();
        let dpi = integer(self.page.dpi.0.0);
        let color = match color {
            Pixels::Bit => "M001",
            Pixels::Gray8 => "M008",
            Pixels::Gray16 => "M016",
            Pixels::Rgb8 => "C024",
            Pixels::Rgb16 => "C048",
        };
        all += &format!("#RSM{dpi}#RSS{dpi}#COL{color}#FMT{}", if self.is_jpeg { "JPG " } else { "RAW " });
        let small = |name| options.int(name).and_then(|value| u32::try_from(value).ok());
        if let Some(quality) = small(QUALITY).filter(|_| self.is_jpeg) {
            all += &format!("#JPG{}", number(quality));
        }
        if let Some(threshold) = small(names::THRESHOLD) {
            all += &format!("#THR{}", number(threshold));
        }
        let mut all = all.into_bytes();
        self.gamma(capabilities, options, &mut all);
        let images = if source == Source::Flatbed { 0 } else { self.images() };
        let PixelArea { x, y, width, height } = self.area;
        let area: String = [x, y, width, height].map(integer).concat();
        all.extend(format!("#PAG{}#ACQ{area}#BSZ{}", number(images), integer(CHUNK_BYTES)).into_bytes());
        all
    }

    /// One of the scanner's curves; or none, with a table for each colour that is scanned behind it.
    fn gamma(&self, capabilities: &Capabilities, options: &Options, into: &mut Vec<u8>) {
        let chosen = options.text(names::GAMMA);
        if let Some((_, word)) = capabilities.gammas.iter().find(|(name, _)| Some(*name) == chosen) {
            into.extend(format!("#GMM{word}").into_bytes());
            return;
        }
        let gamma = Gamma::chosen(options);
        if !matches!(gamma, Gamma::Exponent(_) | Gamma::Table(_)) {
            return;
        }
        into.extend(format!("#GMM{LINEAR_WORD}").into_bytes());
        let tables = if self.page.pixels.channels() == 3 { &["RED ", "GRN ", "BLU "][..] } else { &["MONO"] };
        for table in tables {
            into.extend(format!("#GMT{table}h100").into_bytes());
            into.extend(gamma.table());
        }
    }
}

/// The area that the scanner is asked for where this one is wanted: a multiple of eight pixels wide, as most scanners state their
/// own widths. At the right edge, where there are none left for that, exactly as wide as wanted: an ES-60W takes 2550
/// pixels and 5100 as its owner's measurements show; bits, which come in whole bytes, some less, and white is put behind them.
fn fit(wanted: PixelArea, pixels: Pixels, most: u32, longest: u32) -> Result<PixelArea, AreaError> {
    let mut area = wanted;
    area.width = wanted.width.next_multiple_of(PIXELS);
    if wanted.x.saturating_add(area.width) > most {
        area.width = match pixels {
            Pixels::Bit => most.saturating_sub(wanted.x) / PIXELS * PIXELS,
            _ => wanted.width,
        };
    }
    if area.width < PIXELS {
        return Err(AreaError::TooSmall { width: wanted.width, height: wanted.height, least_width: PIXELS });
    }
    if area.width > longest {
        return Err(AreaError::TooWide { width: area.width, most: longest });
    }
    Ok(area)
}

#[cfg(test)]
mod tests {
    use super::super::capabilities::tests::{deep, m7050};
    use super::*;

    fn plan(values: &[(&str, &str)]) -> Result<Plan, AreaError> {
        let capabilities = m7050();
        let mut options = capabilities.options();
        options.set_all(values.iter().copied()).expect("good options");
        Plan::new(&capabilities, &options)
    }

    fn text(plan: &Plan) -> String {
        String::from_utf8_lossy(&plan.parameters).into_owned()
    }

    #[test]
    fn a_curve_of_ones_own_is_a_table_for_each_colour_that_is_scanned() {
        let color = plan(&[("gamma", "custom"), ("gamma-value", "2")]).expect("a page");
        let at = color.parameters.windows(8).position(|bytes| bytes == b"#GMMUG10").expect("no curve of its own");
        for (table, name) in ["RED ", "GRN ", "BLU "].into_iter().enumerate() {
            let from = at + 8 + table * 268;
            let (head, shades) = color.parameters[from..from + 268].split_at(12);
            assert_eq!(head, format!("#GMT{name}h100").as_bytes());
            assert_eq!((shades[0], shades[64], shades[255]), (0, 128, 255));
        }
        assert!(color.parameters[at + 8 + 3 * 268..].starts_with(b"#PAG"));
        let gray = plan(&[("mode", "gray"), ("gamma", "table")]).expect("a page");
        let at = gray.parameters.windows(8).position(|bytes| bytes == b"#GMTMONO").expect("one table");
        assert!(gray.parameters[at + 268..].starts_with(b"#PAG"));
        assert!(color.parameters.len() <= 1536, "what scanners take at once");
    }

    #[test]
    fn a_page_is_its_parameters() {
        let a4 = plan(&[("br-x", "210"), ("br-y", "297")]).expect("A4");
        assert_eq!((a4.page.width, a4.page.height, a4.area.width), (2480, Some(3508), 2480));
        assert_eq!(
            text(&a4),
            "#FB #RSMi0000300#RSSi0000300#COLC024#FMTRAW #GMMUG18#PAGd000#ACQi0000000i0000000i0002480i0003508#BSZi0131072"
        );
        let both = plan(&[("source", "adf duplex"), ("compression", "jpeg"), ("jpeg-quality", "80"), ("br-x", "100")]);
        let both = both.expect("a job");
        assert_eq!((both.page.height, both.page.width, both.area.width), (None, 1181, 1184));
        assert!(text(&both).starts_with("#ADFDPLX#RSMi0000300#RSSi0000300#COLC024#FMTJPG #JPGd080#GMMUG18#PAGd002"));
        let bits = plan(&[("mode", "lineart"), ("threshold", "90")]).expect("a page");
        assert!(text(&bits).contains("#COLM001#FMTRAW #THRd090#PAG"));
    }

    #[test]
    fn sixteen_bits_have_their_own_colors_and_come_raw() {
        let capabilities = deep();
        let mut options = capabilities.options();
        for (mode, pixels, words) in
            [("color", Pixels::Rgb16, "#COLC048#FMTRAW #"), ("gray", Pixels::Gray16, "#COLM016#FMTRAW #")]
        {
            options.set_all([("mode", mode), ("depth", "16")]).expect("offered");
            let plan = Plan::new(&capabilities, &options).expect("a page");
            assert!(text(&plan).contains(words), "{}", text(&plan));
            assert_eq!((plan.page.pixels, plan.is_jpeg), (pixels, false));
            assert_eq!(plan.line_bytes(), 2 * pixels.channels() as usize * 3510);
        }
    }

    #[test]
    fn the_paper_that_was_asked_for_is_the_paper_that_comes_whatever_multiple_the_scanner_wants() {
        // 11.7 inches are 3510 pixels at 300 dpi, and 877 at 75.
        for (dpi, width) in [("300", 3510), ("75", 877)] {
            let color = plan(&[("resolution", dpi)]).expect("the glass");
            assert_eq!((color.page.width, color.area.width), (width, width));
            let bits = plan(&[("resolution", dpi), ("mode", "lineart")]).expect("the glass");
            assert_eq!((bits.page.width, bits.area.width), (width, width / 8 * 8));
        }
        let letter = plan(&[("br-x", "215.9"), ("mode", "lineart")]).expect("letter");
        assert_eq!((letter.page.width, letter.area.width), (2550, 2552));
    }

    #[test]
    fn a_feeder_that_centres_its_paper_is_asked_for_the_middle() {
        let a4 = plan(&[("source", "automatic document feeder"), ("br-x", "210"), ("br-y", "297")]).expect("A4");
        // (3510 - 2480) / 2 = 515
        assert_eq!((a4.area.x, a4.page.width), (515, 2480));
        let part = [("tl-x", "10"), ("br-x", "110"), ("page-width", "210")];
        let part = plan(&[&[("source", "adf duplex")], &part[..]].concat()).expect("a part");
        assert_eq!((part.area.x, part.page.width), (515 + 118, 1181));
        let flatbed = plan(&[("br-x", "210")]).expect("A4");
        assert_eq!(flatbed.area.x, 0);
    }

    #[test]
    fn parameters_are_whole_groups() {
        for values in
            [&[("mode", "gray")][..], &[("source", "adf duplex"), ("mode", "lineart")], &[("compression", "jpeg")]]
        {
            assert_eq!(plan(values).expect("a page").parameters.len() % 4, 0);
        }
    }
}
