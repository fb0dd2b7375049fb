//! Options as most scanners have them, described once.

use super::descriptor::{Constraint, Dependence, OptionDescriptor, Unit, Variant};
use super::{Value, names};
use crate::Glass;

/// The words of `mode`.
pub(crate) mod modes {
    pub(crate) const COLOR: &str = "Color";
    pub(crate) const GRAY: &str = "Gray";
    pub(crate) const LINEART: &str = "Lineart";
}

/// An option that counts nothing and always means something.
pub(crate) fn option(
    name: &'static str,
    title: &'static str,
    description: &'static str,
    constraint: Constraint,
    default: Value,
) -> OptionDescriptor {
    OptionDescriptor {
        name,
        title,
        description,
        unit: Unit::None,
        constraint,
        value: default.clone(),
        default,
        active: true,
        active_when: None,
    }
}

/// One of these words.
pub(crate) fn words(words: &[&str]) -> Constraint {
    Constraint::List(words.iter().map(|word| Value::from(*word)).collect())
}

/// While another option is one of these words.
pub(crate) fn with(on: &'static str, words: &[&str]) -> Dependence {
    Dependence { on, values: words.iter().map(|word| Value::from(*word)).collect() }
}

/// The four edges of the area, on the largest of the places.
pub(crate) fn edges(Glass { width, height }: Glass) -> [OptionDescriptor; 4] {
    let edge = |name, title, description, max: f64, default: f64| OptionDescriptor {
        unit: Unit::Mm,
        ..option(name, title, description, Constraint::FixedRange { min: 0.0, max }, default.into())
    };
    [
        edge(names::TL_X, "Left edge", "Where the area begins, from the left edge of the glass.", width, 0.0),
        edge(names::TL_Y, "Upper edge", "Where the area begins, from the upper edge of the glass.", height, 0.0),
        edge(names::BR_X, "Right edge", "Where the area ends, from the left edge of the glass.", width, width),
        edge(names::BR_Y, "Lower edge", "Where the area ends, from the upper edge of the glass.", height, height),
    ]
}

/// What the edges may be with one source.
pub(crate) fn edges_of(source: &'static str, Glass { width, height }: Glass) -> [Variant; 4] {
    let edge = |option, max: f64, default: f64| Variant {
        option,
        when: with(names::SOURCE, &[source]),
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
