//! Values of options between SANE and the drivers: words of 16.16 bits and numbers, strings and words of a list. A number
//! that the scanner does not have becomes the nearest that it has, as SANE's applications expect of a backend. No C here.

use usbscan_scan::{Constraint, Unit};

use crate::abi::{self, FIXED_SHIFT, Status, ValueType, Word};
use crate::value::Value;

/// What an option's values are in C.
pub fn value_type(constraint: &Constraint) -> ValueType {
    match constraint {
        Constraint::Switch => ValueType::Bool,
        Constraint::Button => ValueType::Button,
        Constraint::Text { .. } => ValueType::String,
        Constraint::IntRange { .. } => ValueType::Int,
        Constraint::FixedRange { .. } => ValueType::Fixed,
        Constraint::Numbers { whole: true, .. } => ValueType::Int,
        Constraint::Numbers { whole: false, .. } => ValueType::Fixed,
        Constraint::List(values) => match values.first() {
            Some(usbscan_scan::Value::Bool(_)) => ValueType::Bool,
            Some(usbscan_scan::Value::Int(_)) => ValueType::Int,
            Some(usbscan_scan::Value::Fixed(_)) => ValueType::Fixed,
            Some(usbscan_scan::Value::Text(_) | usbscan_scan::Value::Numbers(_)) | None => ValueType::String,
        },
    }
}

/// The unit in C.
pub fn unit(unit: Unit) -> abi::Unit {
    match unit {
        Unit::None => abi::Unit::None,
        Unit::Mm => abi::Unit::Mm,
        Unit::Dpi => abi::Unit::Dpi,
        Unit::Bit => abi::Unit::Bit,
        Unit::Pixel => abi::Unit::Pixel,
        Unit::Percent => abi::Unit::Percent,
        Unit::Microsecond => abi::Unit::Microsecond,
    }
}

/// `SANE_FIX`, with the ends of a word as its ends.
pub fn fix(number: f64) -> Word {
    // The cast keeps to the ends by itself, and makes no number 0.
    (number * f64::from(1 << FIXED_SHIFT)).round() as Word
}

pub fn unfix(word: Word) -> f64 {
    f64::from(word) / f64::from(1 << FIXED_SHIFT)
}

/// A driver's value as C has it.
pub fn to_c(value: &usbscan_scan::Value, value_type: ValueType) -> Value {
    match value {
        usbscan_scan::Value::Bool(held) => Value::Bool(*held),
        usbscan_scan::Value::Text(text) => Value::Text(text.clone()),
        usbscan_scan::Value::Int(number) if value_type == ValueType::Fixed => {
            Value::Words(vec![fix(f64::from(*number))])
        }
        usbscan_scan::Value::Int(number) => Value::Words(vec![*number]),
        usbscan_scan::Value::Fixed(number) => Value::Words(vec![fix(*number)]),
        // Whole ones are small: the cast keeps to the ends.
        usbscan_scan::Value::Numbers(numbers) if value_type == ValueType::Int => {
            Value::Words(numbers.iter().map(|number| *number as Word).collect())
        }
        usbscan_scan::Value::Numbers(numbers) => Value::Words(numbers.iter().copied().map(fix).collect()),
    }
}

/// A value that the option has, and whether it is the very one that was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    /// It.
    pub value: usbscan_scan::Value,
    /// Whether nothing was rounded.
    pub exact: bool,
}

/// The option's value for what an application asks for: itself or the nearest. A word that is not in the list is
/// [`Status::Invalid`].
pub fn fit(constraint: &Constraint, wanted: &Value) -> Result<Fitted, Status> {
    match (constraint, wanted) {
        (Constraint::Switch, Value::Bool(wanted)) => {
            Ok(Fitted { value: usbscan_scan::Value::Bool(*wanted), exact: true })
        }
        (Constraint::Button, _) => Ok(Fitted { value: usbscan_scan::Value::Bool(true), exact: true }),
        (Constraint::Text { .. }, Value::Text(wanted)) => {
            Ok(Fitted { value: usbscan_scan::Value::Text(wanted.clone()), exact: true })
        }
        (Constraint::IntRange { min, max, step }, Value::Words(words)) => {
            let wanted = single(words)?;
            let value = nearest_step(wanted, *min, *max, *step);
            Ok(Fitted { value: usbscan_scan::Value::Int(value), exact: value == wanted })
        }
        (Constraint::FixedRange { min, max }, Value::Words(words)) => {
            let wanted = single(words)?;
            let inside = (fix(*min)..=fix(*max)).contains(&wanted);
            Ok(Fitted { value: usbscan_scan::Value::Fixed(unfix(wanted).clamp(*min, *max)), exact: inside })
        }
        (Constraint::Numbers { count, min, max, whole }, Value::Words(words)) if words.len() == *count => {
            let number = |word: &Word| if *whole { f64::from(*word) } else { unfix(*word) };
            let wanted: Vec<f64> = words.iter().map(number).collect();
            let numbers: Vec<f64> = wanted.iter().map(|number| number.clamp(*min, *max)).collect();
            let exact = numbers == wanted;
            Ok(Fitted { value: usbscan_scan::Value::Numbers(numbers), exact })
        }
        (Constraint::List(values), Value::Words(words)) => nearest_of(values, single(words)?),
        (Constraint::List(values), wanted) => word_of(values, wanted),
        _ => Err(Status::Invalid),
    }
}

fn single(words: &[Word]) -> Result<Word, Status> {
    match words {
        [word] => Ok(*word),
        _ => Err(Status::Invalid),
    }
}

fn nearest_step(wanted: i32, min: i32, max: i32, step: i32) -> i32 {
    let (wanted, min, max, step) = (i64::from(wanted), i64::from(min), i64::from(max), i64::from(step.max(1)));
    let steps = (wanted.clamp(min, max) - min + step / 2) / step;
    let last = (max - min) / step;
    let value = min + steps.min(last) * step;
    i32::try_from(value).expect("between two numbers of 32 bits")
}

fn nearest_of(values: &[usbscan_scan::Value], wanted: Word) -> Result<Fitted, Status> {
    let word = |value: &usbscan_scan::Value| match value {
        usbscan_scan::Value::Int(number) => Some(*number),
        usbscan_scan::Value::Fixed(number) => Some(fix(*number)),
        usbscan_scan::Value::Bool(_) | usbscan_scan::Value::Text(_) | usbscan_scan::Value::Numbers(_) => None,
    };
    let with_words = values.iter().filter_map(|value| Some((value, word(value)?)));
    let nearest = with_words.min_by_key(|(_, word)| (i64::from(*word) - i64::from(wanted)).abs());
    let (value, word) = nearest.ok_or(Status::Invalid)?;
    Ok(Fitted { value: value.clone(), exact: word == wanted })
}

fn word_of(values: &[usbscan_scan::Value], wanted: &Value) -> Result<Fitted, Status> {
    let found = values.iter().find(|value| match (value, wanted) {
        (usbscan_scan::Value::Text(value), Value::Text(wanted)) => value.eq_ignore_ascii_case(wanted),
        (usbscan_scan::Value::Bool(value), Value::Bool(wanted)) => value == wanted,
        _ => false,
    });
    // Another spelling is not another value; SANE has no room to say so in a string that may be too short for it.
    found.map(|value| Fitted { value: value.clone(), exact: true }).ok_or(Status::Invalid)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn word(constraint: &Constraint, wanted: Word) -> (Word, bool) {
        let fitted = fit(constraint, &Value::Words(vec![wanted])).expect("a number is taken");
        match to_c(&fitted.value, value_type(constraint)) {
            Value::Words(words) => (words[0], fitted.exact),
            other => panic!("{other:?} is no number"),
        }
    }

    #[test]
    fn a_number_becomes_the_nearest_there_is() {
        let steps = Constraint::IntRange { min: 50, max: 301, step: 25 };
        assert_eq!(word(&steps, 100), (100, true));
        assert_eq!(word(&steps, 113), (125, false));
        assert_eq!(word(&steps, 400), (300, false));
        assert_eq!(word(&steps, Word::MIN), (50, false));
        let list = Constraint::List(vec![75.into(), 150.into(), 300.into()]);
        assert_eq!(word(&list, 299), (300, false));
        assert_eq!(word(&list, 75), (75, true));
        let range = Constraint::FixedRange { min: 0.0, max: 215.9 };
        assert_eq!(word(&range, fix(215.9)), (fix(215.9), true));
        assert_eq!(word(&range, fix(216.0)), (fix(215.9), false));
        assert_eq!(word(&range, -1), (0, false));
    }

    #[test]
    fn a_word_is_of_the_list_in_any_case_or_it_is_refused() {
        let modes = Constraint::List(vec!["Color".into(), "Gray".into()]);
        let asked = |word: &str| fit(&modes, &Value::Text(word.to_owned()));
        assert_eq!(asked("gray"), Ok(Fitted { value: "Gray".into(), exact: true }));
        assert_eq!(asked("Grayish"), Err(Status::Invalid));
        assert_eq!(fit(&modes, &Value::Words(vec![0])), Err(Status::Invalid));
        assert_eq!(fit(&modes, &Value::Nothing), Err(Status::Invalid));
        assert_eq!(fit(&Constraint::List(Vec::new()), &Value::Words(vec![0])), Err(Status::Invalid));
        assert_eq!(fit(&Constraint::Switch, &Value::Words(vec![1])), Err(Status::Invalid));
    }

    #[test]
    fn several_numbers_are_several_words_each_within() {
        for (whole, wanted, got, exact) in [
            (true, vec![0, 300, -1], vec![0, 255, 0], false),
            (true, vec![0, 255, 7], vec![0, 255, 7], true),
            (false, vec![fix(0.5), fix(-2.0), fix(255.0)], vec![fix(0.5), 0, fix(255.0)], false),
        ] {
            let constraint = Constraint::Numbers { count: 3, min: 0.0, max: 255.0, whole };
            let fitted = fit(&constraint, &Value::Words(wanted)).expect("three words");
            assert_eq!((to_c(&fitted.value, value_type(&constraint)), fitted.exact), (Value::Words(got), exact));
            assert_eq!(fit(&constraint, &Value::Words(vec![0; 2])), Err(Status::Invalid));
        }
    }

    proptest! {
        #[test]
        fn what_a_range_gives_is_one_of_its_steps(wanted: i32, min: i32, length in 0..i32::MAX, step in -3..1000_i32) {
            let max = min.saturating_add(length);
            let value = nearest_step(wanted, min, max, step);
            prop_assert!((min..=max).contains(&value));
            prop_assert_eq!((i64::from(value) - i64::from(min)) % i64::from(step.max(1)), 0);
        }

        #[test]
        fn a_word_of_16_bits_after_the_point_survives(word: i32) {
            prop_assert_eq!(fix(unfix(word)), word);
        }
    }
}
