//! An option's value, here and in the application's memory.

use std::ffi::c_void;

use crate::abi::{FALSE, Status, TRUE, ValueType, Word};

/// What stands in an application's memory for an option, as its descriptor says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// How it is read.
    pub value_type: ValueType,
    /// Bytes of it; of a string, the most there is room for, with its zero.
    pub size: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `SANE_Bool`.
    Bool(bool),
    /// `SANE_Int` and `SANE_Fixed`, one or several.
    Words(Vec<Word>),
    /// `SANE_String`.
    Text(String),
    /// A button's.
    Nothing,
}

/// Reads the value that an application set.
///
/// # Safety
/// `at` is null or points at a value of this shape; a string ends with a zero, or fills its size.
pub unsafe fn read(shape: Shape, at: *const c_void) -> Result<Value, Status> {
    match shape.value_type {
        ValueType::Button => return Ok(Value::Nothing),
        ValueType::Group => return Err(Status::Invalid),
        _ if at.is_null() => return Err(Status::Invalid),
        _ => {}
    }
    if shape.value_type == ValueType::String {
        // SAFETY: not null, so a string is there, by the caller's promise.
        return unsafe { read_text(shape.size, at.cast()) };
    }
    // SAFETY: not null, so this many words are there, by the caller's promise.
    let words = unsafe { std::slice::from_raw_parts(at.cast::<Word>(), shape.size / size_of::<Word>()) };
    match (shape.value_type, words) {
        (ValueType::Bool, [FALSE]) => Ok(Value::Bool(false)),
        (ValueType::Bool, [TRUE]) => Ok(Value::Bool(true)),
        (ValueType::Bool, _) => Err(Status::Invalid),
        (_, words) => Ok(Value::Words(words.to_vec())),
    }
}

/// A byte at a time: what an application passes may be shorter than the size, and ends at its zero.
unsafe fn read_text(size: usize, at: *const u8) -> Result<Value, Status> {
    let mut bytes = Vec::new();
    for offset in 0..size {
        // SAFETY: within the size, and no zero came before, so this byte is the string's.
        match unsafe { at.wrapping_add(offset).read() } {
            0 => break,
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).map(Value::Text).map_err(|_| Status::Invalid)
}

/// Writes a value to where the application wants it.
///
/// # Safety
/// `at` is null or has room for a value of this shape.
pub unsafe fn write(value: &Value, shape: Shape, at: *mut c_void) -> Result<(), Status> {
    if shape.value_type == ValueType::Button {
        return Ok(());
    }
    if at.is_null() || shape.value_type == ValueType::Group {
        return Err(Status::Invalid);
    }
    let bytes: Vec<u8> = match value {
        Value::Bool(held) => Word::from(*held).to_ne_bytes().to_vec(),
        Value::Words(words) => words.iter().flat_map(|word| word.to_ne_bytes()).collect(),
        Value::Text(text) => {
            let fits = text.len().min(shape.size.saturating_sub(1));
            [&text.as_bytes()[..fits], &[0]].concat()
        }
        Value::Nothing => Vec::new(),
    };
    let fits = bytes.len().min(shape.size);
    // SAFETY: not null and no more than the size, for which there is room, by the caller's promise.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), at.cast::<u8>(), fits) };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(value: &Value, shape: Shape) -> Result<Value, Status> {
        let mut buffer = vec![0x5a_5a_5a_5a_u32; shape.size / 4 + 2];
        // SAFETY: there is room for the shape, and one word more.
        unsafe { write(value, shape, buffer.as_mut_ptr().cast()) }?;
        assert_eq!(buffer.last(), Some(&0x5a_5a_5a_5a), "nothing is written past the size");
        // SAFETY: a value of this shape was just written there.
        unsafe { read(shape, buffer.as_ptr().cast()) }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let shape = |value_type, size| Shape { value_type, size };
        for (value, shape) in [
            (Value::Bool(true), shape(ValueType::Bool, 4)),
            (Value::Words(vec![-3]), shape(ValueType::Int, 4)),
            (Value::Words(vec![1, 2, 3]), shape(ValueType::Fixed, 12)),
            (Value::Text("Lineart".to_owned()), shape(ValueType::String, 8)),
            (Value::Nothing, shape(ValueType::Button, 0)),
        ] {
            assert_eq!(round(&value, shape), Ok(value));
        }
    }

    #[test]
    fn a_string_never_leaves_its_room() {
        let shape = Shape { value_type: ValueType::String, size: 4 };
        assert_eq!(round(&Value::Text("Lineart".to_owned()), shape), Ok(Value::Text("Lin".to_owned())));
        // SAFETY: four bytes are there; none of them is a zero.
        let text = unsafe { read(shape, b"Gray".as_ptr().cast()) };
        assert_eq!(text, Ok(Value::Text("Gray".to_owned())));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let bool_shape = Shape { value_type: ValueType::Bool, size: 4 };
        // SAFETY: null, or a word.
        let read_bool = |at: *const Word| unsafe { read(bool_shape, at.cast()) };
        assert_eq!(read_bool(&2), Err(Status::Invalid));
        assert_eq!(read_bool(std::ptr::null()), Err(Status::Invalid));
        let text_shape = Shape { value_type: ValueType::String, size: 4 };
        // SAFETY: a string that ends.
        assert_eq!(unsafe { read(text_shape, c"\xff".as_ptr().cast()) }, Err(Status::Invalid));
        // SAFETY: null is allowed.
        assert_eq!(unsafe { write(&Value::Bool(true), bool_shape, std::ptr::null_mut()) }, Err(Status::Invalid));
    }
}
