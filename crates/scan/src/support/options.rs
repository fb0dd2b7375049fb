//! Options as most scanners have them, described once.

use crate::options::names;
use crate::{Constraint, Dependence, MaxArea, OptionDescriptor, Unit, Value, Variant};

/// The words of `mode`.
pub(crate) mod modes {
    pub(crate) const COLOR: &str = "Color";
    pub(crate) const GRAY: &str = "Gray";
    pub(crate) const LINEART: &str = "Lineart";
}

/// One of these words.
pub(crate) fn one_of(words: &[&str]) -> Constraint {
    Constraint::List(words.iter().map(|word| Value::from(*word)).collect())
}

/// While another option is one of these words.
pub(crate) fn while_one_of(on: &'static str, words: &[&str]) -> Dependence {
    Dependence { on, values: words.iter().map(|word| Value::from(*word)).collect() }
}

/// The four edges of the area, on the largest of the places.
pub(crate) fn edges(MaxArea { width, height }: MaxArea) -> [OptionDescriptor; 4] {
    let edge = |name, title, description, max: f64, default: f64| OptionDescriptor {
        unit: Unit::Mm,
        ..OptionDescriptor::new(name, title, description, Constraint::FixedRange { min: 0.0, max }, default.into())
    };
    [
        edge(names::TL_X, "Left edge", "Where the area begins, from the left edge of the scan area.", width, 0.0),
        edge(names::TL_Y, "Upper edge", "Where the area begins, from the upper edge of the scan area.", height, 0.0),
        edge(names::BR_X, "Right edge", "Where the area ends, from the left edge of the scan area.", width, width),
        edge(names::BR_Y, "Lower edge", "Where the area ends, from the upper edge of the scan area.", height, height),
    ]
}

/// What the edges may be with one source.
pub(crate) fn edges_of(source: &'static str, MaxArea { width, height }: MaxArea) -> [Variant; 4] {
    let edge = |option, max: f64, default: f64| Variant {
        option,
        when: while_one_of(names::SOURCE, &[source]),
        constraint: Constraint::FixedRange { min: 0.0, max },
        default: default.into(),
    };
    [
        edge(names::TL_X, width, 0.0),
        edge(names::TL_Y, height, 0.0),
        edge(names::BR_X, width, width),
        edge(names::BR_Y, height, height),
    ]
}
