//! What clap can't tell apart, written so that it can.

use std::ffi::OsString;

/// The command line of this process, with `--virtual MODEL` written as `--virtual=MODEL`: clap takes a value in the next
/// argument for a command, because the value is optional. What follows `run` is left as it is.
pub fn normalized(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut normalized: Vec<OsString> = Vec::new();
    let mut is_of_a_program = false;
    for argument in arguments {
        is_of_a_program |= argument == "run" && normalized.last().is_some_and(|last| last != "--socket");
        if is_of_a_program {
            normalized.push(argument);
            continue;
        }
        let is_model = argument.to_str().is_some_and(usbscan_virtual::spec::names_a_model);
        match normalized.last_mut() {
            Some(last) if last == "--virtual" && is_model => {
                last.push("=");
                last.push(argument);
            }
            _ => normalized.push(argument),
        }
    }
    normalized
}
