//! Options as a SANE backend describes them, in its own names, units and numbers.

use serde::{Deserialize, Serialize};

/// `SANE_CAP_…`: what can be done with an option.
pub mod capabilities {
    /// It can be set.
    pub const SOFT_SELECT: i32 = 1;
    /// A person sets it at the scanner.
    pub const HARD_SELECT: i32 = 2;
    /// Its value can be read.
    pub const SOFT_DETECT: i32 = 4;
    /// The backend can choose a value by itself.
    pub const AUTOMATIC: i32 = 16;
    /// It is of no use with the other options as they are.
    pub const INACTIVE: i32 = 32;
}

/// `SANE_Value_Type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// One word, 0 or 1.
    Bool,
    /// Words.
    Int,
    /// Words with 16 bits after the point.
    Fixed,
    /// Text.
    String,
    /// No value: setting it does something.
    Button,
    /// No value: a title for the options that follow.
    Group,
}

/// `SANE_Unit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// A plain number.
    None,
    /// Pixels.
    Pixel,
    /// Bits.
    Bit,
    /// Millimetres.
    Mm,
    /// Dots per inch.
    Dpi,
    /// Percent.
    Percent,
    /// Microseconds.
    Microsecond,
}

/// What values an option takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Constraint {
    /// Any of its type.
    None,
    /// Words from `min` to `max`, in steps of `quant` unless that is 0.
    Range {
        /// The least.
        min: i32,
        /// The most.
        max: i32,
        /// From one to the next.
        quant: i32,
    },
    /// One of these words.
    Words(Vec<i32>),
    /// One of these texts.
    Texts(Vec<String>),
}

/// The value of an option.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Value {
    /// None: of a button, or one that can't be read.
    #[default]
    None,
    /// Words, as the option's type has them: several where it is an array.
    Words(Vec<i32>),
    /// Text. Where a backend's bytes are no UTF-8 they are taken for Latin-1.
    Text(String),
}

/// One option.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct OptionInfo {
    /// Its number at the backend.
    pub index: u32,
    /// Its name; empty where it has none.
    pub name: String,
    /// For people, some words.
    pub title: String,
    /// For people, some sentences.
    pub description: String,
    /// Its type.
    pub kind: Kind,
    /// What it counts.
    pub unit: Unit,
    /// Words of its value, or bytes of the longest text, its end not counted.
    pub length: u32,
    /// Those of [`capabilities`], added up.
    pub capabilities: i32,
    /// What values it takes.
    pub constraint: Constraint,
    /// The value that it has.
    pub value: Value,
}

impl OptionInfo {
    /// Whether it has this capability.
    pub fn can(&self, capability: i32) -> bool {
        self.capabilities & capability != 0
    }
}
