//! The curve that samples go through: its options, and the tables that scanners are sent.

use super::options::{modes, one_of, while_one_of};
use crate::options::names;
use crate::{Constraint, OptionDescriptor, Options, Value};

/// The words of `gamma`: the scanner's own curve, none, one by its exponent, or any.
pub(crate) const BUILT_IN: &str = "built-in";
pub(crate) const LINEAR: &str = "linear";
pub(crate) const CUSTOM: &str = "custom";
pub(crate) const TABLE: &str = "table";

/// What each of 256 shades becomes.
pub(crate) type GammaTable = [u8; 256];

/// Which curve the samples go through.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Gamma {
    BuiltIn,
    Linear,
    /// This exponent.
    Exponent(f64),
    /// These.
    Table(Box<GammaTable>),
}

impl Gamma {
    pub(crate) fn chosen(options: &Options) -> Gamma {
        match options.text(names::GAMMA) {
            Some(LINEAR) => Gamma::Linear,
            Some(CUSTOM) => Gamma::Exponent(options.fixed(names::GAMMA_VALUE).unwrap_or(1.0)),
            Some(TABLE) => Gamma::Table(Box::new(table(options.numbers(names::GAMMA_TABLE)))),
            _ => Gamma::BuiltIn,
        }
    }

    /// As a table; that of the scanner's own curve, and of none, is straight.
    pub(crate) fn table(&self) -> GammaTable {
        match self {
            Gamma::Exponent(exponent) => curve(*exponent),
            Gamma::Table(table) => **table,
            Gamma::BuiltIn | Gamma::Linear => straight(),
        }
    }
}

fn straight() -> GammaTable {
    std::array::from_fn(|at| at as u8)
}

/// Whole numbers from 0 to 255, as the option has them.
fn table(numbers: Option<&[f64]>) -> GammaTable {
    std::array::from_fn(|at| numbers.and_then(|numbers| numbers.get(at)).map_or(at as u8, |number| *number as u8))
}

/// Numbers proportional to light become its root.
fn curve(exponent: f64) -> GammaTable {
    // Between 0 and 255, so nothing is cut.
    std::array::from_fn(|at| ((at as f64 / 255.0).powf(1.0 / exponent) * 255.0).round() as u8)
}

/// The option `gamma` of a scanner that has these of the four, the default first.
pub(crate) fn option(words: &[&str]) -> OptionDescriptor {
    let description = match words.contains(&TABLE) {
        true => "The scanner's own curve, made for screens; none: numbers proportional to light; or one of your own.",
        false => "The scanner's own curve, made for screens; or none: numbers proportional to light.",
    };
    OptionDescriptor {
        active_when: Some(while_one_of(names::MODE, &[modes::COLOR, modes::GRAY])),
        ..OptionDescriptor::new(names::GAMMA, "Gamma", description, one_of(words), words[0].into())
    }
}

/// The exponent of `gamma=custom`.
pub(crate) fn value_option() -> OptionDescriptor {
    let description = "The exponent of the curve: 1 is proportional to light, more makes dark parts lighter.";
    OptionDescriptor {
        active_when: Some(while_one_of(names::GAMMA, &[CUSTOM])),
        ..OptionDescriptor::new(
            names::GAMMA_VALUE,
            "Gamma value",
            description,
            Constraint::FixedRange { min: 0.3, max: 5.0 },
            2.2.into(),
        )
    }
}

/// The shades of `gamma=table`.
pub(crate) fn table_option() -> OptionDescriptor {
    OptionDescriptor {
        active_when: Some(while_one_of(names::GAMMA, &[TABLE])),
        ..OptionDescriptor::new(
            names::GAMMA_TABLE,
            "Gamma table",
            "What each of 256 shades becomes, from black to white.",
            Constraint::Numbers { count: 256, min: 0.0, max: 255.0, whole: true },
            Value::Numbers(straight().map(f64::from).to_vec()),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_of_ones_own_is_a_root() {
        let root = curve(2.0);
        assert_eq!((root[0], root[64], root[255]), (0, 128, 255));
        assert!(root.is_sorted());
        assert_eq!(curve(1.0), straight());
    }
}
