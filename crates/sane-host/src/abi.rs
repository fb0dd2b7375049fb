//! SANE's C interface as one reads it, from the SANE standard, version 1: every enum is the integer that C has, since what a
//! backend says need not be one of the enum's values. The SANE backend has the same interface from its other side, with enums for
//! what it gives itself: two crates that share no more than these layouts, which the standard fixes.

use std::ffi::{c_char, c_int, c_uint, c_void};

/// `SANE_Int`, `SANE_Bool`, `SANE_Fixed`.
pub type Word = c_int;
/// `SANE_Handle`.
pub type Handle = *mut c_void;
/// `SANE_Status`.
pub type Status = c_uint;

/// `SANE_TRUE`.
pub const TRUE: Word = 1;

/// `SANE_Device`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Device {
    pub name: *const c_char,
    pub vendor: *const c_char,
    pub model: *const c_char,
    pub kind: *const c_char,
}

/// `SANE_Range`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Range {
    pub min: Word,
    pub max: Word,
    pub quant: Word,
}

/// `SANE_Option_Descriptor`. Each member of the union is a pointer.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct OptionDescriptor {
    pub name: *const c_char,
    pub title: *const c_char,
    pub description: *const c_char,
    pub value_type: c_uint,
    pub unit: c_uint,
    pub size: Word,
    pub capabilities: Word,
    pub constraint_type: c_uint,
    pub constraint: *const c_void,
}

/// `SANE_Parameters`.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct Parameters {
    pub format: c_uint,
    pub last_frame: Word,
    pub bytes_per_line: Word,
    pub pixels_per_line: Word,
    pub lines: Word,
    pub depth: Word,
}

/// `SANE_CONSTRAINT_RANGE`.
pub const CONSTRAINT_RANGE: c_uint = 1;
/// `SANE_CONSTRAINT_WORD_LIST`.
pub const CONSTRAINT_WORD_LIST: c_uint = 2;
/// `SANE_CONSTRAINT_STRING_LIST`.
pub const CONSTRAINT_STRING_LIST: c_uint = 3;

/// `SANE_ACTION_GET_VALUE`.
pub const ACTION_GET_VALUE: c_uint = 0;
/// `SANE_ACTION_SET_VALUE`.
pub const ACTION_SET_VALUE: c_uint = 1;

/// `SANE_INFO_INEXACT`.
pub const INFO_INEXACT: Word = 1;
/// `SANE_INFO_RELOAD_OPTIONS`.
pub const INFO_RELOAD_OPTIONS: Word = 2;

/// `SANE_Auth_Callback`; none is ever given.
pub type Authorize = Option<unsafe extern "C" fn(*const c_char, *mut c_char, *mut c_char)>;

pub type Init = unsafe extern "C" fn(*mut Word, Authorize) -> Status;
pub type Exit = unsafe extern "C" fn();
pub type GetDevices = unsafe extern "C" fn(*mut *const *const Device, Word) -> Status;
pub type Open = unsafe extern "C" fn(*const c_char, *mut Handle) -> Status;
pub type Close = unsafe extern "C" fn(Handle);
pub type GetOptionDescriptor = unsafe extern "C" fn(Handle, Word) -> *const OptionDescriptor;
pub type ControlOption = unsafe extern "C" fn(Handle, Word, c_uint, *mut c_void, *mut Word) -> Status;
pub type GetParameters = unsafe extern "C" fn(Handle, *mut Parameters) -> Status;
pub type Start = unsafe extern "C" fn(Handle) -> Status;
pub type Read = unsafe extern "C" fn(Handle, *mut u8, Word, *mut Word) -> Status;
pub type Cancel = unsafe extern "C" fn(Handle);

// As C lays them out on machines with 64 bits.
#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<OptionDescriptor>() == 56 && size_of::<Device>() == 32);
const _: () = assert!(size_of::<Parameters>() == 24 && size_of::<Range>() == 12);
