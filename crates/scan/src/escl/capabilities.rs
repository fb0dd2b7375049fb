//! What one scanner can do, as the options that this makes.

use usbscan_escl::{
    ColorMode, Format, InputCaps, InputSource, Justification, Range, ScannerCapabilities, UNITS_PER_INCH,
};

use crate::options::{names, sources};
use crate::support::alignment::Alignment;
use crate::support::fill;
use crate::support::options::{edges, edges_of, modes, one_of, page_width, while_one_of};
use crate::{Constraint, Identity, MM_PER_INCH, MaxArea, OptionDescriptor, Options, Unit, Value, Variant};

/// The driver's own options.
pub(super) const COMPRESSION_FACTOR: &str = "compression-factor";
pub(super) const INTENT: &str = "intent";
/// Nothing is said of the intent.
pub(super) const NO_INTENT: &str = "None";

/// Where pages lie, and what can be done there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub source: InputSource,
    pub caps: InputCaps,
    /// Where a sheet lies that is narrower than it.
    pub alignment: Alignment,
    /// It says more resolutions than these.
    pub most_dpi: Option<u32>,
}

fn word(source: InputSource) -> &'static str {
    match source {
        InputSource::Platen => sources::FLATBED,
        InputSource::Feeder => sources::FEEDER,
        InputSource::FeederDuplex => sources::FEEDER_DUPLEX,
    }
}

impl Place {
    pub(super) fn max_area(&self) -> MaxArea {
        let mm = |units: u32| f64::from(units) / f64::from(UNITS_PER_INCH) * MM_PER_INCH;
        MaxArea { width: mm(self.caps.max_width), height: mm(self.caps.max_height) }
    }

    fn is_fed(&self) -> bool {
        self.source != InputSource::Platen
    }

    /// The resolutions of any mode that is used, and a range where there is one.
    fn resolutions(&self) -> Constraint {
        let used = [ColorMode::Rgb24, ColorMode::Grayscale8];
        let all: Vec<_> = used.iter().filter_map(|mode| self.caps.resolutions(*mode)).collect();
        if let Some(Range { min, max, step, .. }) = all.iter().find_map(|one| one.square_range()) {
            return Constraint::IntRange { min, max, step };
        }
        let mut listed: Vec<u32> = all.iter().flat_map(|one| one.square()).collect();
        listed.sort_unstable();
        listed.dedup();
        listed.retain(|dpi| self.most_dpi.is_none_or(|most| *dpi <= most));
        Constraint::List(listed.into_iter().map(|dpi| Value::Int(dpi as i32)).collect())
    }

    /// Whether a page can be had that is decoded here.
    fn is_usable(&self) -> bool {
        let modes = [ColorMode::Rgb24, ColorMode::Grayscale8];
        modes.into_iter().any(|mode| {
            let caps = self.caps.resolutions(mode);
            caps.is_some_and(|caps| !caps.square().is_empty() || caps.square_range().is_some())
        })
    }
}

/// What one scanner can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Capabilities {
    pub all: ScannerCapabilities,
    /// At least one.
    places: Vec<Place>,
}

impl Capabilities {
    /// `None` of a scanner that has no place for a page in 8 bit. More dots per inch than `most_dpi` are not offered.
    pub(super) fn new(all: ScannerCapabilities, most_dpi: Option<u32>) -> Option<Capabilities> {
        let feeder = all.adf.as_ref().map(|adf| match adf.justification {
            Justification::Left => Alignment::Left,
            Justification::Center => Alignment::Center,
            Justification::Right => Alignment::Right,
        });
        let place = |source, caps: &InputCaps| Place {
            source,
            caps: caps.clone(),
            alignment: feeder.filter(|_| source != InputSource::Platen).unwrap_or(Alignment::Left),
            most_dpi,
        };
        let mut places: Vec<Place> = all.platen.iter().map(|caps| place(InputSource::Platen, caps)).collect();
        if let Some(adf) = &all.adf {
            places.push(place(InputSource::Feeder, &adf.simplex));
            places.extend(adf.duplex.iter().map(|caps| place(InputSource::FeederDuplex, caps)));
        }
        places.retain(Place::is_usable);
        (!places.is_empty()).then_some(Capabilities { all, places })
    }

    pub(super) fn identity(&self) -> Identity {
        Identity {
            protocol: format!("eSCL {}", self.all.version.as_str()),
            model: self.all.make_and_model.clone(),
            firmware: String::new(),
        }
    }

    /// The place that an option's word stands for; the first without one.
    pub(super) fn place(&self, name: Option<&str>) -> Place {
        let named = self.places.iter().find(|place| Some(word(place.source)) == name);
        named.or(self.places.first()).expect("capabilities have a place").clone()
    }

    /// Whether pages come from a place in the form that is decoded here.
    pub(super) fn has_jpeg(&self, source: InputSource) -> bool {
        let mut places = self.places.iter().filter(|place| place.source == source);
        places.any(|place| place.caps.formats.contains(&Format::Jpeg))
    }

    /// Whether a place is to be asked for this form by the newer of two names for that (DocumentFormatExt).
    pub(super) fn has_format_ext(&self, source: InputSource, format: Format) -> bool {
        let mut places = self.places.iter().filter(|place| place.source == source);
        places.any(|place| place.caps.formats_ext.contains(&format))
    }

    /// Whether pages of this mode come from a place.
    pub(super) fn has_mode(&self, source: InputSource, mode: ColorMode) -> bool {
        let mut places = self.places.iter().filter(|place| place.source == source);
        places.any(|place| place.caps.resolutions(mode).is_some())
    }

    /// Whether pages come from a place as PDF documents, and not in a form that is decoded here.
    pub(super) fn has_only_pdf(&self, source: InputSource) -> bool {
        let mut places = self.places.iter().filter(|place| place.source == source);
        !self.has_jpeg(source) && places.any(|place| place.caps.formats.contains(&Format::Pdf))
    }

    /// The forms in which they come.
    pub(super) fn formats(&self, source: InputSource) -> String {
        let places = self.places.iter().filter(|place| place.source == source);
        let formats: Vec<&str> = places.flat_map(|place| &place.caps.formats).map(|one| one.media_type()).collect();
        formats.join(", ")
    }

    /// The options, in the order in which they are best set.
    pub(super) fn options(&self) -> Options {
        let first = &self.places[0];
        let has = |mode| self.places.iter().any(|place| place.caps.resolutions(mode).is_some());
        let (color, gray) = (has(ColorMode::Rgb24), has(ColorMode::Grayscale8));
        let list = [(color, modes::COLOR), (gray, modes::GRAY), (gray, modes::LINEART)];
        let list: Vec<&str> = list.into_iter().filter(|(has, _)| *has).map(|(_, word)| word).collect();
        let sources: Vec<&str> = self.places.iter().map(|place| word(place.source)).collect();
        let description = "Red, green and blue; shades of gray; or black and white.";
        let mut all = vec![
            OptionDescriptor::new(names::MODE, "Mode", description, one_of(&list), list[0].into()),
            OptionDescriptor::new(names::SOURCE, "Source", "Where the page lies.", one_of(&sources), sources[0].into()),
            resolution(first),
        ];
        all.extend(edges(first.max_area()));
        let aligned = self.places.iter().find(|place| place.alignment != Alignment::Left);
        all.extend(aligned.map(|place| page_width(place.max_area())));
        if gray {
            all.push(OptionDescriptor {
                active_when: Some(while_one_of(names::MODE, &[modes::LINEART])),
                ..OptionDescriptor::new(
                    names::THRESHOLD,
                    "Threshold",
                    "Shades below this become black.",
                    Constraint::IntRange { min: 0, max: 255, step: 1 },
                    Value::Int(128),
                )
            });
        }
        let decoded = self.places.iter().filter(|place| place.is_fed() && place.caps.formats.contains(&Format::Jpeg));
        let decoded: Vec<&str> = decoded.map(|place| word(place.source)).collect();
        if !decoded.is_empty() {
            all.push(fill::option(&decoded));
        }
        all.extend(number(
            names::BRIGHTNESS,
            "Brightness",
            "Higher is lighter, on the scanner's own scale.",
            self.all.brightness,
        ));
        all.extend(number(
            names::CONTRAST,
            "Contrast",
            "Higher is stronger, on the scanner's own scale.",
            self.all.contrast,
        ));
        all.extend(number(
            names::SHARPNESS,
            "Sharpness",
            "Higher is sharper, on the scanner's own scale.",
            self.all.sharpen,
        ));
        all.extend(number(
            COMPRESSION_FACTOR,
            "Compression factor",
            "How strongly the scanner compresses pages: lower is better, and more to transfer.",
            self.all.compression,
        ));
        all.extend(self.intent());
        Options::varying(all, self.variants())
    }

    /// What depends on the source.
    fn variants(&self) -> Vec<Variant> {
        let of = |place: &Place| {
            let resolution = resolution(place);
            let mut all = edges_of(word(place.source), place.max_area()).to_vec();
            all.push(Variant {
                option: names::RESOLUTION,
                when: while_one_of(names::SOURCE, &[word(place.source)]),
                constraint: resolution.constraint,
                default: resolution.default,
            });
            all
        };
        self.places.iter().flat_map(of).collect()
    }

    /// Those that every place has.
    fn intent(&self) -> Option<OptionDescriptor> {
        let has = |intent: &String| self.places.iter().all(|place| place.caps.intents.contains(intent));
        let intents: Vec<&str> =
            self.places[0].caps.intents.iter().filter(|one| has(one)).map(String::as_str).collect();
        if intents.is_empty() {
            return None;
        }
        let list: Vec<&str> = [NO_INTENT].into_iter().chain(intents).collect();
        let description = "What the page is, for the scanner's own picture processing.";
        Some(OptionDescriptor::new(INTENT, "Intent", description, one_of(&list), NO_INTENT.into()))
    }
}

fn resolution(place: &Place) -> OptionDescriptor {
    let constraint = place.resolutions();
    let default = match &constraint {
        Constraint::IntRange { min, max, step } => Value::Int(min + (300.clamp(*min, *max) - min) / step * step),
        Constraint::List(values) => {
            let distance = |value: &&Value| if let Value::Int(dpi) = value { dpi.abs_diff(300) } else { u32::MAX };
            values.iter().min_by_key(distance).cloned().unwrap_or(Value::Int(300))
        }
        _ => Value::Int(300),
    };
    let description = "Dots per inch, across and down.";
    OptionDescriptor {
        unit: Unit::Dpi,
        ..OptionDescriptor::new(names::RESOLUTION, "Resolution", description, constraint, default)
    }
}

fn number(
    name: &'static str,
    title: &'static str,
    description: &'static str,
    range: Option<Range>,
) -> Option<OptionDescriptor> {
    let Range { min, max, normal, step } = range?;
    let default = Value::Int(min + (normal - min) / step * step);
    Some(OptionDescriptor::new(name, title, description, Constraint::IntRange { min, max, step }, default))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn caps(name: &str, least: u32, height: u32, resolutions: &str) -> String {
        format!(
            "<{name}><MinWidth>{least}</MinWidth><MaxWidth>2550</MaxWidth><MinHeight>{least}</MinHeight>\
             <MaxHeight>{height}</MaxHeight><SettingProfiles><SettingProfile><ColorModes><ColorMode>Grayscale8</ColorMode>\
             <ColorMode>RGB24</ColorMode></ColorModes><DocumentFormats><DocumentFormat>image/jpeg</DocumentFormat>\
             </DocumentFormats>{resolutions}</SettingProfile></SettingProfiles><SupportedIntents><Intent>Photo</Intent>\
             </SupportedIntents></{name}>"
        )
    }

    fn listed(mode: &str, all: &[u32]) -> String {
        let one = |dpi: &u32| {
            format!(
                "<DiscreteResolution><XResolution>{dpi}</XResolution><YResolution>{dpi}</YResolution></DiscreteResolution>"
            )
        };
        let all: String = all.iter().map(one).collect();
        let mode = if mode.is_empty() { String::new() } else { format!("<ColorMode>{mode}</ColorMode>") };
        format!("<SupportedResolutions>{mode}<DiscreteResolutions>{all}</DiscreteResolutions></SupportedResolutions>")
    }

    /// Glass with another list for gray, a feeder for both sides that wants larger sheets, and all the numbers.
    pub(crate) fn scanner() -> Capabilities {
        let glass = listed("RGB24", &[75, 200, 300, 600]) + &listed("Grayscale8", &[75, 200, 300, 600, 1200]);
        let feeder = listed("", &[75, 200, 300]);
        let range = |name: &str, min: i32, max: i32, normal: i32| {
            format!("<{name}><Min>{min}</Min><Max>{max}</Max><Normal>{normal}</Normal><Step>1</Step></{name}>")
        };
        let document = format!(
            "<ScannerCapabilities><Version>2.63</Version><MakeAndModel>Acme V1</MakeAndModel><Platen>{}</Platen><Adf>{}{}\
             <Justification><XImagePosition>Right</XImagePosition></Justification></Adf>{}\
             </ScannerCapabilities>",
            caps("PlatenInputCaps", 16, 3508, &glass),
            caps("AdfSimplexInputCaps", 591, 4205, &feeder),
            caps("AdfDuplexInputCaps", 591, 3507, &feeder),
            range("BrightnessSupport", -5, 5, 0)
                + &range("ContrastSupport", 0, 2000, 1000)
                + &range("CompressionFactorSupport", 0, 100, 25),
        );
        let all = ScannerCapabilities::parse(document.as_bytes()).expect("capabilities");
        Capabilities::new(all, None).expect("a place")
    }

    #[test]
    fn options_are_those_that_the_scanner_has() {
        let mut options = scanner().options();
        let names: Vec<_> = options.iter().map(|option| &*option.name).collect();
        let expected = [
            "mode",
            "source",
            "resolution",
            "tl-x",
            "tl-y",
            "br-x",
            "br-y",
            "page-width",
            "threshold",
            "fill-page",
            "brightness",
            "contrast",
            "compression-factor",
            "intent",
        ];
        assert_eq!(names, expected);
        assert_eq!(options.get("mode").expect("modes").possible(), "Color, Gray or Lineart");
        assert_eq!(options.get("resolution").expect("some").possible(), "75, 200, 300, 600 or 1200 dpi");
        options.set_text("source", "adf duplex").expect("both sides");
        assert_eq!(options.get("resolution").expect("some").possible(), "75, 200 or 300 dpi");
        assert_eq!(options.get("br-y").expect("an edge").possible(), "from 0 to 296.926 mm");
    }
}
