//! What one scanner can do, put together from what it says it is.

use super::codes::{FEEDER_DUPLEX, FEEDER_OR_FILM, NO_UNIT, WIDE_FILM};
use super::identity::{EscIdentity, FsIdentity, Hardware, Units, true_platen};
use super::levels;
use super::status::Installed;
use crate::options::sources;
use crate::support::alignment::Alignment;
use crate::{Dpi, MM_PER_INCH, MaxArea, Unsupported};

/// Which commands make a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// The plain ones: a command for each parameter, a header for each block.
    Esc,
    /// The extended ones: all parameters at once, one header for the page.
    Fs,
}

/// Resolutions that can be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Resolutions {
    Any { least: u32, most: u32 },
    Listed(Vec<u16>),
}

/// Where a page lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Flatbed,
    Feeder,
    FeederDuplex,
    Film,
    WideFilm,
}

impl Source {
    pub(super) const ALL: [Source; 5] =
        [Source::Flatbed, Source::Feeder, Source::FeederDuplex, Source::Film, Source::WideFilm];

    /// As the option has it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Source::Flatbed => sources::FLATBED,
            Source::Feeder => sources::FEEDER,
            Source::FeederDuplex => sources::FEEDER_DUPLEX,
            Source::Film => sources::TRANSPARENCY,
            Source::WideFilm => sources::TRANSPARENCY_WIDE,
        }
    }

    /// As ESC e and FS W have it.
    pub(super) fn unit(self) -> u8 {
        match self {
            Source::Flatbed => NO_UNIT,
            Source::Feeder | Source::Film => FEEDER_OR_FILM,
            Source::FeederDuplex => FEEDER_DUPLEX,
            Source::WideFilm => WIDE_FILM,
        }
    }

    pub(super) fn is_feeder(self) -> bool {
        matches!(self, Source::Feeder | Source::FeederDuplex)
    }

    /// Each sheet has two pages.
    pub(super) fn has_backs(self) -> bool {
        self == Source::FeederDuplex
    }

    pub(super) fn is_film(self) -> bool {
        matches!(self, Source::Film | Source::WideFilm)
    }
}

/// A place for pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub source: Source,
    /// In pixels at the `area_dpi` of its scanner.
    pub area: (u32, u32),
}

/// The places that there are; an area of 0 is none. A feeder and a transparency unit are chosen by the same number, so
/// of the two the feeder counts.
fn places(
    platen: (u32, u32),
    feeder: Option<(u32, u32)>,
    duplex: bool,
    film: Option<(u32, u32)>,
    wide_film: Option<(u32, u32)>,
) -> Vec<Place> {
    let platen = Some(platen).filter(|area| *area != (0, 0));
    let all = [
        (Source::Flatbed, platen),
        (Source::Feeder, feeder),
        (Source::FeederDuplex, feeder.filter(|_| duplex)),
        (Source::Film, film.filter(|_| feeder.is_none())),
        (Source::WideFilm, wide_film),
    ];
    all.into_iter().filter_map(|(source, area)| Some(Place { source, area: area? })).collect()
}

/// What one scanner can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Capabilities {
    pub dialect: Dialect,
    pub level: [u8; 2],
    pub resolutions: Resolutions,
    /// Where pages can lie; at least one.
    pub places: Vec<Place>,
    pub area_dpi: u32,
    /// The feeder must be told to load each page.
    pub loads_pages: bool,
    /// The feeder must be told to put each page out, and forgets its settings with it.
    pub ejects_pages: bool,
    /// It has buttons to be asked for.
    pub has_button: bool,
    /// Pixels that a line may have, where the scanner says so.
    pub longest_line: Option<u32>,
    /// Whether samples may have 16 bits.
    pub sixteen_bits: bool,
    /// The sensor's colours lie so many lines apart, at `area_dpi`'s scanner's base resolution.
    pub spacing: Spacing,
    /// It can be focused.
    pub has_focus: bool,
    /// Its feeder can tell when it takes two sheets at once.
    pub detects_double_feed: bool,
    /// Its feeder can tell where a sheet ends, and a page may end there.
    pub detects_page_end: bool,
    /// Where its feeder holds a sheet.
    pub alignment: Alignment,
    /// It may be asked for large blocks: until it refuses them. How much it can hold it does not say.
    pub takes_large_blocks: bool,
}

/// How far the sensor's colours are apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spacing {
    pub lines: u32,
    pub base_dpi: u32,
}

impl Spacing {
    const NONE: Spacing = Spacing { lines: 0, base_dpi: 1 };

    fn of(sensor: &Hardware) -> Spacing {
        Spacing { lines: sensor.line_spacing.into(), base_dpi: sensor.base_dpi.into() }
    }

    /// The same at a resolution.
    pub(super) fn at(self, dpi: Dpi) -> u32 {
        self.lines * dpi.0 / self.base_dpi
    }
}

/// What a scanner without extended commands has said.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plain<'a> {
    pub identity: &'a EscIdentity,
    pub units: Units,
    /// ESC i, at the D levels.
    pub hardware: Option<&'a Hardware>,
    pub sixteen_bits: bool,
    pub has_focus: bool,
    pub model: &'a str,
}

impl Capabilities {
    /// `installed` tells of units that can be taken off; their areas are stated all the same.
    pub(super) fn extended(
        identity: &FsIdentity,
        installed: Installed,
        sensor: Option<&Hardware>,
        has_focus: bool,
    ) -> Capabilities {
        let unit = |area: (u32, u32), there: bool| Some(area).filter(|area| there && *area != (0, 0));
        let [film, wide_film] = identity.film_areas;
        let feeder = unit(identity.feeder_area, installed.feeder || !identity.kind.is_flatbed());
        Capabilities {
            dialect: Dialect::Fs,
            level: identity.level,
            resolutions: Resolutions::Any { least: identity.least_dpi, most: identity.most_dpi },
            places: places(
                identity.area,
                feeder,
                identity.kind.is_duplex(),
                unit(film, installed.film),
                unit(wide_film, installed.film),
            ),
            area_dpi: identity.base_dpi,
            loads_pages: identity.kind.is_page_type() && !identity.feeds_by_itself,
            // So the maker's driver does it with a WF-3620.
            ejects_pages: feeder.is_some() && levels::lacks_color_processing(identity.level),
            has_button: identity.kind.has_button() && has_button_command(identity.level),
            longest_line: Some(identity.longest_line).filter(|longest| *longest > 0),
            sixteen_bits: identity.depth >= 16,
            spacing: sensor.map_or(Spacing::NONE, Spacing::of),
            has_focus,
            detects_double_feed: feeder.is_some() && identity.detects_double_feed,
            detects_page_end: feeder.is_some() && identity.detects_page_end,
            alignment: identity.feeder_alignment,
            takes_large_blocks: true,
        }
    }

    /// Without extended commands a scan needs ESC @ and ESC D: the levels A1 and B1 lack one or the other.
    pub(super) fn plain(found: Plain<'_>) -> Result<Capabilities, Unsupported> {
        let Plain { identity, units, hardware, sixteen_bits, has_focus, model } = found;
        let has = |letter| levels::has(identity.level, letter);
        if !has(b'@') || !has(b'D') {
            let model = if model.is_empty() { "this scanner".to_owned() } else { model.to_owned() };
            return Err(Unsupported::Level { model, level: String::from_utf8_lossy(&identity.level).into_owned() });
        }
        let unit = |area: Option<(u32, u32)>| area.filter(|_| has(b'e'));
        Ok(Capabilities {
            dialect: Dialect::Esc,
            level: identity.level,
            resolutions: Resolutions::Listed(match hardware {
                Some(hardware) => hardware.resolutions.clone(),
                None => identity.resolutions.clone(),
            }),
            places: places(
                true_platen(model, (u32::from(identity.area.0), u32::from(identity.area.1))),
                unit(units.feeder),
                units.kind.is_duplex(),
                unit(units.film),
                None,
            ),
            area_dpi: u32::from(identity.highest()),
            // PF came with B8.
            loads_pages: units.kind.is_page_type() && identity.level >= *b"B8",
            ejects_pages: false,
            has_button: units.kind.has_button() && has_button_command(identity.level),
            longest_line: None,
            sixteen_bits,
            spacing: hardware.map_or(Spacing::NONE, Spacing::of),
            has_focus,
            // There is no command for either.
            detects_double_feed: false,
            detects_page_end: false,
            alignment: Alignment::Left,
            takes_large_blocks: false,
        })
    }

    /// The place that an option's word stands for; the first without one.
    pub(super) fn place(&self, word: Option<&str>) -> Place {
        let named = self.places.iter().find(|place| Some(place.source.word()) == word);
        *named.or(self.places.first()).expect("a scanner without any place for pages is not opened")
    }

    /// What may be scanned there, in millimetres.
    pub(super) fn max_area(&self, place: Place) -> MaxArea {
        let mm = |pixels: u32| f64::from(pixels) / f64::from(self.area_dpi) * MM_PER_INCH;
        MaxArea { width: mm(place.area.0), height: mm(place.area.1) }
    }

    pub(super) fn alignment_of(&self, place: Place) -> Alignment {
        if place.source.is_feeder() { self.alignment } else { Alignment::Left }
    }

    /// The same in pixels at a resolution.
    pub(super) fn most_pixels(&self, place: Place, dpi: Dpi) -> (u32, u32) {
        let side = |pixels: u32| {
            let at = u64::from(pixels) * u64::from(dpi.0) / u64::from(self.area_dpi.max(1));
            u32::try_from(at).unwrap_or(u32::MAX)
        };
        (side(place.area.0), side(place.area.1))
    }

    /// Whether ESC and this letter can be said, or the same in FS W; of the D levels neither corrects colours.
    pub(super) fn has(&self, letter: u8) -> bool {
        match self.dialect {
            Dialect::Fs if levels::lacks_color_processing(self.level) => !b"BLMmQs".contains(&letter),
            Dialect::Fs => true,
            Dialect::Esc => levels::has(self.level, letter),
        }
    }

    /// The D levels have no curve for screens; they have a base for downloaded ones.
    pub(super) fn lacks_color_processing(&self) -> bool {
        levels::lacks_color_processing(self.level)
    }
}

/// ESC ! came with B7, and is there at the D levels.
fn has_button_command(level: [u8; 2]) -> bool {
    level >= *b"B7" && level[0] != b'F'
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn v850() -> Capabilities {
        Capabilities {
            dialect: Dialect::Fs,
            level: *b"B8",
            resolutions: Resolutions::Any { least: 25, most: 12_800 },
            places: vec![Place { source: Source::Flatbed, area: (40_800, 56_160) }],
            area_dpi: 4800,
            loads_pages: false,
            ejects_pages: false,
            has_button: true,
            longest_line: Some(40_800),
            sixteen_bits: true,
            spacing: Spacing::NONE,
            has_focus: false,
            detects_double_feed: false,
            detects_page_end: false,
            alignment: Alignment::Left,
            takes_large_blocks: true,
        }
    }

    pub(crate) fn plain(level: &[u8; 2]) -> Result<Capabilities, Unsupported> {
        let identity = EscIdentity { level: *level, resolutions: vec![50, 75, 300, 3200], area: (27_200, 37_440) };
        let hardware = Hardware { base_dpi: 600, line_spacing: 8, resolutions: vec![75, 300] };
        let hardware = Some(&hardware).filter(|_| level[0] == b'D');
        let units = Units::parse(&[]);
        let (sixteen_bits, has_focus) = (false, false);
        Capabilities::plain(Plain { identity: &identity, units, hardware, sixteen_bits, has_focus, model: "GT-9500" })
    }

    #[test]
    fn the_options_begin_with_the_whole_glass_in_color() {
        let options = v850().options();
        assert_eq!(options.text("mode"), Some("Color"));
        assert_eq!((options.int("depth"), options.int("resolution")), (Some(8), Some(300)));
        assert!((options.fixed("br-x").expect("a number") - 215.9).abs() < 0.001);
        assert!((options.fixed("br-y").expect("a number") - 297.18).abs() < 0.001);
    }

    /// With a feeder that takes longer pages than the platen.
    pub(crate) fn with_feeder() -> Capabilities {
        let mut capabilities = v850();
        for source in [Source::Feeder, Source::FeederDuplex] {
            capabilities.places.push(Place { source, area: (40_800, 67_200) });
        }
        capabilities
    }

    #[test]
    fn the_edges_follow_the_source() {
        let mut options = with_feeder().options();
        assert!(options.set_text("br-y", "300").is_err());
        options.set_text("source", "automatic document feeder").expect("a source");
        assert!((options.fixed("br-y").expect("a number") - 355.6).abs() < 0.001);
        options.set_text("br-y", "300").expect("on the sheet");
        options.set_text("source", "flatbed").expect("a source");
        assert!((options.fixed("br-y").expect("a number") - 297.18).abs() < 0.001);
    }

    #[test]
    fn of_units_with_the_same_number_one_counts() {
        let all = places((100, 100), Some((100, 200)), false, Some((50, 50)), Some((60, 60)));
        assert_eq!(
            all.iter().map(|place| place.source.unit()).collect::<Vec<_>>(),
            [NO_UNIT, FEEDER_OR_FILM, WIDE_FILM]
        );
        assert_eq!(places((0, 0), Some((100, 200)), true, None, None).len(), 2);
    }

    #[test]
    fn lineart_has_a_threshold_and_no_depth() {
        let mut options = v850().options();
        assert!(options.value("threshold").is_none());
        options.set_text("mode", "Lineart").expect("a mode");
        assert_eq!((options.int("threshold"), options.int("depth")), (Some(128), None));
    }

    #[test]
    fn a_scanner_without_extended_commands_offers_what_it_lists() {
        let mut options = plain(b"B5").expect("supported").options();
        assert!(options.get("threshold").is_err());
        assert!(options.set_text("resolution", "150").is_err());
        assert!(options.set_text("depth", "16").is_err());
        options.set_text("resolution", "75").expect("listed");
    }

    #[test]
    fn a_level_offers_what_it_has_commands_for() {
        let offers = |level: &[u8; 2], name: &str| plain(level).expect("supported").options().get(name).is_ok();
        let table = [
            (b"A2", "--------"),
            (b"B2", "--------"),
            (b"B3", "---c----"),
            (b"B4", "-gsc----"),
            (b"B7", "tgsc----"),
            (b"F5", "-gsc----"),
            (b"D1", "tg------"),
        ];
        let names = ["threshold", "gamma", "sharpness", "color-correction"];
        for (level, expected) in table {
            for (name, letter) in names.iter().zip(expected.chars()) {
                assert_eq!(offers(level, name), letter != '-', "{level:?} {name}");
            }
            assert_eq!(offers(level, "brightness"), level[0] != b'D', "{level:?}");
        }
        assert_eq!(plain(b"A2").expect("supported").options().text("mode"), Some("Gray"));
    }

    #[test]
    fn other_levels_without_extended_commands_are_refused_in_words() {
        for level in [b"A1", b"B1", b"X1"] {
            let text = plain(level).expect_err("not supported").to_string();
            let level = String::from_utf8_lossy(level);
            let expected = format!(
                "GT-9500 is a scanner of command level {level} without extended commands, which is not supported"
            );
            assert_eq!(text, expected);
        }
    }
}
