//! A backend's options, read and set: pointers to values and back. What a backend says is bounded.

use std::ffi::{CStr, c_char};

use usbscan_sane_protocol::{
    Constraint, Kind, LIST_LIMIT, OPTIONS_LIMIT, OptionInfo, PAYLOAD_LIMIT, Unit, Value, WORDS_LIMIT, capabilities,
    status,
};

use crate::abi::{self, Word};
use crate::backend::Backend;
use crate::text::{decoded, text};

/// Room behind a value, in words: not every backend keeps to the size that it states.
const SLACK: usize = 256;
/// Words of the values that are told where all options together would be too long.
const SHORT: usize = 64;

/// An open scanner's options.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    pub backend: &'a Backend,
    pub handle: abi::Handle,
}

impl Options<'_> {
    /// All of them, with their values.
    pub fn all(self) -> Vec<OptionInfo> {
        let count = self.count();
        let indexes = 1..u32::try_from(count).unwrap_or(0);
        let mut all: Vec<OptionInfo> = indexes.filter_map(|index| self.one(index)).collect();
        // Each is bounded, and all together have to be.
        if length(&all) > PAYLOAD_LIMIT {
            for option in &mut all {
                if matches!(&option.value, Value::Words(words) if words.len() > SHORT) {
                    option.value = Value::None;
                }
            }
        }
        while length(&all) > PAYLOAD_LIMIT {
            all.truncate(all.len() / 2);
        }
        all
    }

    /// Option 0 is how many there are, itself among them.
    fn count(self) -> usize {
        let mut value = vec![0; 1 + SLACK];
        let (status, _) = self.backend.control(self.handle, 0, abi::ACTION_GET_VALUE, &mut value);
        let count = if status == status::GOOD { usize::try_from(value[0]).unwrap_or(0) } else { OPTIONS_LIMIT };
        count.min(OPTIONS_LIMIT)
    }

    /// One of them; `None` where there is none of this number.
    pub fn one(self, index: u32) -> Option<OptionInfo> {
        let descriptor = self.backend.descriptor(self.handle, index)?;
        let kind = match descriptor.value_type {
            0 => Kind::Bool,
            1 => Kind::Int,
            2 => Kind::Fixed,
            3 => Kind::String,
            4 => Kind::Button,
            5 => Kind::Group,
            _ => return None,
        };
        let unit = match descriptor.unit {
            1 => Unit::Pixel,
            2 => Unit::Bit,
            3 => Unit::Mm,
            4 => Unit::Dpi,
            5 => Unit::Percent,
            6 => Unit::Microsecond,
            _ => Unit::None,
        };
        let size = usize::try_from(descriptor.size).unwrap_or(0);
        let length = match kind {
            Kind::Bool | Kind::Int | Kind::Fixed => (size / size_of::<Word>()).max(1),
            Kind::String => size.saturating_sub(1),
            Kind::Button | Kind::Group => 0,
        };
        let mut option = OptionInfo {
            index,
            name: text(descriptor.name),
            title: text(descriptor.title),
            description: text(descriptor.description),
            kind,
            unit,
            length: u32::try_from(length.min(WORDS_LIMIT)).unwrap_or(0),
            capabilities: descriptor.capabilities,
            constraint: constraint(&descriptor),
            value: Value::None,
        };
        if length <= WORDS_LIMIT && option.can(capabilities::SOFT_DETECT) && !option.can(capabilities::INACTIVE) {
            option.value = self.value(&option);
        }
        Some(option)
    }

    fn value(self, option: &OptionInfo) -> Value {
        let length = option.length as usize;
        match option.kind {
            Kind::Button | Kind::Group => Value::None,
            Kind::Bool | Kind::Int | Kind::Fixed => {
                let mut words = vec![0; length + SLACK];
                let (status, _) = self.backend.control(self.handle, option.index, abi::ACTION_GET_VALUE, &mut words);
                words.truncate(length);
                if status == status::GOOD { Value::Words(words) } else { Value::None }
            }
            Kind::String => {
                let mut words = vec![0; length / size_of::<Word>() + 1 + SLACK];
                let (status, _) = self.backend.control(self.handle, option.index, abi::ACTION_GET_VALUE, &mut words);
                if status != status::GOOD {
                    return Value::None;
                }
                let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
                let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
                Value::Text(decoded(&bytes[..end]))
            }
        }
    }

    /// Sets one. Returns the status, and what the backend says besides.
    pub fn set(self, index: u32, value: &Value) -> (abi::Status, Word) {
        let Some((option, descriptor)) = self.one_to_set(index) else { return (status::INVALID, 0) };
        let Some(mut words) = self.in_c(&option, &descriptor, value) else { return (status::INVALID, 0) };
        self.backend.control(self.handle, index, abi::ACTION_SET_VALUE, &mut words)
    }

    fn one_to_set(self, index: u32) -> Option<(OptionInfo, abi::OptionDescriptor)> {
        let option = self.one(index)?;
        let can_be_set = option.can(capabilities::SOFT_SELECT) && !option.can(capabilities::INACTIVE);
        can_be_set.then_some(())?;
        Some((option, self.backend.descriptor(self.handle, index)?))
    }

    fn in_c(self, option: &OptionInfo, descriptor: &abi::OptionDescriptor, value: &Value) -> Option<Vec<Word>> {
        let length = option.length as usize;
        match (option.kind, value) {
            (Kind::Button, _) => Some(vec![0; 1 + SLACK]),
            (Kind::Bool | Kind::Int | Kind::Fixed, Value::Words(words)) if words.len() == length => {
                Some(words.iter().copied().chain(std::iter::repeat_n(0, SLACK)).collect())
            }
            (Kind::String, Value::Text(text)) => {
                let bytes = bytes_of(descriptor, text);
                let fits = bytes.len() <= length && !bytes.contains(&0);
                fits.then(|| {
                    let mut padded = bytes;
                    padded.resize((length / size_of::<Word>() + 1 + SLACK) * size_of::<Word>(), 0);
                    let words = padded.chunks_exact(size_of::<Word>());
                    words.map(|word| Word::from_ne_bytes(word.try_into().expect("as many bytes"))).collect()
                })
            }
            _ => None,
        }
    }
}

fn length(options: &[OptionInfo]) -> usize {
    // Roughly what JSON makes of it, and not less.
    let word = |word: &Word| word.unsigned_abs().checked_ilog10().unwrap_or(0) as usize + 4;
    let texts = |text: &str| text.len() * 2 + 8;
    let of = |option: &OptionInfo| {
        let constraint: usize = match &option.constraint {
            Constraint::Words(list) => list.iter().map(word).sum(),
            Constraint::Texts(list) => list.iter().map(|text| texts(text)).sum(),
            Constraint::None | Constraint::Range { .. } => 100,
        };
        let value: usize = match &option.value {
            Value::Words(list) => list.iter().map(word).sum(),
            Value::Text(text) => texts(text),
            Value::None => 8,
        };
        400 + constraint + value + texts(&option.name) + texts(&option.title) + texts(&option.description)
    };
    options.iter().map(of).sum()
}

/// The strings of a list that ends with null.
fn strings(descriptor: &abi::OptionDescriptor) -> Vec<*const c_char> {
    let list = descriptor.constraint.cast::<*const c_char>();
    let mut all = Vec::new();
    while !list.is_null() && all.len() < LIST_LIMIT {
        // SAFETY: the list ends with null, and was not null before this place.
        let place = unsafe { list.add(all.len()) };
        // SAFETY: as above.
        let string = unsafe { *place };
        if string.is_null() {
            break;
        }
        all.push(string);
    }
    all
}

/// The bytes of a text: the backend's own where it is one of its list.
fn bytes_of(descriptor: &abi::OptionDescriptor, wanted: &str) -> Vec<u8> {
    if descriptor.constraint_type == abi::CONSTRAINT_STRING_LIST {
        for string in strings(descriptor) {
            if text(string) == wanted {
                // SAFETY: an entry of the list ends with NUL.
                return unsafe { CStr::from_ptr(string) }.to_bytes().to_vec();
            }
        }
    }
    wanted.as_bytes().to_vec()
}

fn constraint(descriptor: &abi::OptionDescriptor) -> Constraint {
    if descriptor.constraint.is_null() {
        return Constraint::None;
    }
    match descriptor.constraint_type {
        abi::CONSTRAINT_RANGE => {
            // SAFETY: for this type of constraint it points at a range.
            let range = unsafe { *descriptor.constraint.cast::<abi::Range>() };
            Constraint::Range { min: range.min, max: range.max, quant: range.quant }
        }
        abi::CONSTRAINT_WORD_LIST => {
            let list = descriptor.constraint.cast::<Word>();
            // SAFETY: for this type of constraint it points at a number, and at as many words behind it.
            let count = usize::try_from(unsafe { *list }).unwrap_or(0).min(LIST_LIMIT);
            // SAFETY: behind the number there are the words.
            let first = unsafe { list.add(1) };
            // SAFETY: as above; they stay as they are for as long as this borrow lasts.
            let words = unsafe { std::slice::from_raw_parts(first, count) };
            Constraint::Words(words.to_vec())
        }
        abi::CONSTRAINT_STRING_LIST => Constraint::Texts(strings(descriptor).into_iter().map(text).collect()),
        _ => Constraint::None,
    }
}
