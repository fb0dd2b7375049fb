//! What one scanner can do, from its answers to INFO and CAPA; and the options that this makes.

use super::message::{Token, TokenValue};
use crate::options::{names, sources};
use crate::support::alignment::Alignment;
use crate::support::options::{edges, edges_of, modes, one_of, page_width, while_one_of};
use crate::support::{fill, gamma};
use crate::{
    Constraint, Dependence, Dpi, Identity, MM_PER_INCH, MaxArea, OptionDescriptor, Options, ProtocolError, Unit, Value,
    Variant,
};

/// How the image comes over the wire; the driver's own options.
pub(super) const COMPRESSION: &str = "compression";
pub(super) const NONE: &str = "None";
pub(super) const JPEG: &str = "JPEG";
pub(super) const QUALITY: &str = "jpeg-quality";

/// Areas are told in hundredths of an inch.
const UNITS_PER_INCH: u32 = 100;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Flatbed,
    Feeder,
    FeederDuplex,
}

impl Source {
    pub(super) fn word(self) -> &'static str {
        match self {
            Source::Flatbed => sources::FLATBED,
            Source::Feeder => sources::FEEDER,
            Source::FeederDuplex => sources::FEEDER_DUPLEX,
        }
    }

    pub(super) fn is_feeder(self) -> bool {
        self != Source::Flatbed
    }

    /// Its part in errors.
    pub(super) fn part(self) -> &'static [u8; 4] {
        if self == Source::Flatbed { b"FB  " } else { b"ADF " }
    }
}

/// A source, the area that it sees in hundredths of an inch, and the most it can across.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub source: Source,
    pub area: (u32, u32),
    pub most_dpi: u32,
    /// Where a sheet lies.
    pub alignment: Alignment,
}

impl Place {
    pub(super) fn max_area(&self) -> MaxArea {
        let mm = |units: u32| f64::from(units) / f64::from(UNITS_PER_INCH) * MM_PER_INCH;
        MaxArea { width: mm(self.area.0), height: mm(self.area.1) }
    }

    pub(super) fn most_pixels(&self, dpi: Dpi) -> (u32, u32) {
        let side = |units: u32| (u64::from(units) * u64::from(dpi.0) / u64::from(UNITS_PER_INCH)) as u32;
        (side(self.area.0), side(self.area.1))
    }
}

/// Values that can be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Numbers {
    Range(u32, u32),
    List(Vec<u32>),
}

impl Numbers {
    fn has(&self, number: u32) -> bool {
        match self {
            Numbers::Range(least, most) => (*least..=*most).contains(&number),
            Numbers::List(list) => list.contains(&number),
        }
    }

    /// Those that are in both.
    fn and(&self, other: &Numbers) -> Numbers {
        match (self, other) {
            (Numbers::Range(a, b), Numbers::Range(c, d)) => Numbers::Range(*a.max(c), *b.min(d)),
            (Numbers::List(list), other) | (other, Numbers::List(list)) => {
                Numbers::List(list.iter().copied().filter(|number| other.has(*number)).collect())
            }
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Numbers::Range(least, most) => least > most,
            Numbers::List(list) => list.is_empty(),
        }
    }

    fn constraint(&self) -> Constraint {
        let whole = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
        match self {
            Numbers::Range(least, most) => Constraint::IntRange { min: whole(*least), max: whole(*most), step: 1 },
            Numbers::List(list) => Constraint::List(list.iter().map(|number| Value::Int(whole(*number))).collect()),
        }
    }

    /// The one nearest to a wish.
    fn nearest(&self, wish: u32) -> u32 {
        match self {
            Numbers::Range(least, most) => wish.clamp(*least, *(most.max(least))),
            Numbers::List(list) => list.iter().copied().min_by_key(|one| one.abs_diff(wish)).unwrap_or(wish),
        }
    }
}

/// What one scanner can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Capabilities {
    /// At least one.
    pub places: Vec<Place>,
    resolutions: Numbers,
    /// The words of COL for color, gray and lineart, as far as there are.
    modes: Vec<&'static str>,
    /// Those of which it has 16 bits a sample, too.
    deep_modes: Vec<&'static str>,
    pub raw: bool,
    pub jpeg: bool,
    quality: Option<Numbers>,
    threshold: Option<Numbers>,
    /// The words of GMM for its own curve and for none.
    pub gammas: Vec<(&'static str, &'static str)>,
    /// It takes tables for each colour and for gray, and applies them to numbers proportional to light.
    takes_tables: bool,
    /// Pixels across and down that an image may have.
    pub most_pixels: (u32, u32),
}

/// The values of a key whose first value is a certain word: `#FB AREAd850i0001170`.
fn after<'a>(tokens: &'a [Token], key: &[u8; 4], word: &[u8; 4]) -> Option<&'a [TokenValue]> {
    tokens.iter().filter(|token| token.key == *key).find_map(|token| match token.values.split_first() {
        Some((TokenValue::Word(first), rest)) if first == word => Some(rest),
        _ => None,
    })
}

fn pair(values: &[TokenValue]) -> Option<(u32, u32)> {
    let [TokenValue::Number(a), TokenValue::Number(b), ..] = values else { return None };
    Some((u32::try_from(*a).ok()?, u32::try_from(*b).ok()?))
        .filter(|(a, b)| (1..=100_000).contains(a) && (1..=100_000).contains(b))
}

fn numbers(tokens: &[Token], key: &[u8; 4]) -> Option<Numbers> {
    if let Some(range) = after(tokens, key, b"RANG").and_then(range) {
        return Some(range);
    }
    let list = after(tokens, key, b"LIST")?;
    let mut list: Vec<u32> = list.iter().filter_map(number).collect();
    list.sort_unstable();
    list.dedup();
    Some(Numbers::List(list)).filter(|list| !list.is_empty())
}

fn range(values: &[TokenValue]) -> Option<Numbers> {
    let [low, high, ..] = values else { return None };
    let range = match (low, high) {
        (TokenValue::Number(0), _) => Numbers::Range(0, number(high)?),
        _ => Numbers::Range(number(low)?, number(high)?),
    };
    Some(range).filter(|range| !range.is_empty())
}

fn number(value: &TokenValue) -> Option<u32> {
    let TokenValue::Number(number) = value else { return None };
    u32::try_from(*number).ok().filter(|number| (1..=100_000).contains(number))
}

fn listed(tokens: &[Token], key: &[u8; 4], word: &[u8; 4]) -> bool {
    after(tokens, key, b"LIST").is_some_and(|list| list.contains(&TokenValue::Word(*word)))
}

/// What INFO says it is.
pub(super) fn identity(information: &[Token]) -> Identity {
    let text = |key: &[u8; 4]| {
        let bytes = information.iter().filter(|token| token.key == *key).find_map(|token| match token.values.first() {
            Some(TokenValue::Bytes(bytes)) => Some(bytes),
            _ => None,
        });
        let text = String::from_utf8_lossy(bytes.map_or(&[][..], Vec::as_slice)).into_owned();
        let printable: String = text.chars().filter(|c| !c.is_control()).collect();
        printable.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    Identity { protocol: "ESC/I-2".to_owned(), model: text(b"#PRD"), firmware: text(b"#VER") }
}

/// MaxArea, feeder, and the feeder for both sides, as far as there are.
fn places(information: &[Token], capabilities: &[Token]) -> Vec<Place> {
    let place = |key: &[u8; 4], source| {
        let area = after(information, key, b"AREA").or(after(information, key, b"AMAX")).and_then(pair)?;
        let most_dpi = after(information, key, b"RESO").and_then(|values| number(values.first()?));
        let alignment = match after(information, key, b"ALGN").and_then(|values| values.first()) {
            Some(TokenValue::Word(word)) if source != Source::Flatbed => match word {
                b"CNTR" => Alignment::Center,
                b"RIGT" => Alignment::Right,
                _ => Alignment::Left,
            },
            _ => Alignment::Left,
        };
        Some(Place { source, area, most_dpi: most_dpi.unwrap_or(u32::MAX), alignment })
    };
    let feeder = place(b"#ADF", Source::Feeder);
    let duplex = after(capabilities, b"#ADF", b"DPLX").is_some();
    let both_sides = feeder.filter(|_| duplex).map(|place| Place { source: Source::FeederDuplex, ..place });
    [place(b"#FB ", Source::Flatbed), feeder, both_sides].into_iter().flatten().collect()
}

/// Bits can't be JPEG, so lineart is there with raw images only.
fn modes_of(capabilities: &[Token], raw: bool) -> Vec<&'static str> {
    let all = [(modes::COLOR, b"C024"), (modes::GRAY, b"M008"), (modes::LINEART, b"M001")];
    let offered = all.into_iter().filter(|(_, word)| listed(capabilities, b"#COL", word));
    offered.map(|(mode, _)| mode).filter(|mode| raw || *mode != modes::LINEART).collect()
}

/// JPEG has 8 bits a sample, so 16 are there with raw images only.
fn deep_modes_of(capabilities: &[Token], modes: &[&'static str], raw: bool) -> Vec<&'static str> {
    let all = [(modes::COLOR, b"C048"), (modes::GRAY, b"M016")];
    let offered =
        all.into_iter().filter(|(mode, word)| raw && modes.contains(mode) && listed(capabilities, b"#COL", word));
    offered.map(|(mode, _)| mode).collect()
}

/// The word of GMM for no curve.
pub(super) const LINEAR_WORD: &str = "UG10";

/// Of two curves for screens the first.
fn gammas_of(capabilities: &[Token]) -> Vec<(&'static str, &'static str)> {
    let all =
        [(gamma::BUILT_IN, "UG18", b"UG18"), (gamma::BUILT_IN, "UG22", b"UG22"), (gamma::LINEAR, LINEAR_WORD, b"UG10")];
    let offered = all.into_iter().filter(|(_, _, word)| listed(capabilities, b"#GMM", word));
    let mut gammas: Vec<_> = offered.map(|(name, text, _)| (name, text)).collect();
    gammas.dedup_by_key(|(name, _)| *name);
    gammas
}

impl Capabilities {
    /// From the data of INFO and of CAPA.
    pub(super) fn read(information: &[Token], capabilities: &[Token]) -> Result<Capabilities, ProtocolError> {
        let places = places(information, capabilities);
        if places.is_empty() {
            return Err(ProtocolError::Capabilities("there is no place for a page"));
        }
        let across = numbers(capabilities, b"#RSM").ok_or(ProtocolError::Capabilities("it has no resolution"))?;
        let resolutions = numbers(capabilities, b"#RSS").map_or(across.clone(), |down| across.and(&down));
        if places.iter().any(|place| resolutions.and(&Numbers::Range(1, place.most_dpi)).is_empty()) {
            return Err(ProtocolError::Capabilities("it has no resolution"));
        }
        let (raw, jpeg) = (listed(capabilities, b"#FMT", b"RAW "), listed(capabilities, b"#FMT", b"JPG "));
        let modes = modes_of(capabilities, raw);
        if !(raw || jpeg) || modes.is_empty() {
            return Err(ProtocolError::Capabilities("it has no form of image that is known"));
        }
        let most_pixels = information.iter().find(|token| token.key == *b"#IMX").and_then(|token| pair(&token.values));
        Ok(Capabilities {
            places,
            resolutions,
            deep_modes: deep_modes_of(capabilities, &modes, raw),
            modes,
            raw,
            jpeg,
            quality: numbers(capabilities, b"#JPG").filter(|_| jpeg),
            threshold: numbers(capabilities, b"#THR"),
            gammas: gammas_of(capabilities),
            takes_tables: listed(capabilities, b"#GMM", b"UG10")
                && [b"RED ", b"GRN ", b"BLU ", b"MONO"].iter().all(|table| listed(capabilities, b"#GMT", table)),
            most_pixels: most_pixels.unwrap_or((65_535, 65_535)),
        })
    }

    /// The place that an option's word stands for; the first without one.
    pub(super) fn place(&self, word: Option<&str>) -> Place {
        let named = self.places.iter().find(|place| Some(place.source.word()) == word);
        *named.or(self.places.first()).expect("capabilities have a place")
    }

    fn resolutions_of(&self, place: &Place) -> Numbers {
        self.resolutions.and(&Numbers::Range(1, place.most_dpi))
    }

    /// The options, in the order in which they are best set.
    pub(super) fn options(&self) -> Options {
        let first = self.place(None);
        let list: Vec<&str> = self.places.iter().map(|place| place.source.word()).collect();
        let description = "Red, green and blue; shades of gray; or black and white.";
        let mut all = vec![
            OptionDescriptor::new(names::MODE, "Mode", description, one_of(&self.modes), self.modes[0].into()),
            OptionDescriptor::new(names::SOURCE, "Source", "Where the page lies.", one_of(&list), list[0].into()),
        ];
        all.extend(self.depth());
        all.push(self.resolution(&first));
        all.extend(edges(first.max_area()));
        let aligned = self.places.iter().find(|place| place.alignment != Alignment::Left);
        all.extend(aligned.map(|place| page_width(place.max_area())));
        let feeders = self.places.iter().filter(|place| place.source != Source::Flatbed);
        let feeders: Vec<&str> = feeders.map(|place| place.source.word()).collect();
        if !feeders.is_empty() {
            all.push(fill::option(&feeders));
        }
        if let Some(threshold) = &self.threshold {
            all.push(OptionDescriptor {
                active_when: Some(while_one_of(names::MODE, &[modes::LINEART])),
                ..OptionDescriptor::new(
                    names::THRESHOLD,
                    "Threshold",
                    "Shades below this become black.",
                    threshold.constraint(),
                    Value::Int(threshold.nearest(128) as i32),
                )
            });
        }
        all.extend(self.gamma());
        all.extend(self.compression());
        Options::varying(all, self.variants())
    }

    /// Bits of a sample, where there is a choice.
    fn depth(&self) -> Option<OptionDescriptor> {
        let depths = Constraint::List(vec![8.into(), 16.into()]);
        (!self.deep_modes.is_empty()).then(|| OptionDescriptor {
            unit: Unit::Bit,
            active_when: Some(while_one_of(names::MODE, &self.deep_modes)),
            ..OptionDescriptor::new(names::DEPTH, "Depth", "Bits of each sample.", depths, 8.into())
        })
    }

    fn resolution(&self, place: &Place) -> OptionDescriptor {
        let numbers = self.resolutions_of(place);
        let default = Value::Int(numbers.nearest(300) as i32);
        let description = "Dots per inch, across and down.";
        OptionDescriptor {
            unit: Unit::Dpi,
            ..OptionDescriptor::new(names::RESOLUTION, "Resolution", description, numbers.constraint(), default)
        }
    }

    /// What depends on the source, and on the depth.
    fn variants(&self) -> Vec<Variant> {
        let of = |place: &Place| {
            let resolution = self.resolution(place);
            let mut all = edges_of(place.source.word(), place.max_area()).to_vec();
            all.push(Variant {
                option: names::RESOLUTION,
                when: while_one_of(names::SOURCE, &[place.source.word()]),
                constraint: resolution.constraint,
                default: resolution.default,
            });
            all
        };
        let forms = |depth: i32| {
            let words = self.forms(depth == 16);
            Variant {
                option: COMPRESSION,
                when: Dependence { on: names::DEPTH, values: vec![depth.into()] },
                constraint: one_of(&words),
                default: words[0].into(),
            }
        };
        let forms = if self.deep_modes.is_empty() { Vec::new() } else { vec![forms(8), forms(16)] };
        self.places.iter().flat_map(of).chain(forms).collect()
    }

    /// How images of one depth come.
    fn forms(&self, sixteen_bits: bool) -> Vec<&'static str> {
        let all = [(self.raw, NONE), (self.jpeg && !sixteen_bits, JPEG)];
        all.into_iter().filter(|(has, _)| *has).map(|(_, word)| word).collect()
    }

    /// The curve, where there is a choice, and one's own where it takes tables.
    fn gamma(&self) -> Vec<OptionDescriptor> {
        let mut words: Vec<&str> = self.gammas.iter().map(|(name, _)| *name).collect();
        if words.is_empty() {
            return Vec::new();
        }
        if !self.takes_tables {
            return vec![gamma::option(&words)];
        }
        words.extend([gamma::CUSTOM, gamma::TABLE]);
        vec![gamma::option(&words), gamma::value_option(), gamma::table_option()]
    }

    /// How images come, where there is a choice, and how good JPEG is.
    fn compression(&self) -> Vec<OptionDescriptor> {
        let list = self.forms(false);
        let description = "How the scanner sends the image; JPEG is quicker, and loses a little.";
        let mut all = vec![OptionDescriptor {
            active_when: Some(while_one_of(names::MODE, &[modes::COLOR, modes::GRAY])),
            ..OptionDescriptor::new(COMPRESSION, "Compression", description, one_of(&list), list[0].into())
        }];
        if let Some(quality) = &self.quality {
            all.push(OptionDescriptor {
                active_when: Some(while_one_of(COMPRESSION, &[JPEG])),
                ..OptionDescriptor::new(
                    QUALITY,
                    "JPEG quality",
                    "Higher is better, and more to transfer.",
                    quality.constraint(),
                    Value::Int(quality.nearest(90) as i32),
                )
            });
        }
        all
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::super::message::tokens;
    use super::*;

    /// What a PX-M7050 and a DS-530 answer, as far as it matters here.
    const M7050: (&str, &str) = (
        "#ADFTYPEFEED#ADFDPLX1SCN#ADFALGNCNTR#ADFAREAi0001170i0001700#ADFAMAXi0001170i0002000#ADFRESOd600#FB ALGNLEFT\
         #FB AREAi0001170i0001700#FB RESOi0001200#IMXi0065535i0065535#PRDh010PID 08BC        #VERh010FB      SPECF   ",
        "#ADFDPLX#ADFPEDT#ADFRSMSLISTd600#COLLISTC024M001M008#FMTLISTRAW JPG #JPGRANGd001d100#THRRANGd000d255\
         #GMMLISTUG10UG18#GMTLISTRED GRN BLU MONO#RSMLISTd075d150d300d600i0001200#RSSLISTd075d150d300d400d600i0001200i0002400",
    );
    const DS530: (&str, &str) = (
        "#ADFTYPEFEED#ADFDPLX1SCN#ADFAREAd850i0001550#ADFAMAXd850i0024000#ADFRESOd600#PRDh007DS-530 .",
        "#ADFDPLX#COLLISTC024M008R008G008B008#FMTLISTJPG #JPGRANGd001d100#GMMLISTUG10UG18#GMTLISTRED GRN BLU MONO\
         #RSMLISTd050d075d100d600#RSSLISTd050d075d100d600",
    );

    fn read((information, capabilities): (&str, &str)) -> Result<Capabilities, ProtocolError> {
        Capabilities::read(&tokens(information.as_bytes()), &tokens(capabilities.as_bytes()))
    }

    pub(crate) fn m7050() -> Capabilities {
        read(M7050).expect("a scanner")
    }

    /// The same with 16 bits a sample.
    pub(crate) fn deep() -> Capabilities {
        read((M7050.0, &M7050.1.replace("C024M001M008", "C024M001M008C048M016"))).expect("a scanner")
    }

    #[test]
    fn an_all_in_one_has_glass_a_feeder_and_a_resolution_for_each() {
        let mut options = m7050().options();
        assert_eq!(options.text("source"), Some("Flatbed"));
        assert!((options.fixed("br-y").expect("a number") - 431.8).abs() < 0.01);
        options.set_text("resolution", "1200").expect("on the glass");
        options.set_text("source", "ADF Duplex").expect("a source");
        assert_eq!(options.int("resolution"), Some(300));
        let refused = options.set_text("resolution", "1200").expect_err("too fine").to_string();
        assert_eq!(refused, "resolution can't be 1200; possible: 75, 150, 300 or 600 dpi");
        assert!((options.fixed("br-y").expect("a number") - 431.8).abs() < 0.01);
        let identity = identity(&tokens(M7050.0.as_bytes()));
        assert_eq!((identity.model.as_str(), identity.firmware.as_str()), ("PID 08BC", "FB SPECF"));
    }

    #[test]
    fn a_document_scanner_that_sends_jpeg_only_has_no_lineart() {
        let mut options = read(DS530).expect("a scanner").options();
        assert_eq!(options.text("source"), Some("Automatic Document Feeder"));
        assert_eq!((options.text("compression"), options.int("jpeg-quality")), (Some("JPEG"), Some(90)));
        assert!(options.set_text("mode", "lineart").is_err());
    }

    #[test]
    fn lineart_has_a_threshold_and_no_jpeg() {
        let mut options = m7050().options();
        options.set_text("compression", "jpeg").expect("offered");
        options.set_text("mode", "lineart").expect("a mode");
        assert_eq!((options.int("threshold"), options.text("compression")), (Some(128), None));
        assert_eq!(options.int("jpeg-quality"), None);
    }

    #[test]
    fn sixteen_bits_are_offered_where_the_scanner_lists_them_and_sends_raw_images() {
        let with =
            |colors: &str| read((M7050.0, &M7050.1.replace("C024M001M008", colors))).expect("a scanner").options();
        assert!(m7050().options().get("depth").is_err(), "no real scanner is known to list them");
        let mut options = deep().options();
        options.set_text("compression", "jpeg").expect("of 8 bits");
        options.set_text("depth", "16").expect("offered");
        assert_eq!(options.text("compression"), Some("None"));
        let refused = options.set_text("compression", "jpeg").expect_err("JPEG has 8 bits").to_string();
        assert_eq!(refused, "compression can't be jpeg; possible: only None");
        options.set_text("mode", "lineart").expect("a mode");
        assert_eq!(options.int("depth"), None);
        let mut gray = with("C024M008M016");
        assert_eq!(
            gray.set_text("depth", "16").expect_err("gray only").to_string(),
            "depth means nothing while mode is Color"
        );
        gray.set_all([("mode", "gray"), ("depth", "16")]).expect("gray");
        let jpeg_only = (DS530.0, &*DS530.1.replace("C024M008", "C024M008C048M016"));
        assert!(read(jpeg_only).expect("a scanner").options().get("depth").is_err());
    }

    #[test]
    fn what_makes_no_page_is_refused_in_words() {
        for (bad, what) in [
            (("", M7050.1), "there is no place for a page"),
            ((M7050.0, "#FMTLISTRAW #COLLISTC024"), "it has no resolution"),
            ((M7050.0, "#RSMLISTd075#RSSLISTd100#FMTLISTRAW #COLLISTC024"), "it has no resolution"),
            ((M7050.0, "#RSMLISTd075#FMTLISTGIF #COLLISTC024"), "it has no form of image that is known"),
            ((M7050.0, "#RSMLISTd075#FMTLISTJPG #COLLISTM001"), "it has no form of image that is known"),
        ] {
            assert_eq!(read(bad), Err(ProtocolError::Capabilities(what)));
        }
    }

    proptest! {
        #[test]
        fn no_answers_break_it(
            information in "(#ADF|#FB |#IMX|AREA|AMAX|RESO|d[0-9]{3}|i[0-9-]{7}|h00[0-9]){0,20}",
            capabilities in "(#RSM|#RSS|#FMT|#COL|#JPG|#THR|LIST|RANG|RAW |JPG |C024|M001|C048|M016|d[0-9]{3}|i[0-9-]{7}){0,30}",
        ) {
            if let Ok(capabilities) = read((&information, &capabilities)) {
                let _ = capabilities.options();
            }
        }
    }
}
