//! The options that a scanner's capabilities make.

use super::capabilities::{Capabilities, Resolutions, Source};
use super::codes::{CRT_CORRECTION, DOWNLOADED_CORRECTION, NEGATIVE, NO_CORRECTION, POSITIVE};
use crate::options::names;
use crate::support::alignment::Alignment;
use crate::support::options::{edges, edges_of, modes, one_of, page_width, while_one_of};
use crate::support::{fill, gamma};
use crate::{Constraint, Dependence, OptionDescriptor, Options, Unit, Value};

pub(super) const COLOR: &str = modes::COLOR;
pub(super) const GRAY: &str = modes::GRAY;
pub(super) const LINEART: &str = modes::LINEART;

/// Kinds of film and their ESC N values.
pub(super) const FILMS: [(&str, u8); 2] = [("Positive Film", POSITIVE), ("Negative Film", NEGATIVE)];

/// Colour corrections and their ESC M values.
pub(super) const CORRECTIONS: [(&str, u8); 3] =
    [("none", NO_CORRECTION), ("crt", CRT_CORRECTION), (MATRIX, DOWNLOADED_CORRECTION)];
const MATRIX: &str = "matrix";

/// The largest number of a colour matrix: 127 in units of 1/32.
const MOST_OF_MATRIX: f64 = 127.0 / 32.0;

impl Capabilities {
    /// The options, in the order in which they are best set.
    pub(super) fn options(&self) -> Options {
        let mut all = vec![self.mode(), self.source(), self.depth(), self.resolution()];
        all.extend(edges(self.max_area(self.place(None))));
        let aligned = self.places.iter().find(|place| self.alignment_of(**place) != Alignment::Left);
        all.extend(aligned.map(|place| page_width(self.max_area(*place))));
        let has_film = self.places.iter().any(|place| place.source.is_film());
        let more = [
            (self.has(b'L'), brightness as fn() -> OptionDescriptor),
            (self.has(b't'), threshold),
            (self.has(b'z'), any_gamma),
            (self.has(b'z'), gamma::value_option),
            (self.has(b'z'), gamma::table_option),
            (self.has(b'Q'), sharpness),
            (self.has(b'M') && self.has(b'C'), correction),
            (self.has(b'm') && self.has(b'C'), matrix),
            (self.has(b'N') && has_film, film),
            (self.has_focus, focus),
            (self.detects_double_feed, double_feed),
        ];
        if self.detects_page_end {
            let feeders: Vec<&str> = Source::ALL.iter().filter(|s| s.is_feeder()).map(|s| s.word()).collect();
            all.push(fill::option(&feeders));
        }
        all.extend(more.into_iter().filter(|(has, _)| *has).map(|(_, option)| option()));
        let edges = self.places.iter().flat_map(|place| edges_of(place.source.word(), self.max_area(*place)));
        Options::varying(all, edges.collect())
    }

    fn mode(&self) -> OptionDescriptor {
        let description = "Red, green and blue; shades of gray; or black and white.";
        let all = [COLOR, GRAY, LINEART];
        let can = if self.has(b'C') { &all[..] } else { &all[1..] };
        OptionDescriptor::new(names::MODE, "Mode", description, one_of(can), can[0].into())
    }

    fn source(&self) -> OptionDescriptor {
        let list: Vec<&str> = self.places.iter().map(|place| place.source.word()).collect();
        OptionDescriptor::new(names::SOURCE, "Source", "Where the page lies.", one_of(&list), list[0].into())
    }

    fn depth(&self) -> OptionDescriptor {
        let mut depths = vec![Value::Int(8)];
        if self.sixteen_bits {
            depths.push(Value::Int(16));
        }
        OptionDescriptor {
            unit: Unit::Bit,
            active_when: Some(while_one_of(names::MODE, &[COLOR, GRAY])),
            ..OptionDescriptor::new(names::DEPTH, "Depth", "Bits of each sample.", Constraint::List(depths), 8.into())
        }
    }

    fn resolution(&self) -> OptionDescriptor {
        let whole = |dpi: u32| i32::try_from(dpi).unwrap_or(i32::MAX);
        let (constraint, default) = match &self.resolutions {
            Resolutions::Any { least, most } => {
                let (min, max) = (whole(*least), whole(*most));
                (Constraint::IntRange { min, max, step: 1 }, 300.clamp(min, max))
            }
            Resolutions::Listed(listed) => {
                let nearest = listed.iter().min_by_key(|dpi| dpi.abs_diff(300)).copied().unwrap_or(300);
                let values = listed.iter().map(|dpi| Value::Int(i32::from(*dpi))).collect();
                (Constraint::List(values), i32::from(nearest))
            }
        };
        let description = "Dots per inch, across and down.";
        OptionDescriptor {
            unit: Unit::Dpi,
            ..OptionDescriptor::new(names::RESOLUTION, "Resolution", description, constraint, default.into())
        }
    }
}

/// Where the lens is focused, and the ESC p values.
pub(super) const FOCUSES: [(&str, u8); 3] =
    [("on the glass", 0x40), ("2.5 mm above the glass", 0x59), ("automatic", 0xff)];

fn focus() -> OptionDescriptor {
    let description = "What is sharp: what lies on the glass, film in a holder, or whatever the scanner finds.";
    let list = one_of(&FOCUSES.map(|(name, _)| name));
    OptionDescriptor::new(names::FOCUS, "Focus", description, list, FOCUSES[0].0.into())
}

/// How soon two sheets at once are noticed, and the values in FS W.
pub(super) const DOUBLE_FEEDS: [(&str, u8); 3] = [("off", 0), ("low", 1), ("high", 2)];

fn double_feed() -> OptionDescriptor {
    let feeders = Source::ALL.iter().filter(|source| source.is_feeder()).map(|source| source.word().into());
    OptionDescriptor {
        active_when: Some(Dependence { on: names::SOURCE, values: feeders.collect() }),
        ..OptionDescriptor::new(
            names::DOUBLE_FEED,
            "Double feed detection",
            "How sensitively the feeder looks for two sheets at once.",
            one_of(&DOUBLE_FEEDS.map(|(name, _)| name)),
            DOUBLE_FEEDS[1].0.into(),
        )
    }
}

fn any_gamma() -> OptionDescriptor {
    gamma::option(&[gamma::BUILT_IN, gamma::LINEAR, gamma::CUSTOM, gamma::TABLE])
}

fn sharpness() -> OptionDescriptor {
    let constraint = Constraint::IntRange { min: -2, max: 2, step: 1 };
    OptionDescriptor::new(
        names::SHARPNESS,
        "Sharpness",
        "Sharper (above 0) or softer, by the scanner.",
        constraint,
        0.into(),
    )
}

fn film() -> OptionDescriptor {
    let film: Vec<Value> = Source::ALL.iter().filter(|source| source.is_film()).map(|s| s.word().into()).collect();
    OptionDescriptor {
        active_when: Some(Dependence { on: names::SOURCE, values: film }),
        ..OptionDescriptor::new(
            names::FILM_TYPE,
            "Film type",
            "Slides and prints as they are, or negatives, of which the scanner makes positives.",
            one_of(&FILMS.map(|(name, _)| name)),
            FILMS[0].0.into(),
        )
    }
}

fn brightness() -> OptionDescriptor {
    let constraint = Constraint::IntRange { min: -3, max: 3, step: 1 };
    OptionDescriptor::new(
        names::BRIGHTNESS,
        "Brightness",
        "Lighter (above 0) or darker, by the scanner.",
        constraint,
        0.into(),
    )
}

fn threshold() -> OptionDescriptor {
    let constraint = Constraint::IntRange { min: 0, max: 255, step: 1 };
    OptionDescriptor {
        active_when: Some(while_one_of(names::MODE, &[LINEART])),
        ..OptionDescriptor::new(
            names::THRESHOLD,
            "Threshold",
            "Shades below this become black.",
            constraint,
            128.into(),
        )
    }
}

fn correction() -> OptionDescriptor {
    let list = CORRECTIONS.map(|(name, _)| name);
    OptionDescriptor {
        active_when: Some(while_one_of(names::MODE, &[COLOR])),
        ..OptionDescriptor::new(
            names::COLOR_CORRECTION,
            "Colour correction",
            "Done by the scanner: none, its own for screens, or by a matrix of yours.",
            one_of(&list),
            list[0].into(),
        )
    }
}

fn matrix() -> OptionDescriptor {
    let same = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
    OptionDescriptor {
        active_when: Some(while_one_of(names::COLOR_CORRECTION, &[MATRIX])),
        ..OptionDescriptor::new(
            names::COLOR_MATRIX,
            "Colour matrix",
            "How much red, green and blue make red, then green, then blue. Each three should sum to 1.",
            Constraint::Numbers { count: 9, min: -MOST_OF_MATRIX, max: MOST_OF_MATRIX, whole: false },
            Value::Numbers(same.to_vec()),
        )
    }
}
