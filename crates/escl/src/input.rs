//! What one source of pages can do: PlatenInputCaps, AdfSimplexInputCaps, AdfDuplexInputCaps.

use roxmltree::Node;

use crate::range::Range;
use crate::xml::{self, DocumentError, child, children, number, text, word};

/// A dot and more of every known device; what is beyond was made up.
const MOST_DPI: u32 = 19_200;
/// 100 m of paper, in units.
const MOST_UNITS: u32 = 1_200_000;

/// A colour mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ColorMode {
    /// One bit a pixel.
    BlackAndWhite1,
    /// Shades of gray of 8 bits.
    Grayscale8,
    /// Shades of gray of 16 bits. AirSane has it; no device is known to.
    Grayscale16,
    /// Red, green and blue of 8 bits each.
    Rgb24,
    /// Red, green and blue of 16 bits each.
    Rgb48,
}

impl ColorMode {
    const ALL: [ColorMode; 5] =
        [ColorMode::BlackAndWhite1, ColorMode::Grayscale8, ColorMode::Grayscale16, ColorMode::Rgb24, ColorMode::Rgb48];

    /// Its word in documents.
    pub fn as_str(self) -> &'static str {
        match self {
            ColorMode::BlackAndWhite1 => "BlackAndWhite1",
            ColorMode::Grayscale8 => "Grayscale8",
            ColorMode::Grayscale16 => "Grayscale16",
            ColorMode::Rgb24 => "RGB24",
            ColorMode::Rgb48 => "RGB48",
        }
    }

    /// `None` for what is no mode of its own: AutoColorDetection.
    fn read(node: Node<'_, '_>) -> Option<ColorMode> {
        let word = word(node);
        ColorMode::ALL.into_iter().find(|mode| mode.as_str() == word)
    }
}

/// A form in which pages come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// `image/jpeg`.
    Jpeg,
    /// `application/pdf`.
    Pdf,
    /// `image/tiff`.
    Tiff,
    /// `image/png`.
    Png,
    /// `application/octet-stream`: bare lines of pixels.
    Raw,
}

impl Format {
    const ALL: [Format; 5] = [Format::Jpeg, Format::Pdf, Format::Tiff, Format::Png, Format::Raw];

    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Format::Jpeg => "image/jpeg",
            Format::Pdf => "application/pdf",
            Format::Tiff => "image/tiff",
            Format::Png => "image/png",
            Format::Raw => "application/octet-stream",
        }
    }

    /// Of a media type without parameters.
    pub fn of(media_type: &str) -> Option<Format> {
        Format::ALL.into_iter().find(|format| format.media_type().eq_ignore_ascii_case(media_type))
    }

    /// What a page is by its first bytes. Some devices send another form than they were asked for, under the wrong name.
    pub fn by_first_bytes(bytes: &[u8]) -> Option<Format> {
        let magic: [(&[u8], Format); 5] = [
            (b"\xff\xd8\xff", Format::Jpeg),
            (b"%PDF-", Format::Pdf),
            (b"II*\0", Format::Tiff),
            (b"MM\0*", Format::Tiff),
            (b"\x89PNG\r\n\x1a\n", Format::Png),
        ];
        magic.into_iter().find(|(magic, _)| bytes.starts_with(magic)).map(|(_, format)| format)
    }
}

/// Dots per inch, across and down; they may differ (Kyocera has 200 x 100).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resolution {
    /// Across.
    pub x: u32,
    /// Down.
    pub y: u32,
}

/// The resolutions of one colour mode.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resolutions {
    /// Those that are listed.
    pub discrete: Vec<Resolution>,
    /// Any between two, across and down.
    pub range: Option<(Range, Range)>,
}

impl Resolutions {
    /// Those that are the same across and down, in order.
    pub fn square(&self) -> Vec<u32> {
        let same = self.discrete.iter().filter(|one| one.x == one.y).map(|one| one.x);
        let mut all: Vec<u32> = same.collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The range in which any is the same across and down.
    pub fn square_range(&self) -> Option<Range> {
        let (x, y) = self.range?;
        let (min, max) = (x.min.max(y.min), x.max.min(y.max));
        // Steps that don't meet leave nothing that can be told as a range.
        let step =
            if x.step == y.step && (x.min - y.min) % x.step == 0 { x.step } else { x.step.checked_mul(y.step)? };
        let fits = |value: i32| (value - x.min) % x.step == 0 && (value - y.min) % y.step == 0;
        let min = (min..=max).find(|value| fits(*value))?;
        let normal = if (min..=max).contains(&x.normal) && fits(x.normal) { x.normal } else { min };
        (min < max).then_some(Range { min, max, normal, step })
    }

    fn is_empty(&self) -> bool {
        self.discrete.is_empty() && self.range.is_none()
    }

    fn read(node: Node<'_, '_>) -> Resolutions {
        let listed = children(node, "DiscreteResolutions").flat_map(|list| children(list, "DiscreteResolution"));
        let one = |node| {
            let sound = |name| number(node, name).filter(|dpi| (1..=MOST_DPI).contains(dpi));
            Some(Resolution { x: sound("XResolution")?, y: sound("YResolution")? })
        };
        let discrete = listed.filter_map(one).take(xml::ENTRIES).collect();
        let sound = |range: &Range| range.min >= 1 && range.max <= MOST_DPI as i32;
        let range = child(node, "ResolutionRange").and_then(|range| {
            let x = Range::read(range, "XResolutionRange").filter(sound)?;
            Some((x, Range::read(range, "YResolutionRange").filter(sound)?))
        });
        Resolutions { discrete, range }
    }

    fn join(&mut self, other: Resolutions) {
        self.discrete.extend(other.discrete);
        self.discrete.sort_unstable();
        self.discrete.dedup();
        self.range = self.range.or(other.range);
    }
}

/// What one source can do. Sizes are in [`crate::UNITS_PER_INCH`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputCaps {
    /// The narrowest area; some feeders have a whole sheet here.
    pub min_width: u32,
    /// The widest area.
    pub max_width: u32,
    /// The shortest area.
    pub min_height: u32,
    /// The longest area. Feeders may have metres.
    pub max_height: u32,
    /// The colour modes, each with its resolutions; at least one of each.
    pub modes: Vec<(ColorMode, Resolutions)>,
    /// In the order in which the device has them. JPEG where it names none: every known device sends that.
    pub formats: Vec<Format>,
    /// Those of them that DocumentFormatExt has too.
    pub formats_ext: Vec<Format>,
    /// Document, Photo, Preview, TextAndGraphic, …
    pub intents: Vec<String>,
}

impl InputCaps {
    /// The resolutions of a mode.
    pub fn resolutions(&self, mode: ColorMode) -> Option<&Resolutions> {
        self.modes.iter().find(|(one, _)| *one == mode).map(|(_, resolutions)| resolutions)
    }

    /// Reads an InputCaps element. `shared` are the profiles that stand at the top of the document and may be referred to.
    pub(crate) fn read(node: Node<'_, '_>, shared: Option<Node<'_, '_>>) -> Result<InputCaps, DocumentError> {
        let size = |name| number(node, name).filter(|size| (1..=MOST_UNITS).contains(size));
        let (max_width, max_height) =
            size("MaxWidth").zip(size("MaxHeight")).ok_or(DocumentError::Missing("a source has no size"))?;
        let mut caps = InputCaps {
            min_width: size("MinWidth").unwrap_or(1).min(max_width),
            max_width,
            min_height: size("MinHeight").unwrap_or(1).min(max_height),
            max_height,
            modes: Vec::new(),
            formats: Vec::new(),
            formats_ext: Vec::new(),
            intents: intents(node),
        };
        for profile in children(node, "SettingProfiles").flat_map(|list| children(list, "SettingProfile")) {
            let profile = match profile.attribute("ref") {
                Some(name) => {
                    named(shared, name).ok_or(DocumentError::Missing("a profile is referred to that is not there"))?
                }
                None => profile,
            };
            caps.take_profile(profile);
        }
        caps.modes.retain(|(_, resolutions)| !resolutions.is_empty());
        if caps.modes.is_empty() {
            return Err(DocumentError::Missing("a source has no colour mode with a resolution"));
        }
        if caps.formats.is_empty() {
            caps.formats.push(Format::Jpeg);
        }
        Ok(caps)
    }

    fn take_profile(&mut self, profile: Node<'_, '_>) {
        let modes = children(profile, "ColorModes").flat_map(|list| children(list, "ColorMode"));
        let modes: Vec<ColorMode> = modes.filter_map(ColorMode::read).take(xml::ENTRIES).collect();
        for supported in children(profile, "SupportedResolutions") {
            // Xerox's B235 repeats the element, each with the mode that it is for.
            let bound: Vec<ColorMode> = children(supported, "ColorMode").filter_map(ColorMode::read).collect();
            let resolutions = Resolutions::read(supported);
            for mode in &modes {
                if child(supported, "ColorMode").is_some() && !bound.contains(mode) {
                    continue;
                }
                match self.modes.iter_mut().find(|(one, _)| one == mode) {
                    Some((_, known)) => known.join(resolutions.clone()),
                    None => {
                        let mut known = Resolutions::default();
                        known.join(resolutions.clone());
                        self.modes.push((*mode, known));
                    }
                }
            }
        }
        let all = |name| children(profile, "DocumentFormats").flat_map(move |list| children(list, name));
        let known = |node| Format::of(&text(node));
        for format in all("DocumentFormat").filter_map(known) {
            if !self.formats.contains(&format) {
                self.formats.push(format);
            }
        }
        for format in all("DocumentFormatExt").filter_map(known) {
            // A device that names it here alone has it all the same.
            if !self.formats.contains(&format) {
                self.formats.push(format);
            }
            if !self.formats_ext.contains(&format) {
                self.formats_ext.push(format);
            }
        }
    }
}

fn named<'a, 'input>(shared: Option<Node<'a, 'input>>, name: &str) -> Option<Node<'a, 'input>> {
    children(shared?, "SettingProfile").find(|profile| profile.attribute("name") == Some(name))
}

/// Kyocera calls them SupportedIntent, everybody else Intent.
fn intents(node: Node<'_, '_>) -> Vec<String> {
    let lists = children(node, "SupportedIntents");
    let words = lists.flat_map(|list| children(list, "Intent").chain(children(list, "SupportedIntent"))).map(word);
    let mut intents: Vec<String> = Vec::new();
    for intent in words.filter(|word| word.chars().all(|c| c.is_ascii_alphanumeric()) && !word.is_empty()) {
        if !intents.contains(&intent) && intents.len() < 32 {
            intents.push(intent);
        }
    }
    intents
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caps(text: &str) -> Result<InputCaps, DocumentError> {
        let document =
            format!("<a><MinWidth>8</MinWidth><MaxWidth>2550</MaxWidth><MaxHeight>3508</MaxHeight>{text}</a>");
        let document = roxmltree::Document::parse(&document).expect("XML");
        InputCaps::read(document.root_element(), None)
    }

    fn profile(modes: &[&str], rest: &str) -> String {
        let modes: String = modes.iter().map(|mode| format!("<ColorMode>{mode}</ColorMode>")).collect();
        format!(
            "<SettingProfiles><SettingProfile><ColorModes>{modes}</ColorModes>{rest}</SettingProfile></SettingProfiles>"
        )
    }

    fn discrete(pairs: &[(u32, u32)]) -> String {
        let one = |(x, y): &(u32, u32)| {
            format!(
                "<DiscreteResolution><XResolution>{x}</XResolution><YResolution>{y}</YResolution></DiscreteResolution>"
            )
        };
        let all: String = pairs.iter().map(one).collect();
        format!("<DiscreteResolutions>{all}</DiscreteResolutions>")
    }

    #[test]
    fn resolutions_that_differ_across_and_down_are_kept_apart() {
        // Kyocera's ECOSYS M2040dn, by its reply in sane-airscan's issue tracker.
        let supported =
            format!("<SupportedResolutions>{}</SupportedResolutions>", discrete(&[(200, 100), (600, 600), (300, 300)]));
        let caps = caps(&profile(&["RGB24"], &supported)).expect("caps");
        let resolutions = caps.resolutions(ColorMode::Rgb24).expect("colour");
        assert_eq!((resolutions.square(), resolutions.discrete.len()), (vec![300, 600], 3));
        assert_eq!(caps.resolutions(ColorMode::Grayscale8), None);
        assert_eq!(caps.formats, [Format::Jpeg], "no format is named");
    }

    #[test]
    fn each_mode_may_have_resolutions_of_its_own() {
        // The way of Xerox's B235, by its reply in sane-airscan's issue tracker.
        let bound = |mode: &str, dpi: u32| {
            let list = discrete(&[(dpi, dpi)]);
            format!("<SupportedResolutions><ColorMode>{mode}</ColorMode>{list}</SupportedResolutions>")
        };
        let supported = bound("RGB24", 300) + &bound("Grayscale8", 600) + &bound("Grayscale8", 300);
        let caps = caps(&profile(&["Grayscale8", "RGB24", "scan:AutoColorDetection"], &supported)).expect("caps");
        assert_eq!(caps.resolutions(ColorMode::Rgb24).map(Resolutions::square), Some(vec![300]));
        assert_eq!(caps.resolutions(ColorMode::Grayscale8).map(Resolutions::square), Some(vec![300, 600]));
        assert_eq!(caps.modes.len(), 2, "to detect the mode is no mode");
    }

    #[test]
    fn ranges_meet_where_both_ways_have_the_resolution() {
        let range = |name: &str, min: u32, max: u32, step: u32| {
            format!("<{name}><Min>{min}</Min><Max>{max}</Max><Normal>{min}</Normal><Step>{step}</Step></{name}>")
        };
        let both = |x: String, y: String| {
            let range =
                format!("<SupportedResolutions><ResolutionRange>{x}{y}</ResolutionRange></SupportedResolutions>");
            let caps = caps(&profile(&["RGB24"], &range)).expect("caps");
            caps.resolutions(ColorMode::Rgb24).expect("colour").square_range()
        };
        let x = range("XResolutionRange", 75, 1200, 1);
        assert_eq!(
            both(x.clone(), range("YResolutionRange", 100, 600, 1)),
            Some(Range { min: 100, max: 600, normal: 100, step: 1 })
        );
        assert_eq!(
            both(x.clone(), range("YResolutionRange", 150, 600, 50)),
            Some(Range { min: 150, max: 600, normal: 150, step: 50 })
        );
        assert_eq!(both(x, range("YResolutionRange", 1201, 2400, 1)), None);
    }

    #[test]
    fn intents_have_either_name_and_are_words() {
        let supported = format!("<SupportedResolutions>{}</SupportedResolutions>", discrete(&[(300, 300)]));
        let text = profile(&["RGB24"], &supported)
            + "<SupportedIntents><Intent>Photo</Intent><SupportedIntent>Document</SupportedIntent>\
               <Intent>Photo</Intent><Intent>a&lt;b</Intent></SupportedIntents>";
        assert_eq!(caps(&text).expect("caps").intents, ["Photo", "Document"]);
    }

    #[test]
    fn formats_of_either_list_are_there_and_raw_may_be_in_one_only() {
        // Canon's MF640 series: raw only in the plain list.
        let supported = format!("<SupportedResolutions>{}</SupportedResolutions>", discrete(&[(300, 300)]));
        let formats = "<DocumentFormats><DocumentFormat>application/octet-stream</DocumentFormat>\
            <DocumentFormat>image/jpeg</DocumentFormat><DocumentFormat>x/y</DocumentFormat>\
            <DocumentFormatExt>image/jpeg</DocumentFormatExt></DocumentFormats>";
        let caps = caps(&profile(&["RGB24"], &(supported + formats))).expect("caps");
        assert_eq!((&caps.formats[..], &caps.formats_ext[..]), (&[Format::Raw, Format::Jpeg][..], &[Format::Jpeg][..]));
    }

    #[test]
    fn what_makes_no_page_is_refused_in_words() {
        for text in [
            String::new(),
            profile(&["RGB24"], ""),
            profile(
                &["AutoColorDetection"],
                &format!("<SupportedResolutions>{}</SupportedResolutions>", discrete(&[(1, 1)])),
            ),
            profile(&["RGB24"], &format!("<SupportedResolutions>{}</SupportedResolutions>", discrete(&[(0, 99_999)]))),
            "<SettingProfiles><SettingProfile ref=\"p1\"/></SettingProfiles>".to_owned(),
        ] {
            assert!(matches!(caps(&text), Err(DocumentError::Missing(_))), "{text}");
        }
    }

    #[test]
    fn a_page_is_known_by_its_first_bytes() {
        assert_eq!(Format::by_first_bytes(b"\xff\xd8\xff\xe0"), Some(Format::Jpeg));
        assert_eq!(Format::by_first_bytes(b"%PDF-1.4"), Some(Format::Pdf));
        assert_eq!(Format::by_first_bytes(b"<html>"), None);
        assert_eq!(Format::of("IMAGE/JPEG"), Some(Format::Jpeg));
    }
}
