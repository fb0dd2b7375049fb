//! The value of an option, as text, number or word.

use std::fmt;

use serde::Serialize;

/// The value of an option.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Int(i32),
    /// A number.
    Fixed(f64),
    /// One of a list of words.
    Text(String),
    /// Several numbers: a curve, a matrix.
    Numbers(Vec<f64>),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Bool(true) => f.write_str("yes"),
            Value::Bool(false) => f.write_str("no"),
            Value::Int(value) => value.fmt(f),
            Value::Fixed(value) => short(*value).fmt(f),
            // A curve is looked at in JSON.
            Value::Numbers(values) if values.len() > MOST_SHOWN => {
                let (first, last) = (short(values[0]), short(values[values.len() - 1]));
                write!(f, "{} numbers, {first} ... {last}", values.len())
            }
            Value::Numbers(values) => {
                let texts: Vec<String> = values.iter().map(|value| short(*value).to_string()).collect();
                f.write_str(&texts.join(","))
            }
            Value::Text(value) => f.write_str(value),
        }
    }
}

/// Numbers that fit a line.
const MOST_SHOWN: usize = 16;

/// As many digits as it takes, at most three.
fn short(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Value {
        Value::Int(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Value {
        Value::Fixed(value)
    }
}

/// Numbers that differ by less are the same: millimetres have been through text and inches.
pub(super) const SAME: f64 = 0.01;

pub(super) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Int(value) => Some(f64::from(*value)),
        Value::Fixed(value) if value.is_finite() => Some(*value),
        _ => None,
    }
}

pub(super) fn whole(value: &Value) -> Option<i32> {
    let value = number(value)?;
    let fits = value.fract() == 0.0 && value >= f64::from(i32::MIN) && value <= f64::from(i32::MAX);
    fits.then_some(value as i32)
}

pub(super) fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Text(one), Value::Text(other)) => one.eq_ignore_ascii_case(other),
        (Value::Int(one), other) => whole(other) == Some(*one),
        (Value::Fixed(one), other) => number(other).is_some_and(|other| (one - other).abs() < SAME),
        (one, other) => one == other,
    }
}
