//! One option: its name, what it counts, what values it takes and when it means something.

use std::borrow::Cow;

use serde::Serialize;

use super::value::{SAME, Value, number, same, whole};

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Nothing.
    None,
    /// Millimetres.
    Mm,
    /// Dots per inch.
    Dpi,
    /// Bits.
    Bit,
    /// Pixels of the resolution that is chosen.
    Pixel,
    /// Percent.
    Percent,
    /// Microseconds.
    Microsecond,
}

impl Unit {
    /// Behind a number: ` mm`.
    pub fn suffix(self) -> &'static str {
        match self {
            Unit::None => "",
            Unit::Mm => " mm",
            Unit::Dpi => " dpi",
            Unit::Bit => " bit",
            Unit::Pixel => " pixels",
            Unit::Percent => " %",
            Unit::Microsecond => " µs",
        }
    }
}

/// What values an option takes. Says the type too: that of the values in it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Constraint {
    /// Yes or no.
    Switch,
    /// Whole numbers from `min` to `max`.
    IntRange {
        /// The least.
        min: i32,
        /// The most.
        max: i32,
        /// From one to the next, counted from `min`.
        step: i32,
    },
    /// Any number from `min` to `max`.
    FixedRange {
        /// The least.
        min: f64,
        /// The most.
        max: f64,
    },
    /// One of these.
    List(Vec<Value>),
    /// So many numbers, each from `min` to `max`.
    Numbers {
        /// How many.
        count: usize,
        /// The least.
        min: f64,
        /// The most.
        max: f64,
        /// Nothing between two whole ones.
        whole: bool,
    },
    /// Any text.
    Text {
        /// The most bytes.
        bytes: usize,
    },
    /// No value: `yes` does what it is for.
    Button,
}

/// When an option means something.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Dependence {
    /// The option it depends on.
    pub on: &'static str,
    /// The values of that with which it means something.
    pub values: Vec<Value>,
}

/// What an option takes while another has one of certain values.
#[derive(Debug, Clone, PartialEq)]
pub struct Variant {
    /// The option.
    pub option: &'static str,
    /// The other, and its values.
    pub when: Dependence,
    /// What it takes then.
    pub constraint: Constraint,
    /// What it is then, unless something else was chosen that can still be had.
    pub default: Value,
}

/// One option.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct OptionDescriptor {
    /// For command lines and programs: one of [`crate::names`], or the driver's own.
    pub name: Cow<'static, str>,
    /// For people, some words.
    pub title: Cow<'static, str>,
    /// For people, a sentence.
    pub description: Cow<'static, str>,
    /// The title of the options that it stands among; empty where it is among all.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub group: Cow<'static, str>,
    /// What it counts.
    pub unit: Unit,
    /// What values it takes.
    pub constraint: Constraint,
    /// The value it begins with.
    pub default: Value,
    /// The value it has.
    pub value: Value,
    /// Whether it means anything now.
    pub active: bool,
    /// It can only be looked at: a sensor, or what is set at the scanner.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// What that depends on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active_when: Option<Dependence>,
}

impl OptionDescriptor {
    /// An option without a unit that is always active, at its default.
    pub fn new(
        name: impl Into<Cow<'static, str>>,
        title: impl Into<Cow<'static, str>>,
        description: impl Into<Cow<'static, str>>,
        constraint: Constraint,
        default: Value,
    ) -> OptionDescriptor {
        OptionDescriptor {
            name: name.into(),
            title: title.into(),
            description: description.into(),
            group: Cow::Borrowed(""),
            unit: Unit::None,
            constraint,
            value: default.clone(),
            default,
            active: true,
            read_only: false,
            active_when: None,
        }
    }

    /// `50, 100 or 300 dpi`; `from 25 to 12800 dpi`.
    pub fn possible(&self) -> String {
        let suffix = self.unit.suffix();
        match &self.constraint {
            Constraint::Switch => "yes or no".to_owned(),
            Constraint::Text { .. } => "any text".to_owned(),
            Constraint::Button => "yes, to have it done".to_owned(),
            Constraint::IntRange { min, max, step: 1 } => format!("from {min} to {max}{suffix}"),
            Constraint::IntRange { min, max, step } => format!("from {min} to {max}{suffix} in steps of {step}"),
            Constraint::FixedRange { min, max } => {
                format!("from {} to {}{suffix}", Value::Fixed(*min), Value::Fixed(*max))
            }
            Constraint::Numbers { count, min, max, whole } => {
                let kind = if *whole { "whole numbers" } else { "numbers" };
                format!("{count} {kind} from {} to {}{suffix}", Value::Fixed(*min), Value::Fixed(*max))
            }
            Constraint::List(values) => {
                let mut words: Vec<String> = values.iter().map(Value::to_string).collect();
                let last = words.pop().unwrap_or_default();
                match words.is_empty() {
                    true => format!("only {last}{suffix}"),
                    false => format!("{} or {last}{suffix}", words.join(", ")),
                }
            }
        }
    }

    /// Takes other values from now on. One that was not chosen, or can't be had any more, gives way to the new default; a
    /// number beyond the range to the end of it.
    pub(super) fn adopt(&mut self, constraint: &Constraint, default: &Value) {
        if self.constraint == *constraint && self.default == *default {
            return;
        }
        let was_chosen = self.value != self.default;
        (self.constraint, self.default) = (constraint.clone(), default.clone());
        let clamped = match (&self.constraint, number(&self.value)) {
            (Constraint::FixedRange { min, max }, Some(value)) => Value::Fixed(value.clamp(*min, *max)),
            (Constraint::IntRange { min, max, .. }, Some(value)) => {
                Value::Int(value.clamp(f64::from(*min), f64::from(*max)) as i32)
            }
            _ => self.value.clone(),
        };
        let kept = if was_chosen { self.fit(&clamped) } else { None };
        self.value = kept.unwrap_or_else(|| self.default.clone());
    }

    /// The value that the option takes for `value`: itself, or the same in the option's own type or spelling.
    pub(super) fn fit(&self, value: &Value) -> Option<Value> {
        match (&self.constraint, value) {
            (Constraint::Switch, Value::Bool(_)) | (Constraint::Button, Value::Bool(true)) => Some(value.clone()),
            (Constraint::Text { bytes }, Value::Text(text)) => (text.len() <= *bytes).then(|| value.clone()),
            (Constraint::IntRange { min, max, step }, value) => {
                let value = whole(value)?;
                let steps = i64::from(value) - i64::from(*min);
                let fits = (*min..=*max).contains(&value) && steps % i64::from((*step).max(1)) == 0;
                fits.then_some(Value::Int(value))
            }
            (Constraint::FixedRange { min, max }, value) => {
                let value = number(value)?;
                (value >= min - SAME && value <= max + SAME).then(|| Value::Fixed(value.clamp(*min, *max)))
            }
            (Constraint::List(values), value) => values.iter().find(|one| same(one, value)).cloned(),
            (Constraint::Numbers { count, min, max, whole }, Value::Numbers(values)) => {
                let fits = |value: &f64| (*min..=*max).contains(value) && (!whole || value.fract() == 0.0);
                (values.len() == *count && values.iter().all(fits)).then(|| value.clone())
            }
            _ => None,
        }
    }

    /// Understands text as a value of this option's type.
    pub(super) fn read(&self, text: &str) -> Option<Value> {
        let text = text.trim();
        let of_number = || text.parse().ok().filter(|value: &f64| value.is_finite()).map(Value::Fixed);
        match &self.constraint {
            Constraint::Text { .. } => Some(Value::from(text)),
            Constraint::Switch | Constraint::Button => match text {
                "yes" | "true" | "on" | "1" => Some(Value::Bool(true)),
                "no" | "false" | "off" | "0" => Some(Value::Bool(false)),
                _ => None,
            },
            Constraint::IntRange { .. } | Constraint::FixedRange { .. } => of_number(),
            Constraint::Numbers { .. } => {
                let texts = text.split([',', ' ']).filter(|text| !text.is_empty());
                let numbers: Result<Vec<f64>, _> = texts.map(str::parse).collect();
                numbers.ok().map(Value::Numbers)
            }
            Constraint::List(values) => match values.first() {
                Some(Value::Int(_) | Value::Fixed(_)) => of_number(),
                _ => Some(Value::from(text)),
            },
        }
    }
}
