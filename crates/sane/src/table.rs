//! A scanner's options as SANE shows them: numbered, grouped, described in C structs that stay where they are until the
//! scanner is closed. Option 0 says how many there are; `preview` is ours, the rest are the driver's.

use std::borrow::Cow;
use std::ffi::{CString, c_char};

use usbscan_scan::{Constraint, Options, names};

use crate::abi::{self, ConstraintType, OptionDescriptor, Range, Status, Unit, ValueType, Word};
use crate::convert;
use crate::devices::keep;
use crate::value::Shape;

/// What an option number stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// How many options there are.
    Count,
    /// A title.
    Group,
    /// `preview`.
    Preview,
    /// `button`.
    Button,
    /// The driver's option of that name.
    Option(Cow<'static, str>),
}

/// The groups, in SANE's order: name, title, the options that go there. What is in none of them is advanced.
const GROUPS: [(&str, &str, &[&str]); 4] = [
    ("standard", "Scan mode", &[names::SOURCE, names::MODE, names::DEPTH, names::RESOLUTION]),
    ("geometry", "Geometry", &[names::TL_X, names::TL_Y, names::BR_X, names::BR_Y]),
    ("enhancement", "Enhancement", &[names::BRIGHTNESS, "contrast", names::THRESHOLD, "sharpness", names::GAMMA]),
    (ADVANCED, "Advanced", &[]),
];

const ADVANCED: &str = "advanced";

fn group_of(name: &str) -> &'static str {
    GROUPS.iter().find(|group| group.2.contains(&name)).map_or(ADVANCED, |group| group.0)
}

/// The C side of one constraint. What `Constrained::constraint` points at lies in these vectors, whose elements stay
/// where they are.
#[derive(Debug)]
struct Constrained {
    of: Constraint,
    _texts: Vec<CString>,
    strings: Vec<*const c_char>,
    words: Vec<Word>,
    range: Box<Range>,
}

impl Constrained {
    fn new(of: &Constraint) -> Constrained {
        let mut texts = Vec::new();
        let mut strings = Vec::new();
        let mut words = Vec::new();
        let mut range = Range { min: 0, max: 0, quant: 0 };
        match of {
            Constraint::Switch | Constraint::Button | Constraint::Text { .. } => {}
            Constraint::IntRange { min, max, step } => {
                // Every number is a step of one, and SANE's word for that is none.
                range = Range { min: *min, max: *max, quant: if *step > 1 { *step } else { 0 } };
            }
            Constraint::Numbers { min, max, whole: true, .. } => {
                range = Range { min: *min as Word, max: *max as Word, quant: 0 };
            }
            Constraint::FixedRange { min, max } | Constraint::Numbers { min, max, .. } => {
                range = Range { min: convert::fix(*min), max: convert::fix(*max), quant: 0 };
            }
            Constraint::List(values) => {
                for value in values {
                    match value {
                        usbscan_scan::Value::Text(text) => strings.push(keep(text, &mut texts)),
                        usbscan_scan::Value::Int(number) => words.push(*number),
                        usbscan_scan::Value::Fixed(number) => words.push(convert::fix(*number)),
                        usbscan_scan::Value::Bool(_) | usbscan_scan::Value::Numbers(_) => {}
                    }
                }
                words.insert(0, Word::try_from(words.len()).expect("a list that a person can choose from"));
                strings.push(std::ptr::null());
            }
        }
        Constrained { of: of.clone(), _texts: texts, strings, words, range: Box::new(range) }
    }

    fn constraint(&self) -> (ConstraintType, abi::Constraint) {
        match (&self.of, convert::value_type(&self.of)) {
            (Constraint::Text { .. } | Constraint::Button, _) | (_, ValueType::Bool) => {
                (ConstraintType::None, abi::Constraint { range: std::ptr::null() })
            }
            (Constraint::List(_), ValueType::String) => {
                (ConstraintType::StringList, abi::Constraint { string_list: self.strings.as_ptr() })
            }
            (Constraint::List(_), _) => (ConstraintType::WordList, abi::Constraint { word_list: self.words.as_ptr() }),
            _ => (ConstraintType::Range, abi::Constraint { range: &raw const *self.range }),
        }
    }

    /// Bytes of a value: of strings, those of the longest, with its zero.
    fn size(&self) -> Word {
        let bytes = match (&self.of, convert::value_type(&self.of)) {
            (Constraint::List(values), ValueType::String) => {
                let lengths =
                    values.iter().map(|value| if let usbscan_scan::Value::Text(text) = value { text.len() } else { 0 });
                lengths.max().unwrap_or(0) + 1
            }
            (Constraint::Numbers { count, .. }, _) => count * size_of::<Word>(),
            (Constraint::Text { bytes }, _) => bytes + 1,
            (Constraint::Button, _) => 0,
            _ => size_of::<Word>(),
        };
        Word::try_from(bytes).expect("a word that a person can read")
    }
}

/// One option's descriptor, at its place in memory.
#[derive(Debug)]
struct Entry {
    row: Row,
    descriptor: *mut OptionDescriptor,
    /// Every constraint that this option had so far; an application may still hold what it was shown earlier.
    constraints: Vec<Constrained>,
    _texts: Vec<CString>,
}

// SAFETY: all pointers lead into what the entry itself owns, which moves along with it.
unsafe impl Send for Entry {}

impl Drop for Entry {
    fn drop(&mut self) {
        // SAFETY: it came from Box::into_raw in `Entry::new`, and only here it is taken back.
        drop(unsafe { Box::from_raw(self.descriptor) });
    }
}

/// What does not change of a descriptor.
struct Texts<'a> {
    name: &'a str,
    title: &'a str,
    description: &'a str,
}

impl Entry {
    fn new(row: Row, words: &Texts<'_>, value_type: ValueType, size: Word, capabilities: Word) -> Entry {
        let mut texts = Vec::new();
        let descriptor = OptionDescriptor {
            name: keep(words.name, &mut texts),
            title: keep(words.title, &mut texts),
            description: keep(words.description, &mut texts),
            value_type,
            unit: Unit::None,
            size,
            capabilities,
            constraint_type: ConstraintType::None,
            constraint: abi::Constraint { range: std::ptr::null() },
        };
        let descriptor = Box::into_raw(Box::new(descriptor));
        Entry { row, descriptor, constraints: Vec::new(), _texts: texts }
    }

    fn count() -> Entry {
        let words = Texts {
            name: "",
            title: "Number of options",
            description: "How many options this scanner has, this one among them.",
        };
        Entry::new(Row::Count, &words, ValueType::Int, size_of::<Word>() as Word, abi::CAP_SOFT_DETECT)
    }

    fn group(name: &str, title: &str) -> Entry {
        Entry::new(Row::Group, &Texts { name, title, description: "" }, ValueType::Group, 0, 0)
    }

    fn preview() -> Entry {
        let words = Texts {
            name: "preview",
            title: "Preview",
            description: "Says that this scan is only to be looked at. The page is scanned all the same as the other options say.",
        };
        let capabilities = abi::CAP_SOFT_DETECT | abi::CAP_SOFT_SELECT;
        Entry::new(Row::Preview, &words, ValueType::Bool, size_of::<Word>() as Word, capabilities)
    }

    fn button() -> Entry {
        let words = Texts {
            name: "button",
            title: "Button",
            description: "The number of the button at the scanner that was pressed since this was last read; 0 for none.",
        };
        let capabilities = abi::CAP_SOFT_DETECT | abi::CAP_HARD_SELECT | abi::CAP_ADVANCED;
        Entry::new(Row::Button, &words, ValueType::Int, size_of::<Word>() as Word, capabilities)
    }

    fn option(option: &usbscan_scan::OptionDescriptor) -> Entry {
        let words = Texts { name: &option.name, title: &option.title, description: &option.description };
        let advanced = if group_of(&option.name) == ADVANCED { abi::CAP_ADVANCED } else { 0 };
        let capabilities = abi::CAP_SOFT_DETECT | abi::CAP_SOFT_SELECT | advanced;
        let mut entry = Entry::new(Row::Option(option.name.clone()), &words, ValueType::Int, 0, capabilities);
        entry.refresh(option);
        entry
    }

    /// Brings the descriptor up to date, at its place. Whether anything changed.
    fn refresh(&mut self, option: &usbscan_scan::OptionDescriptor) -> bool {
        let mut changed = self.constraints.last().is_none_or(|current| current.of != option.constraint);
        if changed {
            // Moved to the end, or made: the last is the one that holds.
            let known = self.constraints.iter().position(|known| known.of == option.constraint);
            let current = known.map_or_else(|| Constrained::new(&option.constraint), |at| self.constraints.remove(at));
            self.constraints.push(current);
        }
        let current = self.constraints.last().expect("one was pushed");
        // SAFETY: it points at what Box::into_raw gave; applications only read it, on the thread that calls us.
        let descriptor = unsafe { &mut *self.descriptor };
        let inactive = if option.active { 0 } else { abi::CAP_INACTIVE };
        let capabilities = descriptor.capabilities & !abi::CAP_INACTIVE | inactive;
        changed |= descriptor.capabilities != capabilities;
        let (constraint_type, constraint) = current.constraint();
        *descriptor = OptionDescriptor {
            value_type: convert::value_type(&option.constraint),
            unit: convert::unit(option.unit),
            size: current.size(),
            capabilities,
            constraint_type,
            constraint,
            ..*descriptor
        };
        changed
    }

    fn descriptor(&self) -> &OptionDescriptor {
        // SAFETY: it points at what Box::into_raw gave, and is changed only through `&mut self`.
        unsafe { &*self.descriptor }
    }
}

/// Whether there is an option for the scanner's buttons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Buttons {
    /// They can be asked for.
    AskedFor,
    /// There are none, or they can't.
    None,
}

/// All options of an open scanner.
#[derive(Debug)]
pub struct HandleTable {
    entries: Vec<Entry>,
}

impl HandleTable {
    /// Those of a driver, and ours.
    pub fn new(options: &Options, buttons: Buttons) -> HandleTable {
        let mut entries = vec![Entry::count()];
        for (group, title, _) in GROUPS {
            let in_group = options.iter().filter(|option| group_of(&option.name) == group);
            let mut members: Vec<Entry> = in_group.map(Entry::option).collect();
            if group == GROUPS[0].0 {
                members.push(Entry::preview());
            }
            if !members.is_empty() {
                entries.push(Entry::group(group, title));
                entries.append(&mut members);
            }
        }
        if buttons == Buttons::AskedFor {
            entries.extend([Entry::group("sensors", "Sensors"), Entry::button()]);
        }
        HandleTable { entries }
    }

    /// How many there are: the value of option 0.
    pub fn len(&self) -> Word {
        Word::try_from(self.entries.len()).expect("options that a person can choose from")
    }

    fn entry(&self, number: Word) -> Option<&Entry> {
        usize::try_from(number).ok().and_then(|index| self.entries.get(index))
    }

    /// What an option is.
    pub fn row(&self, number: Word) -> Result<Row, Status> {
        self.entry(number).map(|entry| entry.row.clone()).ok_or(Status::Invalid)
    }

    /// Its descriptor, which stays there as long as this table.
    pub fn descriptor(&self, number: Word) -> *const OptionDescriptor {
        self.entry(number).map_or(std::ptr::null(), |entry| entry.descriptor.cast_const())
    }

    /// What its value looks like in C.
    pub fn shape(&self, number: Word) -> Result<Shape, Status> {
        let descriptor = self.entry(number).ok_or(Status::Invalid)?.descriptor();
        let size = usize::try_from(descriptor.size).expect("sizes are not negative");
        Ok(Shape { value_type: descriptor.value_type, size })
    }

    /// Brings all descriptors up to date. Whether any changed: `SANE_INFO_RELOAD_OPTIONS`.
    pub fn refresh(&mut self, options: &Options) -> bool {
        let mut changed = false;
        for entry in &mut self.entries {
            if let Row::Option(name) = &entry.row {
                // What a driver offers stays as long as it is open.
                let option = options.get(name).expect("an option stays");
                changed |= entry.refresh(option);
            }
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;

    use usbscan_scan::Dependence;

    use super::*;

    fn option(
        name: &'static str,
        constraint: Constraint,
        default: usbscan_scan::Value,
    ) -> usbscan_scan::OptionDescriptor {
        usbscan_scan::OptionDescriptor::new(name, "Title", "Description.", constraint, default)
    }

    fn options() -> Options {
        let modes = Constraint::List(vec!["Color".into(), "Lineart".into()]);
        let mut threshold =
            option(names::THRESHOLD, Constraint::IntRange { min: 0, max: 255, step: 1 }, usbscan_scan::Value::Int(128));
        threshold.active_when = Some(Dependence { on: names::MODE, values: vec!["Lineart".into()] });
        let dpi = Constraint::List(vec![75.into(), 300.into()]);
        let edge = Constraint::FixedRange { min: 0.0, max: 215.9 };
        Options::new(vec![
            threshold,
            option(names::TL_X, edge, usbscan_scan::Value::Fixed(0.0)),
            option("lamp", Constraint::Switch, usbscan_scan::Value::Bool(true)),
            option(names::MODE, modes, "Color".into()),
            option(names::RESOLUTION, dpi, 300.into()),
        ])
    }

    fn named<'a>(table: &'a HandleTable, name: &str) -> &'a OptionDescriptor {
        let descriptors = table.entries.iter().map(Entry::descriptor);
        // SAFETY: every name is a string of its entry, which lives.
        let mut found = descriptors.filter(|one| unsafe { CStr::from_ptr(one.name) }.to_str() == Ok(name));
        found.next().unwrap_or_else(|| panic!("there is no {name}"))
    }

    #[test]
    fn options_are_grouped_and_the_first_counts_them() {
        let table = HandleTable::new(&options(), Buttons::None);
        let rows: Vec<Row> = (0..table.len()).map(|number| table.row(number).expect("it is there")).collect();
        let expected = [
            Row::Count,
            Row::Group,
            Row::Option("mode".into()),
            Row::Option("resolution".into()),
            Row::Preview,
            Row::Group,
            Row::Option("tl-x".into()),
            Row::Group,
            Row::Option("threshold".into()),
            Row::Group,
            Row::Option("lamp".into()),
        ];
        assert_eq!(rows, expected);
        assert_eq!(table.row(-1), Err(Status::Invalid));
        assert!(table.descriptor(table.len()).is_null());
    }

    #[test]
    fn a_descriptor_says_what_values_there_are() {
        let table = HandleTable::new(&options(), Buttons::None);
        let mode = named(&table, "mode");
        assert_eq!(
            (mode.value_type, mode.size, mode.constraint_type),
            (ValueType::String, 8, ConstraintType::StringList)
        );
        // SAFETY: the member that the type names.
        let list = unsafe { mode.constraint.string_list };
        // SAFETY: a string list ends with a null pointer, and this has two strings before it.
        let words = unsafe { list.cast::<[*const c_char; 3]>().read() };
        // SAFETY: strings of the table, which lives.
        assert_eq!(unsafe { CStr::from_ptr(words[1]) }, c"Lineart");
        assert!(words[2].is_null());

        let resolution = named(&table, "resolution");
        // SAFETY: the member that the type names.
        let list = unsafe { resolution.constraint.word_list };
        // SAFETY: a word list begins with its length, here two.
        let words = unsafe { list.cast::<[Word; 3]>().read() };
        assert_eq!(words, [2, 75, 300]);

        let edge = named(&table, "tl-x");
        // SAFETY: the member that the type names.
        let range = unsafe { edge.constraint.range };
        // SAFETY: it points at the one range.
        let range = unsafe { range.read() };
        assert_eq!((edge.value_type, range.max), (ValueType::Fixed, convert::fix(215.9)));
        assert_eq!(named(&table, "lamp").capabilities & abi::CAP_ADVANCED, abi::CAP_ADVANCED);
    }

    #[test]
    fn a_descriptor_stays_at_its_place_when_it_changes() {
        let mut options = options();
        let mut table = HandleTable::new(&options, Buttons::AskedFor);
        let before = std::ptr::from_ref(named(&table, "threshold"));
        assert_eq!(named(&table, "threshold").capabilities & abi::CAP_INACTIVE, abi::CAP_INACTIVE);
        assert!(!table.refresh(&options));
        options.set(names::MODE, "Lineart".into()).expect("a mode");
        assert!(table.refresh(&options));
        assert_eq!(named(&table, "threshold").capabilities & abi::CAP_INACTIVE, 0);
        assert_eq!(std::ptr::from_ref(named(&table, "threshold")), before);
    }
}
