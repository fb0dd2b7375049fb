//! The C interface: every size, offset and constant against Debian's header, and every entry point called by a C program
//! where no daemon is: in odd orders, with null and with garbage, also under valgrind.

use std::mem::{offset_of, size_of};
use std::path::Path;
use std::process::Command;

use sane_usbscan::abi;

use crate::backend::Backend;
use crate::program::Program;
use crate::requirements::{self, LIBSANE_DEV, VALGRIND};

/// What crates/sane/src/abi.rs says, as layout.c prints what the header says.
fn ours() -> Vec<String> {
    let mut lines = Vec::new();
    macro_rules! sizes {
        ($($c:ident = $rust:ty),* $(,)?) => {
            $(lines.push(format!("size {} {}", stringify!($c), size_of::<$rust>()));)*
        };
    }
    macro_rules! offsets {
        ($($c:ident.$member:ident = $rust:ty, $field:ident);* $(;)?) => {
            $(lines.push(format!("offset {}.{} {}", stringify!($c), stringify!($member), offset_of!($rust, $field)));)*
        };
    }
    macro_rules! values {
        ($($c:expr => $rust:expr),* $(,)?) => {
            $(lines.push(format!("value {} {}", $c, i64::from($rust)));)*
        };
    }
    sizes! {
        SANE_Word = abi::Word, SANE_Fixed = abi::Word, SANE_Handle = abi::Handle, SANE_Status = abi::Status,
        SANE_Value_Type = abi::ValueType, SANE_Unit = abi::Unit, SANE_Constraint_Type = abi::ConstraintType,
        SANE_Action = std::ffi::c_uint, SANE_Frame = abi::Frame, SANE_Device = abi::Device,
        SANE_Range = abi::Range, SANE_Option_Descriptor = abi::OptionDescriptor, SANE_Parameters = abi::Parameters,
    }
    offsets! {
        SANE_Device.name = abi::Device, name;
        SANE_Device.vendor = abi::Device, vendor;
        SANE_Device.model = abi::Device, model;
        SANE_Device.type = abi::Device, kind;
        SANE_Range.min = abi::Range, min;
        SANE_Range.max = abi::Range, max;
        SANE_Range.quant = abi::Range, quant;
        SANE_Option_Descriptor.name = abi::OptionDescriptor, name;
        SANE_Option_Descriptor.title = abi::OptionDescriptor, title;
        SANE_Option_Descriptor.desc = abi::OptionDescriptor, description;
        SANE_Option_Descriptor.type = abi::OptionDescriptor, value_type;
        SANE_Option_Descriptor.unit = abi::OptionDescriptor, unit;
        SANE_Option_Descriptor.size = abi::OptionDescriptor, size;
        SANE_Option_Descriptor.cap = abi::OptionDescriptor, capabilities;
        SANE_Option_Descriptor.constraint_type = abi::OptionDescriptor, constraint_type;
        SANE_Option_Descriptor.constraint = abi::OptionDescriptor, constraint;
        SANE_Parameters.format = abi::Parameters, format;
        SANE_Parameters.last_frame = abi::Parameters, last_frame;
        SANE_Parameters.bytes_per_line = abi::Parameters, bytes_per_line;
        SANE_Parameters.pixels_per_line = abi::Parameters, pixels_per_line;
        SANE_Parameters.lines = abi::Parameters, lines;
        SANE_Parameters.depth = abi::Parameters, depth;
    }
    values! {
        "SANE_VERSION_CODE(SANE_CURRENT_MAJOR, 0, 0)" => abi::VERSION,
        "SANE_FIXED_SCALE_SHIFT" => abi::FIXED_SHIFT,
        "SANE_TRUE" => abi::TRUE,
        "SANE_FALSE" => abi::FALSE,
        "SANE_STATUS_GOOD" => abi::Status::Good as u32,
        "SANE_STATUS_UNSUPPORTED" => abi::Status::Unsupported as u32,
        "SANE_STATUS_CANCELLED" => abi::Status::Cancelled as u32,
        "SANE_STATUS_DEVICE_BUSY" => abi::Status::DeviceBusy as u32,
        "SANE_STATUS_INVAL" => abi::Status::Invalid as u32,
        "SANE_STATUS_EOF" => abi::Status::Eof as u32,
        "SANE_STATUS_JAMMED" => abi::Status::Jammed as u32,
        "SANE_STATUS_NO_DOCS" => abi::Status::NoDocs as u32,
        "SANE_STATUS_COVER_OPEN" => abi::Status::CoverOpen as u32,
        "SANE_STATUS_IO_ERROR" => abi::Status::IoError as u32,
        "SANE_STATUS_NO_MEM" => abi::Status::NoMem as u32,
        "SANE_STATUS_ACCESS_DENIED" => abi::Status::AccessDenied as u32,
        "SANE_TYPE_BOOL" => abi::ValueType::Bool as u32,
        "SANE_TYPE_INT" => abi::ValueType::Int as u32,
        "SANE_TYPE_FIXED" => abi::ValueType::Fixed as u32,
        "SANE_TYPE_STRING" => abi::ValueType::String as u32,
        "SANE_TYPE_BUTTON" => abi::ValueType::Button as u32,
        "SANE_TYPE_GROUP" => abi::ValueType::Group as u32,
        "SANE_UNIT_NONE" => abi::Unit::None as u32,
        "SANE_UNIT_PIXEL" => abi::Unit::Pixel as u32,
        "SANE_UNIT_BIT" => abi::Unit::Bit as u32,
        "SANE_UNIT_MM" => abi::Unit::Mm as u32,
        "SANE_UNIT_DPI" => abi::Unit::Dpi as u32,
        "SANE_UNIT_PERCENT" => abi::Unit::Percent as u32,
        "SANE_UNIT_MICROSECOND" => abi::Unit::Microsecond as u32,
        "SANE_CAP_SOFT_SELECT" => abi::CAP_SOFT_SELECT,
        "SANE_CAP_HARD_SELECT" => abi::CAP_HARD_SELECT,
        "SANE_CAP_SOFT_DETECT" => abi::CAP_SOFT_DETECT,
        "SANE_CAP_EMULATED" => abi::CAP_EMULATED,
        "SANE_CAP_AUTOMATIC" => abi::CAP_AUTOMATIC,
        "SANE_CAP_INACTIVE" => abi::CAP_INACTIVE,
        "SANE_CAP_ADVANCED" => abi::CAP_ADVANCED,
        "SANE_INFO_INEXACT" => abi::INFO_INEXACT,
        "SANE_INFO_RELOAD_OPTIONS" => abi::INFO_RELOAD_OPTIONS,
        "SANE_INFO_RELOAD_PARAMS" => abi::INFO_RELOAD_PARAMS,
        "SANE_CONSTRAINT_NONE" => abi::ConstraintType::None as u32,
        "SANE_CONSTRAINT_RANGE" => abi::ConstraintType::Range as u32,
        "SANE_CONSTRAINT_WORD_LIST" => abi::ConstraintType::WordList as u32,
        "SANE_CONSTRAINT_STRING_LIST" => abi::ConstraintType::StringList as u32,
        "SANE_ACTION_GET_VALUE" => abi::ACTION_GET_VALUE,
        "SANE_ACTION_SET_VALUE" => abi::ACTION_SET_VALUE,
        "SANE_ACTION_SET_AUTO" => abi::ACTION_SET_AUTO,
        "SANE_FRAME_GRAY" => abi::Frame::Gray as u32,
        "SANE_FRAME_RGB" => abi::Frame::Rgb as u32,
    }
    lines.sort();
    lines
}

#[test]
fn sizes_offsets_and_constants_are_those_of_debians_header() {
    if !requirements::are_there("sizes, offsets and constants of the ABI", &[&LIBSANE_DEV]) {
        return;
    }
    let backend = Backend::new();
    let layout = Program::start(&mut backend.command(backend.compile("layout"))).end();
    assert_eq!(layout.code, Some(0), "{}", layout.stderr);
    let mut theirs: Vec<&str> = layout.stdout.lines().collect();
    theirs.sort_unstable();
    assert_eq!(ours(), theirs);
}

/// Compiles a C program of ours and runs it as `how` says; it has to find everything in order.
pub fn run(backend: &Backend, name: &str, how: impl FnOnce(&Path) -> Command) {
    let program = backend.compile(name);
    let ended = Program::start(&mut how(&program)).end();
    assert_eq!(ended.code, Some(0), "{name}:\n{}{}", ended.stdout, ended.stderr);
}

/// valgrind on a program, failing for memory that is touched but not its own, and for memory that nothing points at any more.
pub fn valgrind(mut valgrind: Command, program: &Path) -> Command {
    valgrind.args(["--error-exitcode=99", "--leak-check=full", "--errors-for-leak-kinds=definite", "--quiet"]);
    // Its one lock on all threads is handed on in turn, so that a thread which waits is not starved.
    valgrind.arg("--fair-sched=yes").arg(program);
    valgrind
}

#[test]
fn without_a_daemon_every_call_answers_as_sane_says() {
    if requirements::are_there("the backend without a daemon, called from C", &[&LIBSANE_DEV]) {
        let backend = Backend::new();
        run(&backend, "alone", |program| backend.command(program));
    }
}

#[test]
fn without_a_daemon_no_call_touches_memory_that_is_not_its_own() {
    if requirements::are_there("the backend without a daemon, under valgrind", &[&LIBSANE_DEV, &VALGRIND]) {
        let backend = Backend::new();
        run(&backend, "alone", |program| valgrind(backend.command("valgrind"), program));
    }
}
