//! A backend's options as ours, with the backend's names, units, ranges and words; and values back.

use std::sync::Arc;

use parking_lot::Mutex;
use usbscan_sane_protocol::{Constraint as Theirs, Kind, OptionInfo, Reply, Request, Unit as TheirUnit, capabilities};

use super::link::Link;
use crate::{BackendError, Constraint, OptionDescriptor, OptionError, Options, OptionsKeeper, ScanError, Unit, Value};

/// `SANE_Fixed` has 16 bits behind the point.
const FIXED: f64 = 65536.0;

/// What the process keeps.
struct HostOptions {
    link: Arc<Link>,
    all: Mutex<Vec<OptionInfo>>,
}

/// The options of a backend.
pub(super) fn options(link: Arc<Link>, all: Vec<OptionInfo>) -> Options {
    let ours = described(&all);
    Options::kept(ours, Arc::new(HostOptions { link, all: Mutex::new(all) }))
}

impl OptionsKeeper for HostOptions {
    fn set(&self, name: &str, value: &Value) -> Result<Vec<OptionDescriptor>, OptionError> {
        let mut all = self.all.lock();
        let refused = |reason: String| OptionError::Refused { name: name.to_owned(), reason };
        let option = all.iter().find(|option| is_option(option) && option.name == name);
        let option = option.ok_or_else(|| refused("there is none of that name".to_owned()))?;
        let index = option.index;
        let request = Request::Set { option: index, value: in_sane(option, value) };
        match self.link.ask(&request) {
            Ok(Reply::Options { inexact, options }) => {
                take(&mut all, index, options);
                if inexact {
                    let is = all.iter().find(|option| option.index == index).map(value_of);
                    log::info!("{name} is {} now, and not {value}", is.map(|is| is.to_string()).unwrap_or_default());
                }
                Ok(described(&all))
            }
            Ok(_) => Err(refused(self.link.other_reply().to_string())),
            Err(ScanError::Backend(BackendError::Status { status, .. }))
                if status == usbscan_sane_protocol::status::INVALID =>
            {
                Err(refused(format!("{} does not take {value}", self.link.backend())))
            }
            Err(error) => Err(refused(error.to_string())),
        }
    }
}

/// What came back: the option that was set, or all of them.
fn take(all: &mut Vec<OptionInfo>, index: u32, mut options: Vec<OptionInfo>) {
    match options.len() {
        0 => {}
        1 if options[0].index == index => {
            if let (Some(known), Some(now)) = (all.iter_mut().find(|option| option.index == index), options.pop()) {
                *known = now;
            }
        }
        _ => *all = options,
    }
}

fn is_option(option: &OptionInfo) -> bool {
    option.kind != Kind::Group && !option.name.is_empty()
}

fn described(all: &[OptionInfo]) -> Vec<OptionDescriptor> {
    let mut group = String::new();
    let mut options = Vec::new();
    for option in all {
        if option.kind == Kind::Group {
            group.clone_from(&option.title);
        } else if is_option(option) {
            options.push(OptionDescriptor { group: group.clone().into(), ..describe(option) });
        }
    }
    options
}

fn describe(option: &OptionInfo) -> OptionDescriptor {
    let (name, title) = (option.name.clone(), option.title.clone());
    let constraint = constraint(option);
    OptionDescriptor {
        unit: match option.unit {
            TheirUnit::None => Unit::None,
            TheirUnit::Pixel => Unit::Pixel,
            TheirUnit::Bit => Unit::Bit,
            TheirUnit::Mm => Unit::Mm,
            TheirUnit::Dpi => Unit::Dpi,
            TheirUnit::Percent => Unit::Percent,
            TheirUnit::Microsecond => Unit::Microsecond,
        },
        active: !option.can(capabilities::INACTIVE),
        read_only: !option.can(capabilities::SOFT_SELECT),
        ..OptionDescriptor::new(name, title, option.description.replace('\n', " "), constraint, value_of(option))
    }
}

fn number(option: &OptionInfo, word: i32) -> Value {
    if option.kind == Kind::Fixed { Value::Fixed(f64::from(word) / FIXED) } else { Value::Int(word) }
}

fn is_array(option: &OptionInfo) -> bool {
    matches!(option.kind, Kind::Int | Kind::Fixed) && option.length > 1
}

fn constraint(option: &OptionInfo) -> Constraint {
    let is_fixed = option.kind == Kind::Fixed;
    let real = |word: i32| if is_fixed { f64::from(word) / FIXED } else { f64::from(word) };
    let (least, most) = match &option.constraint {
        Theirs::Range { min, max, .. } => (*min.min(max), *max.max(min)),
        Theirs::Words(words) => {
            (words.iter().copied().min().unwrap_or(i32::MIN), words.iter().copied().max().unwrap_or(i32::MAX))
        }
        Theirs::None | Theirs::Texts(_) => (i32::MIN, i32::MAX),
    };
    match (option.kind, &option.constraint) {
        (Kind::Bool, _) => Constraint::Switch,
        (Kind::Button | Kind::Group, _) => Constraint::Button,
        (Kind::String, Theirs::Texts(texts)) => {
            Constraint::List(texts.iter().map(|text| Value::Text(text.clone())).collect())
        }
        (Kind::String, _) => Constraint::Text { bytes: option.length as usize },
        _ if is_array(option) => {
            Constraint::Numbers { count: option.length as usize, min: real(least), max: real(most), whole: !is_fixed }
        }
        (_, Theirs::Words(words)) => Constraint::List(words.iter().map(|word| number(option, *word)).collect()),
        (Kind::Fixed, _) => Constraint::FixedRange { min: real(least), max: real(most) },
        (Kind::Int, Theirs::Range { quant, .. }) => {
            Constraint::IntRange { min: least, max: most, step: (*quant).max(1) }
        }
        (Kind::Int, _) => Constraint::IntRange { min: least, max: most, step: 1 },
    }
}

/// The value; of one that can't be read now, the plainest of its type.
fn value_of(option: &OptionInfo) -> Value {
    use usbscan_sane_protocol::Value as Raw;
    let words: &[i32] = if let Raw::Words(words) = &option.value { words } else { &[] };
    let first = words.first().copied();
    match (option.kind, &option.value) {
        (Kind::Bool, _) => Value::Bool(first.unwrap_or(0) != 0),
        (Kind::Button | Kind::Group, _) => Value::Bool(false),
        (Kind::String, Raw::Text(text)) => Value::Text(text.clone()),
        (Kind::String, _) => Value::Text(String::new()),
        _ if is_array(option) => {
            let real =
                |word: &i32| if option.kind == Kind::Fixed { f64::from(*word) / FIXED } else { f64::from(*word) };
            Value::Numbers(words.iter().map(real).collect())
        }
        _ => number(option, first.unwrap_or(0)),
    }
}

/// A value that our description of the option allows, as the backend has it.
fn in_sane(option: &OptionInfo, value: &Value) -> usbscan_sane_protocol::Value {
    use usbscan_sane_protocol::Value as Raw;
    // The cast keeps to the ends of a word.
    let word = |number: f64| if option.kind == Kind::Fixed { (number * FIXED).round() as i32 } else { number as i32 };
    match value {
        Value::Bool(_) if option.kind == Kind::Button => Raw::None,
        Value::Bool(value) => Raw::Words(vec![i32::from(*value)]),
        Value::Int(value) => Raw::Words(vec![word(f64::from(*value))]),
        Value::Fixed(value) => Raw::Words(vec![word(*value)]),
        Value::Numbers(values) => Raw::Words(values.iter().copied().map(word).collect()),
        Value::Text(text) => Raw::Text(text.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use usbscan_sane_protocol::Value as Raw;

    fn option(kind: Kind, length: u32, constraint: Theirs, value: Raw) -> OptionInfo {
        OptionInfo {
            index: 1,
            name: "option".to_owned(),
            title: String::new(),
            description: String::new(),
            kind,
            unit: TheirUnit::None,
            length,
            capabilities: 5,
            constraint,
            value,
        }
    }

    #[test]
    fn every_type_has_its_constraint_its_value_and_the_way_back() {
        let texts = Theirs::Texts(vec!["Color".to_owned(), "Gray".to_owned()]);
        let range = |min, max, quant| Theirs::Range { min, max, quant };
        for (kind, length, theirs, raw, ours, value) in [
            (Kind::Bool, 1, Theirs::None, Raw::Words(vec![1]), Constraint::Switch, Value::Bool(true)),
            (
                Kind::Int,
                1,
                range(-100, 100, 5),
                Raw::Words(vec![-5]),
                Constraint::IntRange { min: -100, max: 100, step: 5 },
                Value::Int(-5),
            ),
            (
                Kind::Int,
                1,
                Theirs::Words(vec![75, 300]),
                Raw::Words(vec![75]),
                Constraint::List(vec![75.into(), 300.into()]),
                Value::Int(75),
            ),
            (
                Kind::Int,
                1,
                Theirs::None,
                Raw::Words(vec![7]),
                Constraint::IntRange { min: i32::MIN, max: i32::MAX, step: 1 },
                Value::Int(7),
            ),
            (
                Kind::Fixed,
                1,
                range(0, 200 << 16, 0),
                Raw::Words(vec![3 << 15]),
                Constraint::FixedRange { min: 0.0, max: 200.0 },
                Value::Fixed(1.5),
            ),
            (
                Kind::Int,
                3,
                range(0, 255, 1),
                Raw::Words(vec![0, 128, 255]),
                Constraint::Numbers { count: 3, min: 0.0, max: 255.0, whole: true },
                Value::Numbers(vec![0.0, 128.0, 255.0]),
            ),
            (
                Kind::Fixed,
                2,
                Theirs::None,
                Raw::Words(vec![1 << 16, 1 << 15]),
                Constraint::Numbers { count: 2, min: -32768.0, max: f64::from(i32::MAX) / FIXED, whole: false },
                Value::Numbers(vec![1.0, 0.5]),
            ),
            (
                Kind::String,
                5,
                texts,
                Raw::Text("Gray".to_owned()),
                Constraint::List(vec!["Color".into(), "Gray".into()]),
                Value::from("Gray"),
            ),
            (
                Kind::String,
                80,
                Theirs::None,
                Raw::Text("any".to_owned()),
                Constraint::Text { bytes: 80 },
                Value::from("any"),
            ),
        ] {
            let option = option(kind, length, theirs, raw.clone());
            let described = describe(&option);
            assert_eq!((&described.constraint, &described.value), (&ours, &value), "{option:?}");
            assert_eq!(in_sane(&option, &value), raw);
        }
        let button = option(Kind::Button, 0, Theirs::None, Raw::None);
        assert_eq!(
            (describe(&button).constraint, in_sane(&button, &Value::Bool(true))),
            (Constraint::Button, Raw::None)
        );
    }

    #[test]
    fn a_range_that_is_the_wrong_way_round_is_turned() {
        let option = option(Kind::Fixed, 1, Theirs::Range { min: 10 << 16, max: 0, quant: -3 }, Raw::None);
        assert_eq!(describe(&option).constraint, Constraint::FixedRange { min: 0.0, max: 10.0 });
    }

    #[test]
    fn options_stand_in_their_groups_and_a_reload_replaces_them_all() {
        let group = OptionInfo {
            title: "Geometry".to_owned(),
            name: String::new(),
            ..option(Kind::Group, 0, Theirs::None, Raw::None)
        };
        let one = |index, value| OptionInfo { index, ..option(Kind::Int, 1, Theirs::None, Raw::Words(vec![value])) };
        let mut all = vec![group, one(2, 1), one(3, 1)];
        assert!(described(&all).iter().all(|option| option.group == "Geometry" && option.name == "option"));
        take(&mut all, 2, vec![one(2, 9)]);
        assert_eq!((all.len(), value_of(&all[1])), (3, Value::Int(9)));
        take(&mut all, 2, vec![one(2, 9), one(4, 4)]);
        assert_eq!(all.iter().map(|option| option.index).collect::<Vec<_>>(), [2, 4]);
    }
}
