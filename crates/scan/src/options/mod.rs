//! What can be chosen at a scanner, described once, for the command line, for `--json` and for SANE alike.
//!
//! A value that the scanner can't do exactly is refused, with a sentence that says what it can.

mod descriptor;
mod meaning;
mod value;

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

pub use descriptor::{Constraint, Dependence, OptionDescriptor, Unit, Variant};
pub use meaning::{SourceKind, source_kind};
pub use value::Value;

use value::{number, whole};

/// Names of options, as SANE has them where it has them.
pub mod names {
    /// `Color`, `Gray`, `Lineart`.
    pub const MODE: &str = "mode";
    /// Bits of a sample.
    pub const DEPTH: &str = "depth";
    /// Dots per inch.
    pub const RESOLUTION: &str = "resolution";
    /// Where from.
    pub const SOURCE: &str = "source";
    /// Left edge.
    pub const TL_X: &str = "tl-x";
    /// Upper edge.
    pub const TL_Y: &str = "tl-y";
    /// Right edge.
    pub const BR_X: &str = "br-x";
    /// Lower edge.
    pub const BR_Y: &str = "br-y";
    /// Width of the sheet in the feeder.
    pub const PAGE_WIDTH: &str = "page-width";
    /// Whether a sheet that is shorter than the area is filled up with white.
    pub const FILL_PAGE: &str = "fill-page";
    /// Lighter or darker.
    pub const BRIGHTNESS: &str = "brightness";
    /// Weaker or stronger.
    pub const CONTRAST: &str = "contrast";
    /// What is black in lineart.
    pub const THRESHOLD: &str = "threshold";
    /// How light becomes numbers.
    pub const GAMMA: &str = "gamma";
    /// The exponent of a curve of one's own.
    pub const GAMMA_VALUE: &str = "gamma-value";
    /// A curve by its points.
    pub const GAMMA_TABLE: &str = "gamma-table";
    /// A colour correction of one's own.
    pub const COLOR_MATRIX: &str = "color-matrix";
    /// Sharper or softer.
    pub const SHARPNESS: &str = "sharpness";
    /// What the lens is focused on.
    pub const FOCUS: &str = "focus-position";
    /// Whether two sheets at once are noticed.
    pub const DOUBLE_FEED: &str = "double-feed-detection";
    /// What kind of film lies on the glass.
    pub const FILM_TYPE: &str = "film-type";
    /// The scanner's own colour correction.
    pub const COLOR_CORRECTION: &str = "color-correction";
}

/// The words of the option `source`, as SANE's backends have them.
pub mod sources {
    /// The platen.
    pub const FLATBED: &str = "Flatbed";
    /// The document feeder, fronts only.
    pub const FEEDER: &str = "Automatic Document Feeder";
    /// The document feeder, the front and then the back of each sheet.
    pub const FEEDER_DUPLEX: &str = "ADF Duplex";
    /// The lamp above the glass, for film and slides.
    pub const TRANSPARENCY: &str = "Transparency Unit";
    /// The same without its film holder, for sheets of film up to 8 by 10 inches.
    pub const TRANSPARENCY_WIDE: &str = "TPU8x10";
}

/// Why an option does not take a value.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum OptionError {
    /// There is none of that name.
    #[error("this scanner has no option {name:?}; it has: {known}")]
    Unknown {
        /// The name.
        name: String,
        /// Those there are.
        known: String,
    },
    /// It can't have that value.
    #[error("{name} can't be {value}; possible: {possible}")]
    Value {
        /// The option.
        name: String,
        /// What was asked for.
        value: String,
        /// What can be had.
        possible: String,
    },
    /// It means nothing now.
    #[error("{name} means nothing while {on} is {is}")]
    Inactive {
        /// The option.
        name: String,
        /// What it depends on.
        on: &'static str,
        /// The value that makes it so.
        is: String,
    },
    /// It means nothing now, and why is not known.
    #[error("{name} means nothing while the other options are as they are")]
    Unused {
        /// The option.
        name: String,
    },
    /// It can't be set.
    #[error("{name} can only be read")]
    ReadOnly {
        /// The option.
        name: String,
    },
    /// Whoever keeps the options did not take the value.
    #[error("set {name}: {reason}")]
    Refused {
        /// The option.
        name: String,
        /// Its sentence.
        reason: String,
    },
}

/// Who keeps the options of a scanner somewhere else, and may change any of them when one is set.
pub trait OptionsKeeper: Send + Sync {
    /// Sets one, to a value that its constraint allows. Returns all options as they are then.
    ///
    /// # Errors
    /// [`OptionError`]; the options are unchanged then.
    fn set(&self, name: &str, value: &Value) -> Result<Vec<OptionDescriptor>, OptionError>;
}

/// Shared, so that options can be cloned; the clones are of the same scanner.
#[derive(Clone)]
struct Keeper(Arc<dyn OptionsKeeper>);

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keeper")
    }
}

impl PartialEq for Keeper {
    fn eq(&self, other: &Keeper) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// The options of a scanner, in the order in which they are best set and shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Options {
    all: Vec<OptionDescriptor>,
    #[serde(skip)]
    variants: Vec<Variant>,
    #[serde(skip)]
    keeper: Option<Keeper>,
}

impl Options {
    /// From their descriptions; every value is taken from `default`.
    pub fn new(all: Vec<OptionDescriptor>) -> Options {
        Options::varying(all, Vec::new())
    }

    /// The same, where what some of them take depends on others.
    pub fn varying(mut all: Vec<OptionDescriptor>, variants: Vec<Variant>) -> Options {
        for option in &mut all {
            option.value = option.default.clone();
        }
        let mut options = Options { all, variants, keeper: None };
        options.settle();
        options
    }

    /// Those that somebody else keeps, with the values that they have.
    pub fn kept(all: Vec<OptionDescriptor>, keeper: Arc<dyn OptionsKeeper>) -> Options {
        Options { all, variants: Vec::new(), keeper: Some(Keeper(keeper)) }
    }

    /// All of them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &OptionDescriptor> {
        self.all.iter()
    }

    /// One of them.
    ///
    /// # Errors
    /// [`OptionError::Unknown`].
    pub fn get(&self, name: &str) -> Result<&OptionDescriptor, OptionError> {
        self.all.iter().find(|option| option.name == name).ok_or_else(|| self.unknown(name))
    }

    /// The value of one of them, where there is such an option and it means something.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.all.iter().find(|option| option.name == name && option.active).map(|option| &option.value)
    }

    /// The value of a whole number.
    pub fn int(&self, name: &str) -> Option<i32> {
        self.value(name).and_then(whole)
    }

    /// The value of a number.
    pub fn fixed(&self, name: &str) -> Option<f64> {
        self.value(name).and_then(number)
    }

    /// The values of several numbers.
    pub fn numbers(&self, name: &str) -> Option<&[f64]> {
        match self.value(name) {
            Some(Value::Numbers(numbers)) => Some(numbers),
            _ => None,
        }
    }

    /// The value of a word.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.value(name) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// Chooses. What depends on it becomes active or inactive.
    ///
    /// # Errors
    /// See [`OptionError`]; nothing is changed then.
    pub fn set(&mut self, name: &str, value: Value) -> Result<(), OptionError> {
        let option = self.get(name)?;
        if let (false, Some(dependence)) = (option.active, &option.active_when) {
            let is = self.get(dependence.on).map_or_else(|_| String::new(), |on| on.value.to_string());
            return Err(OptionError::Inactive { name: name.to_owned(), on: dependence.on, is });
        }
        if !option.active {
            return Err(OptionError::Unused { name: name.to_owned() });
        }
        if option.read_only {
            return Err(OptionError::ReadOnly { name: name.to_owned() });
        }
        let refused =
            || OptionError::Value { name: name.to_owned(), value: value.to_string(), possible: option.possible() };
        if let Some(Keeper(keeper)) = &self.keeper {
            let value = option.fit(&value).or_else(|| meaning::fit(option, &value)).ok_or_else(refused)?;
            self.all = keeper.set(name, &value)?;
            return Ok(());
        }
        let value = option.fit(&value).ok_or_else(refused)?;
        if let Some(option) = self.all.iter_mut().find(|option| option.name == name) {
            option.value = value;
        }
        self.settle();
        Ok(())
    }

    /// Chooses by what somebody typed.
    ///
    /// # Errors
    /// As [`Options::set`].
    pub fn set_text(&mut self, name: &str, text: &str) -> Result<(), OptionError> {
        let option = self.get(name)?;
        let value = option.read(text).ok_or_else(|| OptionError::Value {
            name: name.to_owned(),
            value: format!("{text:?}"),
            possible: option.possible(),
        })?;
        self.set(name, value)
    }

    /// Chooses several, in the order of the options and not of the list, so that what others depend on is set first.
    ///
    /// # Errors
    /// As [`Options::set`]; nothing at all is changed then, unless somebody else keeps the options.
    pub fn set_all<'a>(&mut self, values: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<(), OptionError> {
        let mut changed = self.clone();
        let mut values: Vec<(&str, &str)> = values.into_iter().collect();
        for (name, _) in &values {
            changed.get(name)?;
        }
        values.sort_by_key(|(name, _)| self.all.iter().position(|option| option.name == *name));
        let set = values.into_iter().try_for_each(|(name, text)| changed.set_text(name, text));
        // What somebody else keeps has been changed there.
        if set.is_ok() || self.keeper.is_some() {
            *self = changed;
        }
        set
    }

    fn unknown(&self, name: &str) -> OptionError {
        let known = self.all.iter().map(|option| &*option.name).collect::<Vec<_>>().join(", ");
        OptionError::Unknown { name: name.to_owned(), known }
    }

    /// Works out what is active, and what can be had.
    fn settle(&mut self) {
        for variant in &self.variants {
            let on = self.all.iter().find(|option| option.name == variant.when.on);
            if on.is_some_and(|on| variant.when.values.contains(&on.value)) {
                if let Some(option) = self.all.iter_mut().find(|option| option.name == variant.option) {
                    option.adopt(&variant.constraint, &variant.default);
                }
            }
        }
        for at in 0..self.all.len() {
            let active = match &self.all[at].active_when {
                None => true,
                Some(when) => {
                    let on = self.all.iter().find(|option| option.name == when.on);
                    on.is_some_and(|on| on.active && when.values.contains(&on.value))
                }
            };
            self.all[at].active = active;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn option(name: &'static str, constraint: Constraint, default: Value) -> OptionDescriptor {
        OptionDescriptor::new(name, "", "", constraint, default)
    }

    fn options() -> Options {
        let mode = Constraint::List(vec!["Color".into(), "Gray".into(), "Lineart".into()]);
        let mut threshold =
            option(names::THRESHOLD, Constraint::IntRange { min: 0, max: 255, step: 1 }, Value::Int(128));
        threshold.active_when = Some(Dependence { on: names::MODE, values: vec!["Lineart".into()] });
        let mut resolution =
            option(names::RESOLUTION, Constraint::List(vec![75.into(), 150.into(), 300.into()]), 300.into());
        resolution.unit = Unit::Dpi;
        let mut right =
            option(names::BR_X, Constraint::FixedRange { min: 0.0, max: 40_800.0 / 4800.0 * 25.4 }, 100.0.into());
        right.unit = Unit::Mm;
        Options::new(vec![option(names::MODE, mode, "Color".into()), resolution, right, threshold])
    }

    fn refusal(name: &str, text: &str) -> String {
        options().set_text(name, text).expect_err("a bad value").to_string()
    }

    #[test]
    fn an_inexact_value_is_refused_with_what_is_possible() {
        assert_eq!(refusal("resolution", "299"), "resolution can't be 299; possible: 75, 150 or 300 dpi");
        assert_eq!(refusal("resolution", "fine"), "resolution can't be \"fine\"; possible: 75, 150 or 300 dpi");
        assert_eq!(refusal("mode", "colour"), "mode can't be colour; possible: Color, Gray or Lineart");
        assert_eq!(refusal("br-x", "216"), "br-x can't be 216; possible: from 0 to 215.9 mm");
        assert_eq!(
            refusal("size", "A4"),
            "this scanner has no option \"size\"; it has: mode, resolution, br-x, threshold"
        );
    }

    #[test]
    fn numbers_that_are_none_are_refused() {
        for text in ["NaN", "inf", "-inf", "1e400", ""] {
            assert!(options().set_text("br-x", text).is_err(), "{text}");
        }
        assert!(options().set("br-x", Value::Fixed(f64::NAN)).is_err());
    }

    #[test]
    fn words_are_taken_in_any_case_and_kept_as_the_scanner_has_them() {
        let mut options = options();
        options.set_text("mode", "gray").expect("a mode");
        assert_eq!(options.text("mode"), Some("Gray"));
    }

    #[test]
    fn the_edge_of_the_glass_is_on_the_glass_however_it_was_computed() {
        let mut options = options();
        options.set_text("br-x", "215.9").expect("the edge");
        assert!(options.fixed("br-x").expect("a number") <= 40_800.0 / 4800.0 * 25.4);
    }

    #[test]
    fn what_depends_on_another_is_active_with_its_values_only() {
        let mut options = options();
        let error = options.set_text("threshold", "100").expect_err("not in color").to_string();
        assert_eq!(error, "threshold means nothing while mode is Color");
        assert_eq!(options.int("threshold"), None);
        options.set_text("mode", "lineart").expect("a mode");
        options.set_text("threshold", "100").expect("in lineart");
        assert_eq!(options.int("threshold"), Some(100));
    }

    #[test]
    fn several_numbers_are_as_many_as_there_must_be_and_each_is_within() {
        let constraint = Constraint::Numbers { count: 3, min: -1.0, max: 2.0, whole: false };
        let matrix = option("matrix", constraint, Value::Numbers(vec![0.0; 3]));
        let whole = Constraint::Numbers { count: 2, min: 0.0, max: 255.0, whole: true };
        let mut options = Options::new(vec![matrix, option("table", whole, Value::Numbers(vec![0.0; 2]))]);
        options.set_text("matrix", "1, -0.5 2").expect("three numbers");
        assert_eq!(options.numbers("matrix"), Some(&[1.0, -0.5, 2.0][..]));
        assert_eq!(options.get("matrix").expect("it is there").value.to_string(), "1,-0.5,2");
        for text in ["1,1", "1,1,1,1", "1,1,3", "1,1,NaN", "1,1,x", ""] {
            let error = options.set_text("matrix", text).expect_err("refused").to_string();
            assert!(error.ends_with("possible: 3 numbers from -1 to 2"), "{error}");
        }
        let error = options.set_text("table", "1,1.5").expect_err("refused").to_string();
        assert_eq!(error, "table can't be 1,1.5; possible: 2 whole numbers from 0 to 255");
        assert_eq!(serde_json::to_value(&options.get("matrix").unwrap().value).unwrap()[1], -0.5);
    }

    #[test]
    fn where_another_value_allows_more_the_default_grows_and_what_was_chosen_stays() {
        let on = |values: &[&str]| Dependence { on: names::MODE, values: values.iter().map(|v| (*v).into()).collect() };
        let variant = |values: &[&str], max: f64| Variant {
            option: names::BR_X,
            when: on(values),
            constraint: Constraint::FixedRange { min: 0.0, max },
            default: max.into(),
        };
        let variants = vec![variant(&["Color", "Gray"], 100.0), variant(&["Lineart"], 300.0)];
        let mut options = Options::varying(options().all, variants);
        assert_eq!(options.fixed("br-x"), Some(100.0));
        options.set_text("mode", "lineart").expect("a mode");
        assert_eq!(options.fixed("br-x"), Some(300.0));
        options.set_text("br-x", "250").expect("within");
        options.set_text("mode", "gray").expect("a mode");
        assert_eq!(options.fixed("br-x"), Some(100.0));
        options.set_text("br-x", "50").expect("within");
        options.set_text("mode", "lineart").expect("a mode");
        assert_eq!(options.fixed("br-x"), Some(50.0));
    }

    #[test]
    fn several_are_set_in_their_own_order_or_not_at_all() {
        let mut options = options();
        options.set_all([("threshold", "100"), ("mode", "lineart")]).expect("mode first");
        let before = options.clone();
        assert!(options.set_all([("mode", "gray"), ("resolution", "1")]).is_err());
        assert_eq!(options, before);
    }
}
