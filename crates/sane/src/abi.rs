//! The C side of SANE 1.0: its types, constants and struct layouts, as the public standard gives them (sections 4.2 to
//! 4.4). tests/sane/abi.rs holds every size and offset against Debian's header. No code here, only shapes.
//!
//! C enums are integers here, because what an application passes need not be one of the enum's values.

use std::ffi::{c_char, c_int, c_uint, c_void};

/// `SANE_Int`, `SANE_Bool`, `SANE_Fixed`: all are this one type.
pub type Word = c_int;

/// `SANE_Handle`. What it points at is nobody's business; see handle.rs.
pub type Handle = *mut c_void;

/// `SANE_Auth_Callback`: resource, buffers for the user's name and password. Never called here: the socket's owner and
/// group decide who may.
pub type Authorize = Option<unsafe extern "C" fn(*const c_char, *mut c_char, *mut c_char)>;

/// `SANE_VERSION_CODE(1, 0, 0)`: major in bits 31-24, minor in 23-16, build in 15-0.
pub const VERSION: Word = 1 << 24;

/// `SANE_TRUE`.
pub const TRUE: Word = 1;
/// `SANE_FALSE`.
pub const FALSE: Word = 0;

/// `SANE_FIXED_SCALE_SHIFT`: a `SANE_Fixed` has 16 bits after the point.
pub const FIXED_SHIFT: u32 = 16;

/// `SANE_Status`: how a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Status {
    /// Everything as asked.
    Good = 0,
    /// This backend can't do that.
    Unsupported = 1,
    /// `sane_cancel` ended it.
    Cancelled = 2,
    /// Another program is using the scanner.
    DeviceBusy = 3,
    /// An argument makes no sense, or there is no such scanner.
    Invalid = 4,
    /// The page has ended.
    Eof = 5,
    /// Paper is stuck in the feeder.
    Jammed = 6,
    /// The feeder is empty.
    NoDocs = 7,
    /// A cover is open.
    CoverOpen = 8,
    /// The scanner, the bus or the daemon failed.
    IoError = 9,
    /// A limit of memory was reached.
    NoMem = 10,
    /// Not allowed.
    AccessDenied = 11,
}

/// What `SANE_Status` is as an integer.
pub type StatusCode = c_uint;

/// `SANE_Device`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Device {
    /// Unique; what `sane_open` takes.
    pub name: *const c_char,
    /// Who made it.
    pub vendor: *const c_char,
    /// What they call it.
    pub model: *const c_char,
    /// One of the standard's words: `flatbed scanner`, …
    pub kind: *const c_char,
}

/// `SANE_Value_Type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum ValueType {
    /// One word, 0 or 1.
    Bool = 0,
    /// Words.
    Int = 1,
    /// Words with 16 bits after the point.
    Fixed = 2,
    /// Bytes that end with a zero.
    String = 3,
    /// No value: setting it does something.
    Button = 4,
    /// No value: a title for the options that follow.
    Group = 5,
}

/// `SANE_Unit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Unit {
    /// A plain number.
    None = 0,
    /// Pixels.
    Pixel = 1,
    /// Bits.
    Bit = 2,
    /// Millimetres.
    Mm = 3,
    /// Dots per inch.
    Dpi = 4,
    /// Percent.
    Percent = 5,
    /// Microseconds.
    Microsecond = 6,
}

/// `SANE_CAP_SOFT_SELECT`: `sane_control_option` can set it.
pub const CAP_SOFT_SELECT: Word = 1;
/// `SANE_CAP_HARD_SELECT`: a person sets it at the scanner. Never together with the one above.
pub const CAP_HARD_SELECT: Word = 2;
/// `SANE_CAP_SOFT_DETECT`: its value can be read.
pub const CAP_SOFT_DETECT: Word = 4;
/// `SANE_CAP_EMULATED`: done by the backend, not by the scanner.
pub const CAP_EMULATED: Word = 8;
/// `SANE_CAP_AUTOMATIC`: `SANE_ACTION_SET_AUTO` works on it.
pub const CAP_AUTOMATIC: Word = 16;
/// `SANE_CAP_INACTIVE`: of no use with the other options as they are.
pub const CAP_INACTIVE: Word = 32;
/// `SANE_CAP_ADVANCED`: for those who look for it.
pub const CAP_ADVANCED: Word = 64;

/// `SANE_INFO_INEXACT`: the value was rounded to one that the scanner has.
pub const INFO_INEXACT: Word = 1;
/// `SANE_INFO_RELOAD_OPTIONS`: descriptors of other options changed.
pub const INFO_RELOAD_OPTIONS: Word = 2;
/// `SANE_INFO_RELOAD_PARAMS`: `sane_get_parameters` answers otherwise now.
pub const INFO_RELOAD_PARAMS: Word = 4;

/// `SANE_Constraint_Type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum ConstraintType {
    /// Any value of the type.
    None = 0,
    /// From, to, in steps of.
    Range = 1,
    /// One of these words.
    WordList = 2,
    /// One of these strings.
    StringList = 3,
}

/// `SANE_Range`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Range {
    /// Least.
    pub min: Word,
    /// Most.
    pub max: Word,
    /// Step from `min` on; 0 for none.
    pub quant: Word,
}

/// The union in `SANE_Option_Descriptor`; `constraint_type` says which.
#[derive(Clone, Copy)]
#[repr(C)]
pub union Constraint {
    /// Ends with a null pointer.
    pub string_list: *const *const c_char,
    /// The first word is how many follow.
    pub word_list: *const Word,
    /// One range.
    pub range: *const Range,
}

impl std::fmt::Debug for Constraint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Constraint")
    }
}

/// `SANE_Option_Descriptor`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct OptionDescriptor {
    /// The word on a command line.
    pub name: *const c_char,
    /// One line.
    pub title: *const c_char,
    /// Some sentences.
    pub description: *const c_char,
    /// How its value is read.
    pub value_type: ValueType,
    /// What its value counts.
    pub unit: Unit,
    /// Bytes of its value; of a string, with the zero.
    pub size: Word,
    /// `CAP_…`.
    pub capabilities: Word,
    /// Which member of `constraint` holds.
    pub constraint_type: ConstraintType,
    /// Null where there is none.
    pub constraint: Constraint,
}

/// `SANE_ACTION_GET_VALUE`.
pub const ACTION_GET_VALUE: c_uint = 0;
/// `SANE_ACTION_SET_VALUE`.
pub const ACTION_SET_VALUE: c_uint = 1;
/// `SANE_ACTION_SET_AUTO`.
pub const ACTION_SET_AUTO: c_uint = 2;

/// `SANE_Frame`. The one-band frames (2 to 4) are for scanners that pass the page three times; none here does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Frame {
    /// One sample a pixel. With depth 1: eight pixels a byte, the leftmost in bit 7, 1 = black.
    Gray = 0,
    /// Red, green, blue of each pixel.
    Rgb = 1,
}

/// `SANE_Parameters`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Parameters {
    /// What the samples are.
    pub format: Frame,
    /// Whether this frame completes the page.
    pub last_frame: Word,
    /// Bytes.
    pub bytes_per_line: Word,
    /// Pixels.
    pub pixels_per_line: Word,
    /// Lines; -1 where only the end of the page will tell.
    pub lines: Word,
    /// Bits of a sample: 1, 8 or 16. 16 bits stand in the machine's byte order.
    pub depth: Word,
}
